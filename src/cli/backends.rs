//! Model servers on the command line and in config.toml.
//!
//! ```toml
//! [backends.gpu]
//! url = "http://gpu:8000"
//! flavour = "vllm"        # detected if omitted
//! key_env = "GPU_KEY"     # or key_command, or key_file, which only its owner can read
//! ca_file = "/etc/ca.pem" # instead of the system's certificates
//! context = 32768         # if the server does not report it
//! ```

use super::args::Common;
use super::config::{table, wrong};
use super::exit::{Exit, Failed};
use base::untrusted::clean_line;
use illumine::engine::remote::{Backends, KeyCommand, KeySource, NamedBackend};
use remote::{Address, Flavour, Key, is_address};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Reads the named backends from the configuration file.
pub fn read(
    path: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, NamedBackend>, Failed> {
    let table = table(path)?;
    let Some(Value::Table(rows)) = table.get("backends") else {
        return Ok(BTreeMap::new());
    };
    let row = |(name, value): (&String, &Value)| {
        let named = |why: String| wrong(path, &format!("[backends.{}]: {why}", clean_line(name)));
        let fields = value
            .as_table()
            .ok_or_else(|| named("it must be a table".to_string()))?;
        Ok((name.clone(), backend(fields, &variable).map_err(named)?))
    };
    rows.iter().map(row).collect()
}

fn backend(
    fields: &Table,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<NamedBackend, String> {
    const KNOWN: [&str; 8] = [
        "url",
        "model",
        "flavour",
        "key_env",
        "key_file",
        "key_command",
        "context",
        "ca_file",
    ];
    if let Some(other) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!(
            "unknown entry {}; known entries are {}",
            clean_line(other),
            KNOWN.join(", ")
        ));
    }
    let text = |name: &str| match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} must be a string")),
    };
    let url = text("url")?.ok_or("url is missing, for example url = \"http://gpu:8000\"")?;
    let mut address = Address::parse(&url).map_err(|error| error.to_string())?;
    address.model = text("model")?.or(address.model);
    let flavour = text("flavour")?.map(|name| {
        let all: Vec<&str> = Flavour::ALL.iter().map(|flavour| flavour.name()).collect();
        Flavour::parse(&name).ok_or_else(|| format!("flavour is one of {}", all.join(", ")))
    });
    let context = match fields.get("context") {
        None => None,
        Some(Value::Integer(tokens)) if *tokens >= 64 => usize::try_from(*tokens).ok(),
        Some(_) => return Err("context is a number of tokens, at least 64".to_string()),
    };
    let key = match (text("key_env")?, text("key_file")?, command(fields)?) {
        (None, None, None) => KeySource::Nowhere,
        (Some(name), None, None) => found(of_variable(&name, variable)),
        (None, Some(file), None) => found(of_file(Path::new(&file))),
        (None, None, Some(command)) => KeySource::Command(command),
        _ => return Err("name only one of key_env, key_file and key_command".to_string()),
    };
    Ok(NamedBackend {
        address,
        flavour: flavour.transpose()?,
        key,
        context,
        certificates: text("ca_file")?.map(PathBuf::from),
    })
}

/// Turns a key, or the reason why no key was found, into the backend's key source. A missing key is
/// reported only when the backend is used.
fn found(key: Result<Key, String>) -> KeySource {
    key.map_or_else(KeySource::Missing, KeySource::Known)
}

