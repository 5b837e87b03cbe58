//! The flavours of model servers, which differ in how they take the same request.

/// A kind of server.
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
    /// Any other OpenAI-compatible server.
    Compatible,
}

/// The format of one request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// llama-server's `/completion`.
    LlamaText,
    /// `/v1/completions`.
    OpenAiText,
    /// `/v1/chat/completions`.
    OpenAiChat,
    /// Ollama's `/api/generate` with `raw`.
    OllamaText,
    /// Ollama's `/api/chat`.
    OllamaChat,
    /// KoboldCpp's `/api/extra/generate/stream`.
    KoboldText,
    /// `/v1/messages`.
    AnthropicChat,
}

/// How to make the model continue its own message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefill {
    /// The server continues a final assistant message.
    LastMessage,
    /// The server continues a final assistant message only with `continue_final_message`.
    Flag,
    /// The server cannot continue a message; an instruction must ask the model to do it.
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

    /// The name in config.toml and on the screen.
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

    /// The flavour of a well-known service, by its host name.
    pub fn of_host(host: &str) -> Option<Flavour> {
        match host {
            "api.openai.com" => Some(Flavour::OpenAi),
            "api.anthropic.com" => Some(Flavour::Anthropic),
            "openrouter.ai" => Some(Flavour::OpenRouter),
            _ => None,
        }
    }

    /// How to continue prose; `None` if the server supports only chat.
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

    /// Whether raw completion reports the most likely tokens.
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

    /// Whether raw completion can report the probabilities of the prompt's tokens (`echo`).
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

    /// Whether one request can produce several texts (`n`), streamed side by side.
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

    /// Whether requests must run one after another: a second would end the first or be refused.
    pub fn answers_one_at_a_time(self) -> bool {
        matches!(self, Flavour::LlamaCppPython | Flavour::KoboldCpp)
    }

    /// Whether each event of a stream is one token, so that events can be counted.
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
