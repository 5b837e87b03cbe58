//! Detects the flavour of the model server at an address, and the models on the server.

use super::client::{Client, Reply};
use super::error::{Kind, RemoteError};
use super::flavour::Flavour;
use serde_json::{Value, json};

/// The description that a model server gives of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub flavour: Flavour,
    /// The name of the model to use. Empty if the server has only one model and does not report its
    /// name.
    pub model: String,
    pub models: Vec<ListedModel>,
    /// The size of the context in tokens, if the server reports it.
    pub context: Option<usize>,
    pub vocabulary: Option<usize>,
    /// What the server reports about the model, as a text that tells it apart from other models.
    pub fingerprint: String,
}

/// One model in a server's list of models.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedModel {
    pub name: String,
    pub context: Option<usize>,
    /// Whether the model is loaded, if the server reports that.
    pub loaded: Option<bool>,
    vocabulary: Option<usize>,
    fingerprint: String,
}

type Stopped<'a> = &'a dyn Fn() -> bool;

/// Asks a server for its flavour and models. `flavour` and `model` are given if the user chose
/// them.
pub fn probe(
    client: &Client,
    flavour: Option<Flavour>,
    model: Option<&str>,
    stopped: Stopped,
) -> Result<Server, RemoteError> {
    let listed = client.get("/v1/models", stopped)?;
    if flavour.is_none() && matches!(listed.status, 401 | 403) {
        client.checked(listed.status, &listed.body, None)?;
    }
    let found = match flavour {
        Some(flavour) => flavour,
        None => detect(client, &listed, stopped)?,
    };
    let models = models(client, found, &listed, stopped)?;
    let name = match model {
        Some(name) => name.to_string(),
        None => {
            let loaded = models.iter().find(|model| model.loaded == Some(true));
            loaded
                .or(models.first())
                .map_or(String::new(), |model| model.name.clone())
        }
    };
    if model.is_some() && !models.is_empty() && !models.iter().any(|it| same(&it.name, &name)) {
        let has = models.iter().take(8).map(|it| it.name.clone()).collect();
        return Err(client.error(Kind::NoModel { name, has }));
    }
    let entry = models
        .iter()
        .find(|it| same(&it.name, &name))
        .cloned()
        .unwrap_or_default();
    let mut server = Server {
        flavour: found,
        model: name,
        models,
        context: entry.context,
        vocabulary: entry.vocabulary,
        fingerprint: entry.fingerprint,
    };
    details(client, &mut server, stopped)?;
    Ok(server)
}

/// Whether the name `listed`, from a server's list of models, refers to the model `wanted`.
/// `wanted` may omit Ollama's tag `:latest`.
fn same(listed: &str, wanted: &str) -> bool {
    listed == wanted || listed.strip_suffix(":latest") == Some(wanted)
}

