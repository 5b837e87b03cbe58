//! Finds model servers on this machine, on the ports that they use by default.

use super::client::{Client, Limits, Network};
use super::probe::{Server, probe};
use std::time::Duration;

/// The default ports of model servers, each with the names of the servers that use the port.
pub const LOCAL_PORTS: [(u16, &str); 7] = [
    (8080, "llama-server"),
    (8000, "vLLM, llama-cpp-python, transformers serve"),
    (11434, "Ollama"),
    (5001, "KoboldCpp"),
    (1234, "LM Studio"),
    (30000, "SGLang"),
    (4000, "LiteLLM"),
];

/// A model server that answered on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundServer {
    pub root: String,
    pub server: Server,
}

/// Probes all addresses in `roots` in parallel, without a key and with short time limits.
pub fn look_around(roots: &[String]) -> Vec<FoundServer> {
    let limits = Limits {
        connect: Duration::from_millis(300),
        answer: Duration::from_millis(1500),
        first: Duration::from_millis(1500),
        between: Duration::from_millis(1500),
    };
    let network = Network {
        limits,
        ..Network::default()
    };
    std::thread::scope(|scope| {
        let ask = |root: &String| {
            let client = Client::new(root, None, true, &network);
            let root = root.clone();
            scope.spawn(move || {
                let server = probe(&client, None, None, &|| false).ok()?;
                Some(FoundServer { root, server })
            })
        };
        let asked: Vec<_> = roots.iter().map(ask).collect();
        let answers = asked.into_iter().filter_map(|it| it.join().ok().flatten());
        answers.collect()
    })
}
