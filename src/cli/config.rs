//! config.toml: the writer's own defaults, which flags and environment variables override.
//!
//! ```toml
//! model = "smollm2-135m"
//! mode = "prose"
//! system = ""
//! read_ahead = true
//! backups = 7
//! [sampling]
//! temperature = 0.8
//! [keys]
//! "alt+g" = "/gen n=2"
//! [backends.gpu]
//! url = "http://gpu:8000"
//! ```

use super::exit::{Exit, Failed};
use base::decode::decode;
use base::untrusted::clean_line;
use illumine::tui::keymap::Keymap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use story::{Mode, Settings, sampling};
use toml::{Table, Value};

/// The maximum size of config.toml in bytes.
const LARGEST: u64 = 1 << 20;

/// Reads the settings from the file; a missing file is not an error.
pub fn read(path: &Path) -> Result<Settings, Failed> {
    settings(&table(path)?).map_err(|why| wrong(path, &why))
}

/// Reads the key bindings from the file.
pub fn keys(path: &Path) -> Result<Keymap, Failed> {
    keymap(&table(path)?).map_err(|why| wrong(path, &why))
}

/// Whether the model prefills a line while the writer is still typing it; true by default.
pub fn read_ahead(path: &Path) -> Result<bool, Failed> {
    let set = table(path)?.get("read_ahead").and_then(Value::as_bool);
    Ok(set.unwrap_or(true))
}

/// The number of daily backups that are kept for each session.
pub fn backups(path: &Path) -> Result<usize, Failed> {
    let set = table(path)?.get("backups").and_then(Value::as_integer);
    Ok(set.and_then(|set| usize::try_from(set).ok()).unwrap_or(7))
}

pub(super) fn table(path: &Path) -> Result<Table, Failed> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > LARGEST => {
            return Err(wrong(path, "it is larger than 1 MB"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Table::new()),
        Err(error) => return Err(wrong(path, &error.to_string())),
    }
    let text = decode(bytes).map_err(|error| wrong(path, &format!("it {error}")))?;
    text.parse()
        .map_err(|error: toml::de::Error| wrong(path, error.message()))
}

fn keymap(table: &Table) -> Result<Keymap, String> {
    let rows = match table.get("keys") {
        None => return Ok(Keymap::default()),
        Some(Value::Table(rows)) => rows,
        Some(_) => return Err("[keys] must be a table of keys and commands".to_string()),
    };
    let pairs = rows
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or("")));
    Keymap::new(pairs).map_err(|error| error.to_string())
}

fn settings(table: &Table) -> Result<Settings, String> {
    let mut settings = Settings::default();
    for (key, value) in table {
        match (key.as_str(), value) {
            ("model", Value::String(name)) => settings.model.clone_from(name),
            ("system", Value::String(text)) => settings.system.clone_from(text),
            ("mode", Value::String(word)) => {
                let mode = Mode::parse(word);
                settings.mode = mode.ok_or("mode is \"prose\" or \"chat\"".to_string())?;
            }
            ("sampling", Value::Table(rows)) => {
                for (name, value) in rows {
                    let set = sampling::set(&mut settings.sampling, name, &plain(value));
                    set.map_err(|error| error.to_string())?;
                }
            }
            ("read_ahead", Value::Boolean(_)) => {}
            ("backups", Value::Integer(0..=1000)) => {}
            ("backups", _) => {
                return Err("backups is a number of days from 0 to 1000".to_string());
            }
            ("keys", Value::Table(_)) => _ = keymap(table)?,
            ("backends", Value::Table(_)) => {}
            (other, _) => {
                let known = "model, mode, system, read_ahead, backups, [sampling], [keys] and \
                             [backends.NAME]";
                return Err(format!(
                    "unknown entry {}; known entries are {known}",
                    clean_line(other)
                ));
            }
        }
    }
    Ok(settings)
}

/// Converts a TOML value to text that a setting's parser accepts; a list becomes JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => serde_json::to_string(value).unwrap_or_default(),
        other => other.to_string(),
    }
}

pub(super) fn wrong(path: &Path, why: &str) -> Failed {
    let path = clean_line(&path.display().to_string());
    Failed::new(
        Exit::Usage,
        format!("Invalid configuration file {path}: {why}; correct or remove it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_what_it_names() {
        let text = "mode = \"chat\"\n[sampling]\ntemperature = 0.5\nstop = [\"\\nUser:\"]\n";
        let settings = settings(&text.parse().unwrap()).unwrap();
        assert_eq!(settings.mode, Mode::Chat);
        assert_eq!(settings.sampling.temperature, 0.5);
        assert_eq!(settings.sampling.stop, ["\nUser:"]);
    }

    #[test]
    fn a_mark_is_no_part_of_the_file_and_a_huge_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "\u{feff}mode = \"chat\"\r\n").unwrap();
        assert_eq!(read(&path).unwrap().mode, Mode::Chat);
        let file = File::create(&path).unwrap();
        file.set_len(100 << 20).unwrap();
        let why = read(&path).unwrap_err().why;
        assert!(why.contains("larger than 1 MB"), "{why}");
        std::fs::write(&path, b"mode = \"caf\xe9\"").unwrap();
        let why = read(&path).unwrap_err().why;
        assert!(why.contains("it is not UTF-8 (at byte 11)"), "{why}");
    }

    #[test]
    fn a_slip_is_said_and_not_ignored() {
        let error = settings(&"modle = \"x\"".parse().unwrap()).unwrap_err();
        assert!(error.contains("unknown entry modle"), "{error}");
        let error = settings(&"[sampling]\ntemprature = 1".parse().unwrap()).unwrap_err();
        assert!(error.contains("temperature"), "{error}");
    }
}
