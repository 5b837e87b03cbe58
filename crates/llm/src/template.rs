//! The chat template of a GGUF file, rendered by minijinja.
//!
//! Templates are untrusted: they may loop or raise errors, and they see only the messages. The
//! names of control tokens in a writer's text are replaced before rendering, so that the text
//! cannot inject control tokens.

use super::tokenizer::Tokenizer;
use crate::error::ModelError;
use base::memory_budget::{self, NoResult};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// One message of a chat, in the form that chat templates take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// The role of the message's author: `system`, `user` or `assistant`.
    pub role: &'static str,
    pub content: String,
}

pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    /// The error, if rendering the template has exceeded a limit. The thread that was rendering it
    /// does not release its memory, so the template is not rendered a second time.
    over_limit: OnceLock<NoResult>,
}

/// The maximum number of steps that rendering a template may take. A template that takes more steps
/// is treated as endless.
const FUEL: u64 = 5_000_000;

/// The memory that a template may use in addition to the text of the chat, in bytes.
const MEMORY: usize = 64 << 20;

/// The maximum time that rendering a template may take.
const TIME: Duration = Duration::from_secs(20);

/// The maximum number of bytes that a template may add to the text of the chat.
const LONGEST: usize = 4 << 20;

impl ChatTemplate {
    /// Compiles the chat template `source`.
    pub fn new(source: String) -> Result<ChatTemplate, ModelError> {
        let mut environment = Environment::new();
        // The Hugging Face convention for chat templates.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(|error| wrong(&error))?);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| {
            Err::<Value, Error>(Error::new(ErrorKind::InvalidOperation, message))
        });
        // A fixed date: the same story must give the same prompt tomorrow.
        environment.add_function("strftime_now", |_: String| "26 Jul 2024".to_string());
        environment
            .add_template_owned("chat", source)
            .map_err(|error| wrong(&error))?;
        Ok(ChatTemplate {
            environment: Arc::new(environment),
            over_limit: OnceLock::new(),
        })
    }

    /// Renders the messages in the model's format, up to the start of the model's next turn. Names
    /// of control tokens in the messages are guarded (see [`Tokenizer::guard`]).
    pub fn render(
        &self,
        tokenizer: &Tokenizer,
        messages: &[ChatMessage],
    ) -> Result<String, ModelError> {
        match self.render_turns(tokenizer, turns(tokenizer, messages)) {
            // Some templates refuse a system message; its text then goes before the first user
            // message's.
            Err(_) if messages.first().is_some_and(|first| first.role == "system") => {
                self.render_turns(tokenizer, folded(turns(tokenizer, messages)))
            }
            rendered => rendered,
        }
    }

    /// Renders the messages in the model's format, followed by the start of a turn by `role`. The
    /// model then writes the text of that turn instead of a turn of its own.
    pub fn render_open_turn(
        &self,
        tokenizer: &Tokenizer,
        messages: &[ChatMessage],
        role: &'static str,
    ) -> Result<String, ModelError> {
        // Templates open only the model's own turn, so a marker shows where the text of another
        // role's turn goes.
        const HERE: &str = "\u{2020}here\u{2020}";
        let words = ChatMessage {
            role,
            content: HERE.to_string(),
        };
        let mut rendered = self.render(tokenizer, &[messages, &[words]].concat())?;
        let at = rendered.rfind(HERE).unwrap_or(rendered.len());
        rendered.truncate(at);
        Ok(rendered)
    }

    fn render_turns(
        &self,
        tokenizer: &Tokenizer,
        messages: Vec<ChatMessage>,
    ) -> Result<String, ModelError> {
        let words: usize = messages.iter().map(|message| message.content.len()).sum();
        let context = context! {
            messages => messages.into_iter().map(value).collect::<Vec<Value>>(),
            add_generation_prompt => true,
            enable_thinking => false,
            bos_token => tokenizer.bos_name(),
            eos_token => tokenizer.eos_name(),
        };
        self.render_bounded(context, LONGEST.saturating_add(words.saturating_mul(4)))
    }

    /// Renders the template. Returns an error if the result would be longer than `most` bytes.
    fn render_bounded(&self, context: Value, most: usize) -> Result<String, ModelError> {
        let environment = self.environment.clone();
        let render = move || {
            let mut prompt = Bounded {
                bytes: Vec::new(),
                most,
            };
            let chat = environment.get_template("chat")?;
            chat.render_captured_to(context, &mut prompt)?;
            Ok(prompt.bytes)
        };
        let memory = MEMORY.saturating_add(most.saturating_mul(4));
        let rendered = match self.over_limit.get() {
            Some(none) => Err(*none),
            None => memory_budget::within(memory, TIME, render),
        };
        let rendered = rendered.map_err(|none| {
            if matches!(none, NoResult::OverBudget(_) | NoResult::TooSlow(_)) {
                // The first reason stays.
                let _ = self.over_limit.set(none);
            }
            ModelError::Template(none.to_string())
        })?;
        let prompt = String::from_utf8(rendered.map_err(|error: Error| wrong(&error))?);
        prompt.map_err(|_| ModelError::Template("it renders no text".to_string()))
    }
}

/// The buffer to which a prompt is rendered. Its length is limited to `most` bytes.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.most {
            return Err(io::Error::other("the prompt is much longer than the chat"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn turns(tokenizer: &Tokenizer, messages: &[ChatMessage]) -> Vec<ChatMessage> {
    let turn = |message: &ChatMessage| ChatMessage {
        role: message.role,
        content: tokenizer.guard(&message.content),
    };
    messages.iter().map(turn).collect()
}

fn value(turn: ChatMessage) -> Value {
    context! { role => turn.role, content => turn.content }
}

fn folded(mut turns: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let system = turns.remove(0).content;
    match turns.first_mut() {
        Some(first) if first.role == "user" => {
            first.content = format!("{system}\n\n{}", first.content);
        }
        _ => turns.insert(
            0,
            ChatMessage {
                role: "user",
                content: system,
            },
        ),
    }
    turns
}

fn wrong(error: &Error) -> ModelError {
    ModelError::Template(base::untrusted::clean_line(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: memory_budget::Allocator = memory_budget::Allocator;

    fn rendered(source: &str) -> Result<String, ModelError> {
        ChatTemplate::new(source.to_string())?.render_bounded(context! { name => "Mara" }, 1 << 20)
    }

    #[test]
    fn a_template_that_never_ends_or_writes_without_end_is_refused() {
        assert_eq!(
            rendered("Hi, {{ name }}!").ok().as_deref(),
            Some("Hi, Mara!")
        );
        for source in [
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "{% for a in range(100000) %}{{ 'x' * 1000000 }}{% endfor %}",
            "{{ 'x' * 5000000000 }}",
            "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% set x = 'ab' * 50000000 %}{% set y = x ~ x ~ x ~ x ~ x ~ x ~ x ~ x %}",
            "{{ 9000000 * [2] }}",
            "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        ] {
            let error = rendered(source).unwrap_err().to_string();
            assert!(error.contains("/mode prose"), "{error}");
        }
    }

    #[test]
    fn a_template_that_used_too_much_memory_is_not_rendered_again() {
        let source = "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
        let template = ChatTemplate::new(source.to_string()).unwrap();
        let render = || template.render_bounded(context! {}, 1 << 20).unwrap_err();
        let first = render().to_string();
        assert!(template.over_limit.get().is_some());
        // A thousand sleeping threads would hold a terabyte.
        (0..1000).for_each(|_| assert_eq!(render().to_string(), first));
    }
}
