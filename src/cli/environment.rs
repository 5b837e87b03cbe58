//! Everything that the program reads from its environment: variables, folders and the clock.
//!
//! Libraries never read the environment; this module reads everything that they need, once.

use super::args::{Common, On};
use super::exit::{Exit, Failed};
pub use super::variables::{colour, variable};
use base::untrusted::clean;
use etcetera::BaseStrategy;
use hub::catalog::Catalog;
use hub::fetch::{HttpSettings, HubSettings, ModelStore};
use illumine::editor::Editor;
use illumine::engine::remote::{Backends, NearbyServers};
use illumine::engine::{ModelLoader, image_pipeline};
use illumine::store::Sessions;
use illumine::store::prompts::Prompts;
use illumine::studio::Setup;
use illumine::tui::Graphics;
use imagegen::config::Config;
use remote::{Key, Network};
use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use story::voice::PromptTemplate;
use story::{Mode, SettingOverrides, Settings};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The program's name and version, for provenance.
pub const BUILD: &str = concat!("illumine ", env!("CARGO_PKG_VERSION"));

/// The folders and files that illumine uses.
pub struct Paths {
    pub sessions: PathBuf,
    pub models: PathBuf,
    /// The input history of `illumine repl`.
    pub history: PathBuf,
    /// The input history of the editor.
    pub lines: PathBuf,
    pub config: PathBuf,
    /// The folder of the writer's own voices and prompt templates.
    pub prompts: PathBuf,
}

impl Paths {
    pub fn find() -> Result<Paths, Failed> {
        let base = etcetera::choose_base_strategy();
        let base = base.map_err(|_| {
            let why = "Cannot find your home folder; set HOME, or choose a folder with --sessions";
            Failed::new(Exit::Session, why)
        })?;
        let data = base.data_dir().join("illumine");
        let state = base
            .state_dir()
            .unwrap_or_else(|| base.data_dir())
            .join("illumine");
        let config = variable("ILLUMINE_CONFIG")
            .map(PathBuf::from)
            .unwrap_or_else(|| base.config_dir().join("illumine/config.toml"));
        Ok(Paths {
            sessions: folder("ILLUMINE_SESSIONS").unwrap_or_else(|| data.join("sessions")),
            models: folder("ILLUMINE_MODELS").unwrap_or_else(|| data.join("models")),
            history: state.join("history.txt"),
            lines: state.join("lines.jsonl"),
            prompts: config.with_file_name("prompts"),
            config,
        })
    }
}

/// The writer's editor, from VISUAL or EDITOR.
pub fn editor() -> Option<Editor> {
    let command = variable("VISUAL").or_else(|| variable("EDITOR"))?;
    let folder = env::temp_dir();
    Some(Editor { command, folder })
}

/// Returns the current folder; None if it cannot be determined.
pub fn current_folder() -> Option<PathBuf> {
    env::current_dir().ok()
}

