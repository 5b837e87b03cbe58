//! The address of a model server as a writer types it: `http://host:8080`, optionally followed by
//! `#MODEL`.

use ureq::http::Uri;

/// The address of a model server and the name of a model on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The scheme, host, port and path of the server, without `/v1` and without a trailing slash.
    pub root: String,
    /// The name of the model. If it is `None`, the server chooses a model.
    pub model: Option<String>,
}

/// The reason why a text is not a valid address. The message does not quote the text, since the
/// text may contain a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "This is not the address of a server; write http://HOST:PORT, or http://HOST:PORT#MODEL for a model on it"
    )]
    Malformed,
    #[error(
        "The address of a server must not hold a password or a key, since it is saved with the story; put the key into ILLUMINE_API_KEY, or name its variable with key_env in config.toml"
    )]
    Secret,
}

/// Address endings that name a route on the server rather than the server itself.
const ROUTES: [&str; 8] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/messages",
    "/v1/models",
    "/completion",
    "/api/generate",
    "/api/chat",
    "/v1",
];

/// Whether a text that was given as the name of a model is the address of a server.
pub fn is_address(name: &str) -> bool {
    let starts = |scheme: &str| {
        name.get(..scheme.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    starts("http://") || starts("https://")
}

impl Address {
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let text = text.trim();
        let (place, model) = match text.split_once('#') {
            Some((place, model)) => (place, Some(model.trim())),
            None => (text, None),
        };
        let uri: Uri = place.parse().map_err(|_| AddressError::Malformed)?;
        let authority = uri.authority().ok_or(AddressError::Malformed)?;
        if !is_address(place) || uri.host().is_none_or(str::is_empty) {
            return Err(AddressError::Malformed);
        }
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(AddressError::Secret);
        }
        let mut path = uri.path().trim_end_matches('/');
        for route in ROUTES {
            path = path.strip_suffix(route).unwrap_or(path);
        }
        let scheme = uri.scheme_str().unwrap_or("http");
        Ok(Address {
            root: format!("{scheme}://{authority}{}", path.trim_end_matches('/'))
                .to_lowercase_host(),
            model: model.filter(|it| !it.is_empty()).map(str::to_string),
        })
    }

    pub fn host(&self) -> &str {
        let after = self.root.split_once("://").map_or("", |(_, rest)| rest);
        let authority = after.split('/').next().unwrap_or_default();
        match authority.strip_prefix('[') {
            Some(six) => six.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether the server is on this machine.
    pub fn is_local(&self) -> bool {
        let host = self.host();
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    pub fn is_encrypted(&self) -> bool {
        self.root.starts_with("https://")
    }
}

trait LowercaseHost {
    fn to_lowercase_host(self) -> String;
}

impl LowercaseHost for String {
    /// Converts the scheme and the host to lower case, but not the path.
    fn to_lowercase_host(self) -> String {
        let start = self.find("://").map_or(0, |at| at + 3);
        let end = self[start..].find('/').map_or(self.len(), |at| start + at);
        self[..end].to_lowercase() + &self[end..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_writer_pastes_is_understood() {
        let root = |text: &str| Address::parse(text).unwrap().root;
        for text in [
            "http://localhost:8080",
            "HTTP://LocalHost:8080/",
            " http://localhost:8080/v1 ",
            "http://localhost:8080/v1/chat/completions",
            "http://localhost:8080/completion#",
        ] {
            assert_eq!(root(text), "http://localhost:8080", "{text}");
        }
        assert_eq!(
            root("https://openrouter.ai/api/v1"),
            "https://openrouter.ai/api"
        );
        let named = Address::parse("http://gpu:11434#qwen3:32b").unwrap();
        assert_eq!(named.model.as_deref(), Some("qwen3:32b"));
        assert_eq!(named.host(), "gpu");
    }

    #[test]
    fn secrets_in_an_address_are_refused_and_not_repeated() {
        for text in ["http://me:hunter2@host", "https://host/v1?key=hunter2"] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error, AddressError::Secret);
            assert!(!error.to_string().contains("hunter2"));
        }
        for text in ["http://", "ftp://host", "https:///x", "http://a b"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn this_machine_is_told_from_others() {
        let local = |text: &str| Address::parse(text).unwrap().is_local();
        assert!(
            local("http://127.0.0.1:8080") && local("http://[::1]:80") && local("http://localhost")
        );
        assert!(!local("http://localhost.example.com") && !local("https://10.0.0.1"));
    }
}