fn detect(client: &Client, listed: &Reply, stopped: Stopped) -> Result<Flavour, RemoteError> {
    if listed
        .headers
        .iter()
        .any(|name| name.starts_with("x-litellm"))
    {
        return Ok(Flavour::LiteLlm);
    }
    let json = listed.json().unwrap_or_default();
    let owner = json["data"][0]["owned_by"].as_str().unwrap_or_default();
    let router = |name: &str| -> Result<Option<Value>, RemoteError> {
        Ok(client.get(name, stopped)?.json())
    };
    match owner {
        "llamacpp" => return Ok(Flavour::LlamaServer),
        "vllm" => return Ok(Flavour::Vllm),
        "sglang" => return Ok(Flavour::Sglang),
        "koboldcpp" => return Ok(Flavour::KoboldCpp),
        // The default namespace of Ollama's models.
        "library" => return Ok(Flavour::Ollama),
        "me" if json["data"][0]["permissions"].is_array() => return Ok(Flavour::LlamaCppPython),
        _ => {}
    }
    if listed.server == "llama.cpp" {
        return Ok(Flavour::LlamaServer);
    }
    if router("/props")?.is_some_and(|it| it["default_generation_settings"].is_object()) {
        return Ok(Flavour::LlamaServer);
    }
    if router("/api/extra/version")?.is_some_and(|it| it["result"] == "KoboldCpp") {
        return Ok(Flavour::KoboldCpp);
    }
    if router("/api/v0/models")?.is_some_and(|it| it["data"].is_array()) {
        return Ok(Flavour::LmStudio);
    }
    if router("/api/version")?.is_some_and(|it| it["version"].is_string()) {
        return Ok(Flavour::Ollama);
    }
    if router("/get_server_info")?.is_some_and(|it| it.is_object()) {
        return Ok(Flavour::Sglang);
    }
    if client
        .get("/health/liveliness", stopped)?
        .body
        .contains("alive")
    {
        return Ok(Flavour::LiteLlm);
    }
    match json["data"].as_array() {
        Some(all) if all.is_empty() && listed.server == "uvicorn" => Ok(Flavour::TransformersServe),
        Some(_) => Ok(Flavour::Compatible),
        None => {
            client.checked(listed.status, &listed.body, None)?;
            Err(client.error(Kind::Garbage))
        }
    }
}

fn number(json: &Value) -> Option<usize> {
    json.as_u64()
        .and_then(|it| usize::try_from(it).ok())
        .filter(|it| *it > 0)
}

fn name(json: &Value) -> Option<String> {
    let name = base::untrusted::clean_line(json.as_str()?);
    (!name.is_empty()).then_some(name)
}

/// Returns the models that a server offers.
fn models(
    client: &Client,
    flavour: Flavour,
    listed: &Reply,
    stopped: Stopped,
) -> Result<Vec<ListedModel>, RemoteError> {
    let rows = |json: Option<Value>, of: &str| -> Vec<Value> {
        let found = json.and_then(|mut json| json.get_mut(of).map(Value::take));
        found
            .and_then(|it| it.as_array().cloned())
            .unwrap_or_default()
    };
    if flavour == Flavour::Ollama {
        let running = rows(client.get("/api/ps", stopped)?.json(), "models");
        let model = |row: &Value| {
            let this = running.iter().find(|it| it["name"] == row["name"]);
            Some(ListedModel {
                name: name(&row["name"])?,
                context: this.and_then(|it| number(&it["context_length"])),
                loaded: Some(this.is_some()),
                vocabulary: None,
                fingerprint: row["digest"].as_str().unwrap_or_default().to_string(),
            })
        };
        let tags = rows(client.get("/api/tags", stopped)?.json(), "models");
        return Ok(tags.iter().filter_map(model).collect());
    }
    if flavour == Flavour::LmStudio {
        let model = |row: &Value| {
            Some(ListedModel {
                name: name(&row["id"])?,
                context: number(&row["loaded_context_length"])
                    .or(number(&row["max_context_length"])),
                loaded: Some(row["state"] == "loaded"),
                vocabulary: None,
                fingerprint: format!("{} {}", row["arch"], row["quantization"]),
            })
        };
        let all = rows(client.get("/api/v0/models", stopped)?.json(), "data");
        return Ok(all.iter().filter_map(model).collect());
    }
    let model = |row: &Value| {
        let meta = &row["meta"];
        Some(ListedModel {
            name: name(&row["id"]).filter(|name| name != "unknown")?,
            context: [
                &meta["n_ctx"],
                &row["max_model_len"],
                &row["context_length"],
                &row["max_input_tokens"],
            ]
            .into_iter()
            .find_map(number),
            loaded: None,
            vocabulary: number(&meta["n_vocab"]),
            fingerprint: format!(
                "{} {} {} {}",
                row["root"], meta["n_params"], meta["size"], meta["n_vocab"]
            ),
        })
    };
    Ok(rows(listed.json(), "data")
        .iter()
        .filter_map(model)
        .collect())
}

