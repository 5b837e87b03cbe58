//! Lets a server on this machine prefill a prompt before it is requested.

use super::Remote;
use super::asking::Wish;
use super::prompt::build;
use base::progress::Observer;
use remote::{Prompt, Step};
use story::message::TextRequest;

/// Lets the server prefill a prompt that may be requested soon.
pub fn read_ahead(remote: &mut Remote, request: &TextRequest, observer: &dyn Observer) {
    let Ok(fitted) = build(remote, request) else {
        return;
    };
    let chats = matches!(fitted.prompt, Prompt::Turns { .. });
    let wish = Wish {
        prompt: fitted.prompt,
        seed: 0,
        most: 1,
        likely: 0,
        bias: Vec::new(),
        choices: 1,
        stream: false,
    };
    let mut call = remote.call(request, wish);
    if !chats {
        call.body["n_predict"] = 0.into();
    }
    // Dropping the stream closes it, and the server stops.
    if let Ok(mut stream) = remote.client.stream(call.path, &call.body, call.framing) {
        let stopped = || observer.is_cancelled();
        while let Ok(Step::Event(_)) = stream.next(&stopped) {}
    }
}
