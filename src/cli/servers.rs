//! Finds the models of model servers, for `illumine models list`: the servers on this machine's
//! usual ports and the servers in config.toml.

use super::args::Common;
use super::environment::{self, Paths};
use super::exit::Failed;
use base::progress::Unobserved;
use base::untrusted::clean_line;
use illumine::engine::remote::local_roots;
use remote::{Client, Limits, Network, Server, look_around, probe};
use std::time::Duration;

/// A model on a server.
pub struct ServerModel {
    /// The value of `--model` that selects this model.
    name: String,
    model: String,
    flavour: &'static str,
    server: String,
    context: Option<usize>,
    loaded: Option<bool>,
}

/// Asks each server for its models, with a short timeout.
pub fn find(paths: &Paths) -> Result<Vec<ServerModel>, Failed> {
    let backends = environment::backends(paths, &Common::default())?;
    let mut found = Vec::new();
    let limits = Limits {
        connect: Duration::from_secs(1),
        answer: Duration::from_secs(3),
        ..Limits::default()
    };
    let network = Network {
        limits,
        ..backends.network.clone()
    };
    for (name, backend) in &backends.named {
        let Ok(key) = backend.key.key(&Unobserved) else {
            continue;
        };
        let root = &backend.address.root;
        let local = backend.address.is_local();
        let certificates = backend.certificates.clone();
        let network = Network {
            certificates: certificates.or(network.certificates.clone()),
            ..network.clone()
        };
        let client = Client::new(root, key, local, &network).speaking(backend.flavour);
        if let Ok(server) = probe(&client, backend.flavour, None, &|| false) {
            found.extend(rows(root, &server, |model| format!("{name}:{model}"), name));
        }
    }
    let named = |root: &String| !backends.named.values().any(|it| it.address.root == *root);
    let roots: Vec<String> = local_roots().into_iter().filter(named).collect();
    for one in look_around(&roots) {
        let root = &one.root;
        found.extend(rows(
            root,
            &one.server,
            |model| format!("{root}#{model}"),
            root,
        ));
    }
    Ok(found)
}

fn rows(
    root: &str,
    server: &Server,
    named: impl Fn(&str) -> String,
    alone: &str,
) -> Vec<ServerModel> {
    let row = |name: String, model: &str, context, loaded| ServerModel {
        name: clean_line(&name),
        model: clean_line(model),
        flavour: server.flavour.name(),
        server: clean_line(root),
        context,
        loaded,
    };
    match &server.models[..] {
        [] => vec![row(alone.to_string(), "", server.context, None)],
        [one] => vec![row(
            alone.to_string(),
            &one.name,
            server.context.or(one.context),
            one.loaded,
        )],
        several => several
            .iter()
            .map(|one| row(named(&one.name), &one.name, one.context, one.loaded))
            .collect(),
    }
}

/// Formats the models of servers as a table. Returns an empty string if there are no models.
pub fn table(models: &[ServerModel]) -> String {
    if models.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n  {:<36} {:<16} {:>8}  MODEL\n",
        "SERVER", "FLAVOUR", "CONTEXT"
    );
    for model in models {
        let context = model
            .context
            .map_or("?".to_string(), |tokens| tokens.to_string());
        let loaded = if model.loaded == Some(true) {
            " (loaded)"
        } else {
            ""
        };
        let (name, flavour) = (&model.name, model.flavour);
        text += &format!(
            "  {name:<36} {flavour:<16} {context:>8}  {}{loaded}\n",
            model.model
        );
    }
    text += "write with one of these: illumine --model SERVER, or /model SERVER\n";
    text
}

impl ServerModel {
    /// Returns the object that `--json` prints for this model.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name, "title": self.model, "server": self.server,
            "flavour": self.flavour, "context": self.context, "loaded": self.loaded,
        })
    }
}