/// Parses `key_command`, the command that prints the key. Its value is a list of words or a string;
/// a string is split at white space.
fn command(fields: &Table) -> Result<Option<KeyCommand>, String> {
    let wrong = || {
        "key_command must be a program and its arguments, for example [\"pass\", \"show\", \"gpu\"]"
            .to_string()
    };
    let words: Vec<String> = match fields.get("key_command") {
        None => return Ok(None),
        Some(Value::String(text)) => text.split_whitespace().map(String::from).collect(),
        Some(Value::Array(words)) => {
            let words = words.iter().map(|word| word.as_str().map(String::from));
            words.collect::<Option<_>>().ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    KeyCommand::new(words).map(Some).ok_or_else(wrong)
}

/// Reads the key from an environment variable.
fn of_variable(name: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<Key, String> {
    let shown = clean_line(name);
    let value = variable(name).ok_or_else(|| {
        format!(
            "The variable {shown}, named by this backend's key_env, is not set; set it to the key"
        )
    })?;
    let key = Key::new(&value);
    key.ok_or_else(|| format!("The key in {shown} has characters no key can have; set it again"))
}

/// Reads the key from a file. It is an error if other users can access the file.
fn of_file(path: &Path) -> Result<Key, String> {
    let shown = clean_line(&path.display().to_string());
    let failed = |error: std::io::Error| {
        format!("Cannot read the key file {shown} ({error}); correct key_file in config.toml")
    };
    let mode = std::fs::metadata(path)
        .map_err(failed)?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "Others can read the key file {shown}; run chmod 600 on it"
        ));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let key = Key::new(&text);
    key.ok_or_else(|| format!("The key file {shown} must contain only the key; correct it"))
}

/// Returns the name of the model that the flags select, which may be a local model or a model on a
/// server. Returns None if no flag selects a model.
pub fn model_of(common: &Common) -> Result<Option<String>, Failed> {
    let model = match (&common.backend, &common.model) {
        (None, model) => model.clone(),
        (Some(backend), None) => Some(backend.clone()),
        (Some(backend), Some(model)) if is_address(backend) => {
            let place = backend.split('#').next().unwrap_or_default();
            Some(format!("{place}#{model}"))
        }
        (Some(backend), Some(model)) => Some(format!("{backend}:{model}")),
    };
    let problem = model.as_deref().and_then(Backends::problem_with);
    match problem {
        Some(why) => Err(Failed::new(Exit::Usage, why)),
        None => Ok(model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<NamedBackend, String> {
        let variable = |name: &str| (name == "GPU_KEY").then(|| "sk-1".to_string());
        backend(&text.parse().unwrap(), &variable)
    }

    #[test]
    fn a_backend_names_its_server_and_where_its_key_is() {
        let gpu = parsed(
            "url = \"http://gpu:8000/v1\"\nflavour = \"vllm\"\nkey_env = \"GPU_KEY\"\nmodel = \"qwen\"",
        )
        .unwrap();
        assert_eq!(gpu.address.root, "http://gpu:8000");
        assert_eq!(gpu.address.model.as_deref(), Some("qwen"));
        assert_eq!(gpu.flavour, Some(Flavour::Vllm));
        assert_eq!(gpu.key, KeySource::Known(Key::new("sk-1").unwrap()));
        let missing = parsed("url = \"http://gpu\"\nkey_env = \"OTHER\"").unwrap();
        assert!(matches!(missing.key, KeySource::Missing(why) if why.contains("OTHER")));
        let command = |words: &[&str]| {
            let words = words.iter().map(|word| word.to_string()).collect();
            KeyCommand::new(words).map(KeySource::Command)
        };
        let listed = parsed("url = \"http://gpu\"\nkey_command = [\"pass\", \"show\", \"my gpu\"]");
        assert_eq!(
            Some(listed.unwrap().key),
            command(&["pass", "show", "my gpu"])
        );
        let split =
            parsed("url = \"http://gpu\"\nca_file = \"ca.pem\"\nkey_command = \"pass gpu\"");
        let split = split.unwrap();
        assert_eq!(Some(split.key), command(&["pass", "gpu"]));
        assert_eq!(split.certificates, Some("ca.pem".into()));
    }

    #[test]
    fn a_slip_is_said() {
        for (text, says) in [
            ("", "url is missing"),
            ("url = \"gpu\"", "address"),
            (
                "url = \"http://g\"\nflavor = \"vllm\"",
                "unknown entry flavor",
            ),
            ("url = \"http://g\"\nflavour = \"x\"", "llama-server"),
            ("url = \"http://a:hunter2@g\"", "must not hold a password"),
            (
                "url = \"http://g\"\nkey_command = []",
                "a program and its arguments",
            ),
            (
                "url = \"http://g\"\nkey_env = \"A\"\nkey_file = \"b\"",
                "only one of key_env",
            ),
        ] {
            let why = parsed(text).unwrap_err();
            assert!(why.contains(says) && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "sk-2\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(of_file(&file).unwrap_err().contains("chmod 600"));
        mode(0o600);
        assert_eq!(of_file(&file).ok(), Key::new("sk-2"));
    }

    #[test]
    fn a_backend_and_a_model_on_it_are_one_name() {
        let named = |backend: &str, model: Option<&str>| {
            let common = Common {
                backend: Some(backend.to_string()),
                model: model.map(str::to_string),
                ..Common::default()
            };
            model_of(&common).unwrap().unwrap()
        };
        assert_eq!(named("http://h:1", Some("m")), "http://h:1#m");
        assert_eq!(named("gpu", Some("m")), "gpu:m");
        assert_eq!(named("gpu", None), "gpu");
    }
}
