//! The settings of each source. This module does not read the environment; `main` passes it in.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings of the model hub: its address, cache and token.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The hub's address, such as `https://huggingface.co`.
    pub endpoint: String,
    /// The hub's cache directory, which contains one folder `models--…` per repository.
    pub cache: PathBuf,
    /// The access token for repositories that require one.
    pub token: Option<String>,
    /// Whether to use only the hub's cache and not contact the hub.
    pub offline: bool,
}

impl HubSettings {
    /// Parses the environment variables that the hub's own tools use. `variable` returns the value
    /// of a variable.
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

/// The settings of the HTTP client: certificates, proxies and timeouts.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// A PEM file of trusted certificates, from SSL_CERT_FILE or a similar variable. If None,
    /// Mozilla's certificates are trusted.
    pub certificates: Option<PathBuf>,
    /// Whether to use proxies from HTTPS_PROXY, ALL_PROXY and NO_PROXY.
    pub proxies: bool,
    /// The timeout for resolving a name and connecting.
    pub connect: Duration,
    /// The timeout for a connection on which no data arrives.
    pub silence: Duration,
    /// The base delay before a retry. It is multiplied by the number of connections in a row that
    /// have delivered no data.
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
    /// Parses the environment variables that name a file of certificates. `variable` returns the
    /// value of a variable.
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

/// The settings for calling pip.
#[derive(Clone, Debug)]
pub struct PipSettings {
    /// The commands to try in order. Each is a program and its first arguments.
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
