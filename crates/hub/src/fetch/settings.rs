//! Settings of each source. `main` passes in the environment; nothing here reads it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The hub's address, cache and token.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The address, such as `https://huggingface.co`.
    pub endpoint: String,
    /// The directory that holds `models--…`.
    pub cache: PathBuf,
    /// The token, for repositories that need one.
    pub token: Option<String>,
    /// Whether to use only the hub's cache, not the hub itself.
    pub offline: bool,
}

impl HubSettings {
    /// Parses the variables of the hub's own tools; `main` passes in the environment.
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

/// Certificates, proxies and timeouts.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// A PEM file of trusted certificates (SSL_CERT_FILE and similar variables); Mozilla's by
    /// default.
    pub certificates: Option<PathBuf>,
    /// Whether to use proxies from HTTPS_PROXY, ALL_PROXY and NO_PROXY.
    pub proxies: bool,
    /// The timeout for resolving a name and connecting.
    pub connect: Duration,
    /// How long a transfer may go without data.
    pub silence: Duration,
    /// The delay before retrying a connection that brought no data.
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
    /// Parses the variables for certificates; `main` passes in the environment.
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

/// How to call pip.
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
