//! The model servers that the writer configured, and the key for each server.

use super::keys::KeySource;
use remote::{Address, Flavour, Key, Network, is_address};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The servers that a model's name can refer to, with the data needed to connect to them.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    /// The servers in config.toml, by name.
    pub named: BTreeMap<String, NamedBackend>,
    /// The key in ILLUMINE_API_KEY. The key is sent only to servers on this machine and to the
    /// addresses in `given`, because an address in somebody else's story must not receive it.
    pub key: Option<Key>,
    /// The addresses that the writer gave on the command line, in an environment variable or in
    /// config.toml.
    pub given: Vec<String>,
    pub network: Network,
}

/// A server in config.toml.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedBackend {
    pub address: Address,
    /// The flavour of the server; None to detect it.
    pub flavour: Option<Flavour>,
    pub key: KeySource,
    /// The context size in tokens, for a server that does not report one.
    pub context: Option<usize>,
    /// A PEM file; only the certificates in this file are trusted.
    pub certificates: Option<PathBuf>,
}

/// A model on a server, with the data needed to connect to the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub address: Address,
    pub flavour: Option<Flavour>,
    pub key: KeySource,
    pub context: Option<usize>,
    /// A PEM file; only the certificates in this file are trusted.
    pub certificates: Option<PathBuf>,
}

impl Backends {
    /// Returns the server that a model's name refers to; None for a local model.
    pub fn find(&self, model: &str) -> Option<Result<Target, String>> {
        if is_address(model) {
            let address = Address::parse(model).map_err(|error| error.to_string());
            return Some(address.map(|address| self.of_address(address)));
        }
        let (name, on_it) = match model.split_once(':') {
            Some((name, on_it)) => (name, Some(on_it)),
            None => (model, None),
        };
        let backend = self.named.get(name)?;
        let on_it = on_it.filter(|it| !it.is_empty()).map(str::to_string);
        Some(Ok(backend.target(Address {
            model: on_it.or(backend.address.model.clone()),
            ..backend.address.clone()
        })))
    }

    fn of_address(&self, address: Address) -> Target {
        // A bare address also refers to the server with that address in config.toml.
        let mut named = self.named.values();
        if let Some(known) = named.find(|it| it.address.root == address.root) {
            return known.target(address);
        }
        let root = |given: &String| Address::parse(given).ok().map(|it| it.root);
        let given = self.given.iter().filter_map(root);
        let trusted = address.is_local() || given.into_iter().any(|it| it == address.root);
        let key = self.key.clone().filter(|_| trusted);
        Target {
            key: key.map_or(KeySource::Nowhere, KeySource::Known),
            flavour: None,
            context: None,
            certificates: None,
            address,
        }
    }

    /// If a model's name looks like an address but is not a valid one, returns a sentence that says
    /// why. The sentence does not quote the name.
    pub fn problem_with(model: &str) -> Option<String> {
        let error = is_address(model).then(|| Address::parse(model).err());
        error.flatten().map(|error| error.to_string())
    }
}

impl NamedBackend {
    fn target(&self, address: Address) -> Target {
        Target {
            address,
            flavour: self.flavour,
            key: self.key.clone(),
            context: self.context,
            certificates: self.certificates.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(key: &str) -> KeySource {
        KeySource::Known(Key::new(key).unwrap())
    }

    fn backends() -> Backends {
        let gpu = NamedBackend {
            address: Address::parse("http://gpu:8000/v1").unwrap(),
            flavour: Some(Flavour::Vllm),
            key: known("sk-gpu"),
            context: Some(4096),
            certificates: Some("ca.pem".into()),
        };
        Backends {
            named: [("gpu".to_string(), gpu)].into(),
            key: Key::new("sk-main"),
            given: vec!["https://given.example/v1".into()],
            ..Backends::default()
        }
    }

    #[test]
    fn a_name_and_a_model_on_it_are_found() {
        let backends = backends();
        let target = backends.find("gpu:qwen3:32b").unwrap().unwrap();
        assert_eq!(target.address.model.as_deref(), Some("qwen3:32b"));
        assert_eq!((target.key, target.context), (known("sk-gpu"), Some(4096)));
        assert_eq!(target.certificates, Some("ca.pem".into()));
        assert_eq!(backends.find("gpu").unwrap().unwrap().address.model, None);
        assert!(backends.find("smollm2-135m").is_none() && backends.find("./a:b.gguf").is_none());
    }

    #[test]
    fn the_common_key_goes_only_where_the_writer_sent_it() {
        let key = |model: &str| backends().find(model).unwrap().unwrap().key;
        assert_eq!(key("https://given.example#big"), known("sk-main"));
        assert_eq!(key("http://localhost:8080"), known("sk-main"));
        assert_eq!(key("https://evil.example"), KeySource::Nowhere);
        assert_eq!(key("http://gpu:8000"), known("sk-gpu"));
    }

    #[test]
    fn a_password_in_an_address_is_refused() {
        let why = Backends::problem_with("http://a:hunter2@h").unwrap();
        assert!(!why.contains("hunter2"));
        assert!(Backends::problem_with("http://h").is_none());
        assert!(Backends::problem_with("a@b").is_none());
    }
}
