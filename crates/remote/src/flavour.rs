//! The flavours of model servers, which expect the same request in different forms.

/// A kind of model server, which determines the form of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    LlamaServer,
    LlamaCppPython,
    Vllm,
    Sglang,
    TransformersServe,
    LiteLlm,
    Ollama,
    KoboldCpp,
    LmStudio,
    OpenAi,
    Anthropic,
    OpenRouter,
    /// Any OpenAI-compatible server without a flavour of its own.
    Compatible,
}

/// The format of a request and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The route `/completion` of llama-server.
    LlamaText,
    /// The route `/v1/completions` of OpenAI-compatible servers.
    OpenAiText,
    /// The route `/v1/chat/completions` of OpenAI-compatible servers.
    OpenAiChat,
    /// The route `/api/generate` of Ollama, with the option `raw`.
    OllamaText,
    /// The route `/api/chat` of Ollama.
    OllamaChat,
    /// The route `/api/extra/generate/stream` of KoboldCpp.
    KoboldText,
    /// The route `/v1/messages` of Anthropic.
    AnthropicChat,
}

/// The way to make the model continue a message that it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefill {
    /// The server continues the last message if its role is `assistant`.
    LastMessage,
    /// The server continues the last message if its role is `assistant` and the request sets
    /// `continue_final_message`.
    Flag,
    /// The server cannot continue a message. Instead, an instruction asks the model to continue it.
    Instruction,
}

impl Flavour {
    pub const ALL: [Flavour; 13] = [
        Flavour::LlamaServer,
        Flavour::LlamaCppPython,
        Flavour::Vllm,
        Flavour::Sglang,
        Flavour::TransformersServe,
        Flavour::LiteLlm,
        Flavour::Ollama,
        Flavour::KoboldCpp,
        Flavour::LmStudio,
        Flavour::OpenAi,
        Flavour::Anthropic,
        Flavour::OpenRouter,
        Flavour::Compatible,
    ];

