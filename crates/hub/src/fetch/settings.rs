//! How to reach each source. `main` hands in the environment; nothing here reads it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the hub is, where its cache is, and who asks.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// Such as "https://huggingface.co".
    pub endpoint: String,
    /// The directory that holds `models--…`.
    pub cache: PathBuf,
    /// For repositories that ask who comes.
    pub token: Option<String>,
    /// Never asks the hub; its cache is used all the same.
    pub offline: bool,
}

impl HubSettings {
    /// Reads the variables that the hub's own tools read; `main` hands in the environment.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        user_home: &Path,
    ) -> HubSettings {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let cache_home = set("XDG_CACHE_HOME").map(PathBuf::from);
        let home = set("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let cache = cache_home.unwrap_or_else(|| user_home.join(".cache"));
            cache.join("huggingface")
        });
        let token_file = set("HF_TOKEN_PATH").map_or(home.join("token"), PathBuf::from);
        let token = set("HF_TOKEN").or_else(|| std::fs::read_to_string(token_file).ok());
        let yes = |value: String| ["1", "on", "yes", "true"].contains(&&*value.to_lowercase());
        HubSettings {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()),
            cache: set("HF_HUB_CACHE").map_or(home.join("hub"), PathBuf::from),
            token: token
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(yes),
        }
    }
}

/// How to reach the network.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Certificates to trust, in PEM (SSL_CERT_FILE and its like); without, Mozilla's.
    pub certificates: Option<PathBuf>,
    /// Whether proxies are taken from HTTPS_PROXY, ALL_PROXY and NO_PROXY.
    pub proxies: bool,
    /// The longest wait for a name, and for a connection.
    pub connect: Duration,
    /// The longest silence in the middle of a file.
    pub silence: Duration,
    /// The rest before a broken connection is tried again, when it brought nothing.
    pub rest: Duration,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            certificates: None,
            proxies: true,
            connect: Duration::from_secs(4),
            silence: Duration::from_secs(30),
            rest: Duration::from_secs(2),
        }
    }
}

impl HttpSettings {
    /// Reads the variables that name certificates; `main` hands in the environment.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> HttpSettings {
        let names = [
            "SSL_CERT_FILE",
            "PIP_CERT",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
        ];
        let set = names.iter().filter_map(|name| variable(name));
        HttpSettings {
            certificates: set.map(PathBuf::from).find(|path| path.is_file()),
            ..HttpSettings::default()
        }
    }
}

/// How pip is called.
#[derive(Clone, Debug)]
pub struct PipSettings {
    /// Commands to try, each a program and its first arguments.
    pub commands: Vec<Vec<String>>,
}

impl Default for PipSettings {
    fn default() -> PipSettings {
        let commands = ["python3 -m pip", "python -m pip", "pip3", "pip"];
        let words = |command: &&str| command.split(' ').map(String::from).collect();
        PipSettings {
            commands: commands.iter().map(words).collect(),
        }
    }
}
