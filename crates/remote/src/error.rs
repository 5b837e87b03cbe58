//! Errors from model servers. The message of an error is one sentence with advice.

use base::untrusted::clean_line;
use serde_json::Value;
use std::time::Duration;

/// A failure of a server or of the connection to it.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteError {
    pub kind: Kind,
    /// The address of the server.
    pub server: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The user or the program stopped the request.
    Stopped,
    Unreachable(String),
    /// The server sent nothing for longer than a time limit.
    Silent {
        doing: &'static str,
        after: Duration,
    },
    /// The server refused the key, or requires one.
    Unauthorized {
        had_key: bool,
    },
    /// The server has no such route, or no such model.
    NotFound(String),
    /// The server does not have the model that the user named.
    NoModel {
        name: String,
        has: Vec<String>,
    },
    /// The prompt is too long for the context of the model on the server.
    TooLong(String),
    /// The server is still loading its model.
    Loading,
    /// The server is overloaded.
    Busy {
        status: u16,
        said: String,
        retry_after: Option<Duration>,
    },
    /// The server refused the request.
    Refused {
        status: u16,
        said: String,
    },
    /// The server redirected the request to another address.
    Redirects(String),
    /// The server's answer does not have the expected form.
    Garbage,
    /// The server's answer was empty.
    Empty,
    /// The server reported an error after it had begun its answer.
    Broke(String),
    /// The connection ended before the text was complete.
    Gone,
}

/// The maximum number of characters to quote from a server's message.
const QUOTED: usize = 200;

impl RemoteError {
    /// Converts an HTTP status and body to an error. Returns `None` if the request succeeded.
    pub(crate) fn of_status(
        server: &str,
        status: u16,
        body: &str,
        retry_after: Option<Duration>,
        had_key: bool,
    ) -> Option<RemoteError> {
        let said = said(body);
        let kind = match status {
            200..=299 => return None,
            _ if is_too_long(body) => Kind::TooLong(said),
            401 | 403 => Kind::Unauthorized { had_key },
            404 | 405 => Kind::NotFound(said),
            503 if said.to_lowercase().contains("loading") => Kind::Loading,
            408 | 429 | 502 | 503 | 504 | 529 => Kind::Busy {
                status,
                said,
                retry_after,
            },
            _ => Kind::Refused { status, said },
        };
        Some(RemoteError {
            kind,
            server: server.to_string(),
        })
    }
}

/// Whether the body of an error says that the prompt is too long for the context.
fn is_too_long(body: &str) -> bool {
    let body = body.to_lowercase();
    [
        "exceed_context_size",
        "exceeds the available context",
        "maximum context length",
        "context_length_exceeded",
        "prompt is too long",
        "requested tokens",
        "context window of",
    ]
    .iter()
    .any(|words| body.contains(words))
}

/// Extracts the server's message from the body of an error. The body may be JSON of any shape or
/// plain text.
pub(crate) fn said(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let error = &json["error"];
    let places = [
        &error["message"],
        error,
        &json["message"],
        &json["detail"],
        &json["detail"]["msg"],
        &json["detail"][0]["msg"],
        &json["detail"]["message"],
    ];
    let text = places.into_iter().find_map(Value::as_str);
    let text = text.unwrap_or(
        match json.is_null() && !body.trim_start().starts_with('<') {
            true => body,
            false => "",
        },
    );
    let line = clean_line(text.trim());
    match line.char_indices().nth(QUOTED) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.trim_end_matches('.').to_string(),
    }
}

impl std::error::Error for RemoteError {}

