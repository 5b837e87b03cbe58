//! Connects to a server: detects its kind, its model, and its context size.

use super::counts::Counts;
use super::settings::Target;
use super::source::OwnShare;
use super::{Remote, Server};
use crate::engine::text::Memory;
use base::hash::sha256;
use base::progress::Observer;
use base::untrusted::clean_line;
use remote::{
    Client, Flavour, Kind, Network, RemoteError, check_certificates, count_tokens, probe,
};
use std::collections::{HashMap, HashSet};
use std::thread::sleep;
use std::time::{Duration, Instant};
use story::ModelInfo;

/// The reason why no connection was made.
#[derive(Debug)]
pub enum NotConnected {
    Stopped,
    /// The connection failed; the text says why in one plain sentence.
    Failed(String),
}

/// How long to wait, while connecting, for a server to load its model.
const LOADING: Duration = Duration::from_secs(900);
/// The context size, in tokens, that is assumed if the server does not report one.
const UNTOLD: usize = 4096;

impl Remote {
    /// Connects to the server in `target`.
    pub fn connect(
        target: Target,
        network: &Network,
        observer: &dyn Observer,
    ) -> Result<Remote, NotConnected> {
        let began = Instant::now();
        let address = target.address;
        let root = clean_line(&address.root);
        observer.progress(&format!("Connecting to {root}"), 0, None);
        let known = target.flavour.or(Flavour::of_host(address.host()));
        let key = target.key.key(observer);
        let key = key.map_err(|why| match observer.is_cancelled() {
            true => NotConnected::Stopped,
            false => NotConnected::Failed(why),
        })?;
        let has_key = key.is_some();
        let certificates = target.certificates.or(network.certificates.clone());
        let network = Network {
            certificates,
            ..network.clone()
        };
        if address.is_encrypted() {
            check_certificates(&network).map_err(NotConnected::Failed)?;
        }
        let client = Client::new(&address.root, key, address.is_local(), &network);
        let client = client.speaking(known);
        let server = ready(&client, known, address.model.as_deref(), observer)?;
        if let Some(why) = unnamed(&root, address.model.as_deref(), &server) {
            return Err(NotConnected::Failed(why));
        }
        let told = target.context.or(server.context);
        let context = told.unwrap_or(match server.flavour {
            Flavour::OpenAi | Flavour::Anthropic => 128_000,
            // The default of its command line.
            Flavour::LlamaCppPython => 2048,
            _ => UNTOLD,
        });
        let stopped = || observer.is_cancelled();
        let counted = count_tokens(&client, server.flavour, &server.model, "a", &stopped);
        let exact = counted.map_err(not_connected)?.is_some();
        let mut notes = Vec::new();
        if has_key && !address.is_local() && !address.is_encrypted() {
            notes.push(
                "the key is sent unencrypted; use https if the server supports it".to_string(),
            );
        }
        if told.is_none() {
            notes.push(format!(
                "the server does not report its context size, so {context} tokens are assumed; set context for its backend in config.toml"
            ));
        }
        if server.flavour.prose().is_none() {
            notes
                .push("the server only chats, so prose is continued by an instruction".to_string());
        }
        let about = about(&root, &server, context, notes, began);
        Ok(Remote {
            about,
            client,
            counts: Counts::new(exact),
            local: address.is_local(),
            whole: false,
            only_chats: false,
            refuses_prefill: false,
            refused: HashSet::new(),
            said: HashSet::new(),
            words: HashMap::new(),
            memory: Memory::default(),
            share: OwnShare::default(),
            server,
        })
    }
}

/// Returns a message asking the writer to name a model, if none was named and the server cannot
/// choose one. Otherwise returns None.
fn unnamed(root: &str, named: Option<&str>, server: &Server) -> Option<String> {
    if named.is_some() {
        return None;
    }
    let names: Vec<String> = server
        .models
        .iter()
        .take(6)
        .map(|it| clean_line(&it.name))
        .collect();
    match server.flavour {
        Flavour::TransformersServe | Flavour::Sglang if server.model.is_empty() => Some(format!(
            "{root} does not report its model; name one, for example {root}#MODEL"
        )),
        // Services offer many models, and they cost money.
        Flavour::OpenAi | Flavour::Anthropic | Flavour::OpenRouter => Some(format!(
            "{root} has many models, such as {}; name one, for example {root}#MODEL",
            names.join(", ")
        )),
        _ => None,
    }
}

/// Polls the server until it has loaded its model.
fn ready(
    client: &Client,
    flavour: Option<Flavour>,
    model: Option<&str>,
    observer: &dyn Observer,
) -> Result<Server, NotConnected> {
    let began = Instant::now();
    loop {
        let error = match probe(client, flavour, model, &|| observer.is_cancelled()) {
            Ok(server) => return Ok(server),
            Err(error) => error,
        };
        if error.kind != Kind::Loading || began.elapsed() > LOADING {
            return Err(not_connected(error));
        }
        observer.progress("The server is loading its model", 0, None);
        sleep(Duration::from_millis(200));
        if observer.is_cancelled() {
            return Err(NotConnected::Stopped);
        }
    }
}

fn not_connected(error: RemoteError) -> NotConnected {
    match error.kind {
        Kind::Stopped => NotConnected::Stopped,
        _ => NotConnected::Failed(error.to_string()),
    }
}

fn about(
    root: &str,
    server: &Server,
    context: usize,
    notes: Vec<String>,
    began: Instant,
) -> ModelInfo {
    let flavour = server.flavour.name();
    // There is no file to hash, so the model's address and what its server says about it are hashed
    // instead: another model at the same address has another checksum.
    let identity = format!(
        "{root}\n{flavour}\n{}\n{}",
        server.model, server.fingerprint
    );
    let name = match server.model.is_empty() {
        true => root.to_string(),
        false => clean_line(&server.model),
    };
    let note = (!notes.is_empty()).then(|| {
        let note = notes.join("; ");
        let mut chars = note.chars();
        let first = chars.next().map(|c| c.to_uppercase().to_string());
        first.unwrap_or_default() + chars.as_str()
    });
    ModelInfo {
        name,
        sha256: sha256(identity.as_bytes()),
        architecture: "on a server".to_string(),
        backend: format!("{flavour} at {root}"),
        context,
        vocabulary: server.vocabulary.unwrap_or_default(),
        chat: true,
        load_ms: began.elapsed().as_secs_f64() * 1000.0,
        note,
        cannot: remote::unsupported(server.flavour)
            .into_iter()
            .map(str::to_string)
            .collect(),
    }
}