fn folder(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Whether the variable `COLORTERM` says that the terminal supports true colour.
pub fn all_colours() -> bool {
    let colours = variable("COLORTERM").unwrap_or_default();
    ["truecolor", "24bit"].contains(&colours.as_str())
}

/// What the environment variables reveal about the terminal's graphics. The terminal itself is
/// queried later, but it is asked about kitty's protocol only if these variables suggest that it
/// will understand the query.
pub fn graphics() -> Graphics {
    let is = |name: &str, what: &[&str]| {
        let value = variable(name).unwrap_or_default().to_lowercase();
        what.iter().any(|what| value.contains(what))
    };
    let between = variable("TMUX").is_some() || is("TERM", &["screen", "tmux"]);
    let kitty = variable("KITTY_WINDOW_ID").is_some()
        || is("TERM", &["kitty", "ghostty"])
        || is("TERM_PROGRAM", &["kitty", "ghostty"]);
    let iterm =
        is("TERM_PROGRAM", &["iterm", "wezterm", "mintty"]) || is("LC_TERMINAL", &["iterm"]);
    Graphics {
        // Konsole's graphics are known to be broken.
        ask: colour() && variable("KONSOLE_VERSION").is_none(),
        kitty: kitty && !between,
        iterm: iterm && !between,
        far: variable("SSH_CONNECTION").is_some(),
    }
}

pub fn catalog() -> Result<Catalog, Failed> {
    Catalog::embedded().map_err(|error| Failed::new(Exit::Model, error))
}

pub fn model_store(paths: &Paths, offline: bool) -> ModelStore {
    let home = etcetera::home_dir().unwrap_or_default();
    let hub = HubSettings::from_variables(variable, Path::new(&home));
    let http = HttpSettings::from_variables(variable);
    let offline = offline || hub.offline;
    ModelStore {
        offline,
        ..ModelStore::new(paths.models.clone(), hub, http)
    }
}

/// The number of compute threads: `asked` if given, otherwise one for each processor available to
/// this process.
pub fn threads(asked: Option<u16>) -> usize {
    let there = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or_else(there, usize::from)
}

pub fn loader(paths: &Paths, common: &Common) -> Result<ModelLoader, Failed> {
    Ok(ModelLoader {
        catalog: catalog()?,
        store: model_store(paths, common.offline),
        device: common.on.device,
        threads: threads(common.on.threads),
        kv: common.on.kv,
        draft: common.draft.clone(),
        weights: weights(paths, common.weights.as_deref()),
        backends: backends(paths, common)?,
    })
}

/// The servers that a model name can refer to, and their keys.
pub fn backends(paths: &Paths, common: &Common) -> Result<Backends, Failed> {
    let configured = super::config::read(&paths.config)?.model;
    let given = [
        common.model.clone(),
        common.backend.clone(),
        Some(configured),
    ];
    let network = Network {
        certificates: HttpSettings::from_variables(variable).certificates,
        clock: Some(std::time::SystemTime::now),
        ..Network::default()
    };
    Ok(Backends {
        named: super::backends::read(&paths.config, variable)?,
        key: variable("ILLUMINE_API_KEY").and_then(|key| Key::new(&key)),
        given: given.into_iter().flatten().collect(),
        network,
    })
}

/// The folders that may contain the image model's weights. If `named` is given, it is the only one.
/// Otherwise they are the folder beside the text models and any `models` folder in a parent folder
/// of this program.
pub fn weights(paths: &Paths, named: Option<&Path>) -> Vec<PathBuf> {
    const NAME: &str = "illuminator-64";
    if let Some(named) = named {
        return vec![named.to_path_buf()];
    }
    let program = env::current_exe().unwrap_or_default();
    let beside = program.ancestors().map(|it| it.join("models").join(NAME));
    std::iter::once(paths.models.join(NAME))
        .chain(beside)
        .collect()
}

/// The styles of the installed image weights, for completion.
fn styles(paths: &Paths, common: &Common) -> Vec<String> {
    let folder = image_pipeline::find_weights(&weights(paths, common.weights.as_deref()));
    let config = folder
        .ok()
        .and_then(|it| std::fs::read(it.join("config.json")).ok());
    let config = config.and_then(|json| Config::parse(&json).ok());
    let styles = config.map_or(Vec::new(), |config| config.styles);
    styles.iter().map(|name| clean(name).into_owned()).collect()
}

/// Creates a model loader for commands whose only model flags are those of [`On`].
pub fn plain_loader(paths: &Paths, on: &On) -> Result<ModelLoader, Failed> {
    let common = Common {
        on: on.clone(),
        ..Common::default()
    };
    loader(paths, &common)
}

/// The settings of a new session. Flags and environment variables override config.toml, and
/// config.toml overrides the defaults.
pub fn settings(paths: &Paths, common: &Common) -> Result<Settings, Failed> {
    settings_with(paths, common, None)
}

/// Like [`settings`], but with a prompt template. The template's mode and settings override
/// config.toml, and flags override the template.
pub fn settings_with(
    paths: &Paths,
    common: &Common,
    template: Option<&PromptTemplate>,
) -> Result<Settings, Failed> {
    let usage = |error| Failed::new(Exit::Usage, error);
    let mut settings = super::config::read(&paths.config)?;
    if let Some(template) = template {
        settings = template.apply_to(settings).map_err(usage)?;
    }
    let settings = asked(common)?.apply_to(settings);
    settings.map_err(usage)
}

/// The settings that flags and environment variables set.
pub fn asked(common: &Common) -> Result<SettingOverrides, Failed> {
    let flags = &common.sampling;
    let named = [
        ("max_tokens", &flags.max_tokens),
        ("seed", &flags.seed),
        ("temperature", &flags.temperature),
        ("top_k", &flags.top_k),
        ("top_p", &flags.top_p),
        ("min_p", &flags.min_p),
    ];
    let mut sampling: Vec<(String, String)> = Vec::new();
    for (name, value) in named {
        sampling.extend(value.clone().map(|value| (name.to_string(), value)));
    }
    for pair in &flags.set {
        let pair = pair.split_once('=');
        let usage = || {
            Failed::new(
                Exit::Usage,
                "--set takes NAME=VALUE, for example --set min_p=0.1",
            )
        };
        let (name, value) = pair.ok_or_else(usage)?;
        sampling.push((name.to_string(), value.to_string()));
    }
    Ok(SettingOverrides {
        model: super::backends::model_of(common)?,
        mode: common.chat.then_some(Mode::Chat),
        system: common
            .system
            .as_deref()
            .map(|system| clean(system).into_owned()),
        sampling,
    })
}

pub fn setup(paths: &Paths, common: &Common) -> Result<Setup, Failed> {
    let sessions = common.sessions.as_ref().unwrap_or(&paths.sessions);
    Ok(Setup {
        sessions: Sessions::new(sessions),
        defaults: settings(paths, common)?,
        asked: asked(common)?,
        build: BUILD.to_string(),
        entropy: entropy(),
        now,
        backups: super::config::backups(&paths.config)?,
        private: common.private,
        prompts: Prompts::new(paths.prompts.clone()),
        home: etcetera::home_dir().ok(),
        styles: styles(paths, common),
        models: {
            let catalog = catalog()?;
            let entries = catalog.entries().iter().map(|entry| entry.name.clone());
            let named = super::backends::read(&paths.config, variable)?;
            entries.chain(named.into_keys()).collect()
        },
        servers: (!model_store(paths, common.offline).offline).then(NearbyServers::default),
    })
}

/// Returns a random number from the operating system. If the system provides none, the number comes
/// from the random keys of the standard library's hash function.
pub fn entropy() -> u64 {
    getrandom::u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish())
}

pub fn now() -> String {
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}