impl std::fmt::Display for RemoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let server = &self.server;
        let quoted = |said: &str| match said.is_empty() {
            true => String::new(),
            false => format!(": \"{said}\""),
        };
        match &self.kind {
            Kind::Stopped => write!(f, "Stopped"),
            Kind::Unreachable(why) => write!(
                f,
                "Cannot reach {server} ({why}); start the server, or correct its address with /model"
            ),
            Kind::Silent { doing, after } => write!(
                f,
                "{server} was silent for {} seconds {doing}; see what the server is doing, then /retry",
                after.as_secs()
            ),
            Kind::Unauthorized { had_key: true } => write!(
                f,
                "{server} refuses the key; correct ILLUMINE_API_KEY, or the variable that its backend in config.toml names as key_env"
            ),
            Kind::Unauthorized { had_key: false } => write!(
                f,
                "{server} needs a key; put it into ILLUMINE_API_KEY and start with --backend {server}, or name its variable as key_env of a backend in config.toml"
            ),
            Kind::NotFound(said) => write!(
                f,
                "{server} does not have the model or the route{}; `illumine models list` shows its models; if its kind is wrong, set flavour of its backend in config.toml",
                quoted(said)
            ),
            Kind::NoModel { name, has } => write!(
                f,
                "{server} has no model {}; it has {}: name one, for example {server}#{}",
                clean_line(name),
                clean_line(&has.join(", ")),
                clean_line(has.first().map_or("MODEL", String::as_str))
            ),
            Kind::TooLong(said) => write!(
                f,
                "The prompt does not fit the context of {server}{}; shorten it, or start the server with a longer context",
                quoted(said)
            ),
            Kind::Loading => write!(f, "{server} is still loading its model; try again soon"),
            Kind::Busy {
                status,
                said,
                retry_after,
            } => {
                let when = retry_after.map_or("later".to_string(), |wait| {
                    format!("in {} seconds", wait.as_secs())
                });
                write!(
                    f,
                    "{server} is overloaded ({status}{}); /retry {when}",
                    quoted(said)
                )
            }
            Kind::Refused { status, said } => write!(
                f,
                "{server} refuses the request ({status}{}); see the server's log, or choose another model with /model",
                quoted(said)
            ),
            Kind::Redirects(to) => write!(
                f,
                "{server} redirects to {to}; if that is right, use this address, since keys are never forwarded"
            ),
            Kind::Garbage => write!(
                f,
                "{server} did not answer with a model's text; check the address, or set flavour of its backend in config.toml"
            ),
            Kind::Empty => write!(
                f,
                "{server} sent an empty answer, as some servers do when a prompt is too long; shorten it, or see the server's log"
            ),
            Kind::Broke(said) => write!(
                f,
                "{server} failed while writing{}; the text so far is kept, and /continue resumes it",
                quoted(said)
            ),
            Kind::Gone => write!(
                f,
                "The connection to {server} ended before the text did; the text so far is kept, and /continue resumes it, even with another model"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Kind {
        let error = RemoteError::of_status("http://h", status, body, None, true);
        error.unwrap().kind
    }

    #[test]
    fn a_status_and_a_body_become_a_kind() {
        assert_eq!(
            of(401, r#"{"error":"Unauthorized"}"#),
            Kind::Unauthorized { had_key: true }
        );
        assert!(
            matches!(of(404, r#"{"detail":"Not Found"}"#), Kind::NotFound(said) if said == "Not Found")
        );
        assert_eq!(
            of(503, r#"{"error":{"message":"Loading model"}}"#),
            Kind::Loading
        );
        assert!(matches!(of(408, ""), Kind::Busy { .. }));
        let long = r#"{"error":{"message":"This model's maximum context length is 8 tokens."}}"#;
        assert!(matches!(of(400, long), Kind::TooLong(_)));
        assert!(
            matches!(of(500, "Internal Server Error"), Kind::Refused { status: 500, said } if said == "Internal Server Error")
        );
        assert!(RemoteError::of_status("h", 200, "", None, false).is_none());
    }

    #[test]
    fn what_a_server_says_is_one_short_clean_line() {
        assert!(!said("a\n\u{1b}[31mb").contains(char::is_control));
        assert_eq!(said("<html>no</html>"), "");
        assert!(said(&"x".repeat(9999)).chars().count() <= QUOTED + 1);
    }
}