    /// The name of the flavour in config.toml and on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Flavour::LlamaServer => "llama-server",
            Flavour::LlamaCppPython => "llama-cpp-python",
            Flavour::Vllm => "vllm",
            Flavour::Sglang => "sglang",
            Flavour::TransformersServe => "transformers",
            Flavour::LiteLlm => "litellm",
            Flavour::Ollama => "ollama",
            Flavour::KoboldCpp => "koboldcpp",
            Flavour::LmStudio => "lm-studio",
            Flavour::OpenAi => "openai",
            Flavour::Anthropic => "anthropic",
            Flavour::OpenRouter => "openrouter",
            Flavour::Compatible => "compatible",
        }
    }

    pub fn parse(name: &str) -> Option<Flavour> {
        let name = name.to_lowercase();
        Flavour::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Returns the flavour of a well-known service by its host name, or None for an unknown host.
    pub fn of_host(host: &str) -> Option<Flavour> {
        match host {
            "api.openai.com" => Some(Flavour::OpenAi),
            "api.anthropic.com" => Some(Flavour::Anthropic),
            "openrouter.ai" => Some(Flavour::OpenRouter),
            _ => None,
        }
    }

    /// The protocol for continuing prose. `None` if the server supports only chat.
    pub fn prose(self) -> Option<Protocol> {
        match self {
            Flavour::LlamaServer => Some(Protocol::LlamaText),
            Flavour::Ollama => Some(Protocol::OllamaText),
            Flavour::KoboldCpp => Some(Protocol::KoboldText),
            Flavour::LlamaCppPython
            | Flavour::Vllm
            | Flavour::Sglang
            | Flavour::TransformersServe
            | Flavour::LiteLlm
            | Flavour::LmStudio
            | Flavour::Compatible => Some(Protocol::OpenAiText),
            Flavour::OpenAi | Flavour::Anthropic | Flavour::OpenRouter => None,
        }
    }

    pub fn chat(self) -> Protocol {
        match self {
            Flavour::Ollama => Protocol::OllamaChat,
            Flavour::Anthropic => Protocol::AnthropicChat,
            Flavour::LlamaServer
            | Flavour::LlamaCppPython
            | Flavour::Vllm
            | Flavour::Sglang
            | Flavour::TransformersServe
            | Flavour::LiteLlm
            | Flavour::KoboldCpp
            | Flavour::LmStudio
            | Flavour::OpenAi
            | Flavour::OpenRouter
            | Flavour::Compatible => Protocol::OpenAiChat,
        }
    }

    pub fn prefill(self) -> Prefill {
        match self {
            Flavour::LlamaServer | Flavour::Ollama => Prefill::LastMessage,
            Flavour::Vllm | Flavour::Sglang => Prefill::Flag,
            Flavour::LlamaCppPython
            | Flavour::TransformersServe
            | Flavour::LiteLlm
            | Flavour::KoboldCpp
            | Flavour::LmStudio
            | Flavour::OpenAi
            | Flavour::Anthropic
            | Flavour::OpenRouter
            | Flavour::Compatible => Prefill::Instruction,
        }
    }

    /// Whether raw completion on such a server reports the most likely tokens.
    pub fn tells_likely(self) -> bool {
        match self {
            Flavour::LlamaServer | Flavour::LlamaCppPython | Flavour::Vllm | Flavour::Sglang => {
                true
            }
            Flavour::TransformersServe
            | Flavour::LiteLlm
            | Flavour::Ollama
            | Flavour::KoboldCpp
            | Flavour::LmStudio
            | Flavour::OpenAi
            | Flavour::Anthropic
            | Flavour::OpenRouter
            | Flavour::Compatible => false,
        }
    }

    /// Whether the server can report the probabilities of the prompt's tokens in raw completion
    /// (`echo`).
    pub fn echoes(self) -> bool {
        match self {
            Flavour::Vllm => true,
            // llama-server ignores `echo`; the others were not tried.
            Flavour::LlamaServer
            | Flavour::LlamaCppPython
            | Flavour::Sglang
            | Flavour::TransformersServe
            | Flavour::LiteLlm
            | Flavour::Ollama
            | Flavour::KoboldCpp
            | Flavour::LmStudio
            | Flavour::OpenAi
            | Flavour::Anthropic
            | Flavour::OpenRouter
            | Flavour::Compatible => false,
        }
    }

    /// Whether raw completion can make individual tokens less likely, as bans require.
    pub fn takes_bias(self) -> bool {
        self.tells_likely()
    }

    /// Whether one request to such a server can return several texts (`n`), which are streamed in
    /// parallel.
    pub fn takes_choices(self) -> bool {
        match self {
            Flavour::Vllm | Flavour::Sglang | Flavour::OpenAi => true,
            // llama-server accepts `n` only in some versions and routes.
            Flavour::LlamaServer
            | Flavour::LlamaCppPython
            | Flavour::TransformersServe
            | Flavour::LiteLlm
            | Flavour::Ollama
            | Flavour::KoboldCpp
            | Flavour::LmStudio
            | Flavour::Anthropic
            | Flavour::OpenRouter
            | Flavour::Compatible => false,
        }
    }

    /// Whether such a server must receive its requests one after another, because a second request
    /// would end the first or be refused.
    pub fn answers_one_at_a_time(self) -> bool {
        matches!(self, Flavour::LlamaCppPython | Flavour::KoboldCpp)
    }

    /// Whether each event in a stream of such a server contains exactly one token, so that events
    /// can be counted as tokens.
    pub fn streams_tokens(self) -> bool {
        !matches!(
            self,
            Flavour::OpenAi | Flavour::Anthropic | Flavour::OpenRouter | Flavour::LiteLlm
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flavour_is_found_by_its_name() {
        for flavour in Flavour::ALL {
            assert_eq!(
                Flavour::parse(&flavour.name().to_uppercase()),
                Some(flavour)
            );
        }
        assert_eq!(Flavour::parse("gguf"), None);
    }
}
