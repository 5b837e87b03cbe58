//! Finds the model servers on this machine. Searches only when a list of models is opened.

use remote::{FoundServer, LOCAL_PORTS, look_around};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The maximum age of results that are used without a new search.
const NEW: Duration = Duration::from_secs(10);

/// A background search for model servers. Clones share the results.
#[derive(Clone, Default)]
pub struct NearbyServers(Arc<Mutex<Found>>);

#[derive(Default)]
struct Found {
    asked: Option<Instant>,
    names: Vec<String>,
}

impl NearbyServers {
    /// Returns the model names found so far. If the last search is not recent, starts another
    /// search in the background.
    pub fn look(&self) -> Vec<String> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.asked.is_none_or(|asked| asked.elapsed() > NEW) {
            found.asked = Some(Instant::now());
            let shared = self.clone();
            // If no thread can start, the list stays as it is.
            let looks = std::thread::Builder::new().spawn(move || {
                let names = names(&look_around(&local_roots()));
                shared
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .names = names;
            });
            drop(looks);
        }
        found.names.clone()
    }

    /// Returns the model names found so far, without starting another search.
    pub fn known(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .names
            .clone()
    }
}

/// Returns this machine's addresses at which a model server usually listens, one for each known
/// port.
pub fn local_roots() -> Vec<String> {
    LOCAL_PORTS
        .iter()
        .map(|(port, _)| format!("http://127.0.0.1:{port}"))
        .collect()
}

/// Returns the names to type after `/model` to select the models on the servers `found`.
fn names(found: &[FoundServer]) -> Vec<String> {
    let models = found.iter().flat_map(|one| {
        let name = |model: &str| match one.server.models.len() {
            0 | 1 => one.root.clone(),
            _ => format!("{}#{model}", one.root),
        };
        let models = one.server.models.iter().map(move |model| name(&model.name));
        let alone = one.server.models.is_empty().then(|| one.root.clone());
        models.chain(alone)
    });
    models.collect()
}