/// Adds details that are missing from the server's list of models, by requesting them from the
/// flavour's other URLs.
fn details(client: &Client, server: &mut Server, stopped: Stopped) -> Result<(), RemoteError> {
    match server.flavour {
        Flavour::LlamaServer => {
            let props = client.get("/props", stopped)?;
            if props.status == 503 {
                return Err(client.error(Kind::Loading));
            }
            let props = props.json().unwrap_or_default();
            let slot = number(&props["default_generation_settings"]["n_ctx"]);
            // The slots share the context; a story gets only one slot's part.
            server.context = slot.or(server.context);
            server.fingerprint += &format!(" {} {}", props["model_path"], props["model_ftype"]);
        }
        Flavour::KoboldCpp => {
            let tell = |path: &str| -> Result<Value, RemoteError> {
                Ok(client.get(path, stopped)?.json().unwrap_or_default())
            };
            let context = tell("/api/extra/true_max_context_length")?;
            server.context = number(&context["value"]).or(server.context);
        }
        Flavour::Ollama if !server.model.is_empty() && server.context.is_none() => {
            let asked = json!({"model": server.model});
            let shown = client
                .post("/api/show", &asked, stopped)
                .unwrap_or_default();
            let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
            let info = shown["model_info"].as_object();
            let longest = info.into_iter().flatten();
            let longest = longest.filter(|(key, _)| key.ends_with(".context_length"));
            // Ollama's memory use grows with the requested context.
            const USUAL: usize = 8192;
            let longest = longest.filter_map(|(_, value)| number(value)).next();
            server.context = longest.map(|longest| longest.min(USUAL));
        }
        Flavour::LlamaCppPython
        | Flavour::Vllm
        | Flavour::Sglang
        | Flavour::TransformersServe
        | Flavour::LiteLlm
        | Flavour::Ollama
        | Flavour::LmStudio
        | Flavour::OpenAi
        | Flavour::Anthropic
        | Flavour::OpenRouter
        | Flavour::Compatible => {}
    }
    Ok(())
}

/// Counts the tokens of a text with the server's tokenizer. Returns the count and the token ids,
/// which are empty if the server reports only the count. Returns `None` if the server cannot count
/// tokens.
pub fn count_tokens(
    client: &Client,
    flavour: Flavour,
    model: &str,
    text: &str,
    stopped: Stopped,
) -> Result<Option<(usize, Vec<u32>)>, RemoteError> {
    let (path, body) = match flavour {
        Flavour::LlamaServer => ("/tokenize", json!({"content": text, "add_special": false})),
        Flavour::LlamaCppPython => ("/extras/tokenize", json!({"input": text, "model": model})),
        Flavour::Vllm | Flavour::Sglang => (
            "/tokenize",
            json!({"model": model, "prompt": text, "add_special_tokens": false}),
        ),
        Flavour::Ollama => ("/api/tokenize", json!({"model": model, "content": text})),
        Flavour::KoboldCpp => ("/api/extra/tokencount", json!({"prompt": text})),
        Flavour::TransformersServe
        | Flavour::LiteLlm
        | Flavour::LmStudio
        | Flavour::OpenAi
        | Flavour::Anthropic
        | Flavour::OpenRouter
        | Flavour::Compatible => return Ok(None),
    };
    let answer = match client.post(path, &body, stopped) {
        Ok(answer) => answer,
        Err(RemoteError {
            kind: Kind::NotFound(_) | Kind::Refused { .. },
            ..
        }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let json: Value = serde_json::from_str(&answer).unwrap_or_default();
    let ids = [&json["tokens"], &json["ids"]];
    let ids: Vec<u32> = ids
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
        .collect();
    let told = [&json["count"], &json["value"]];
    let told = told
        .into_iter()
        .find_map(Value::as_u64)
        .and_then(|it| usize::try_from(it).ok());
    let is_list = json["tokens"].is_array() || json["ids"].is_array();
    Ok(told
        .or(is_list.then_some(ids.len()))
        .map(|count| (count, ids)))
}
