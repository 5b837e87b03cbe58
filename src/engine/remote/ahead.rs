//! Makes a server on this machine prefill a prompt before the prompt is requested.

use super::Remote;
use super::asking::Wish;
use crate::engine::text::build;
use base::progress::Observer;
use remote::{Prompt, Step};
use story::message::TextRequest;

/// Makes the server prefill a prompt that may be requested soon.
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
    let stopped = || observer.is_cancelled();
    loop {
        let mut call = remote.call(request, wish.clone());
        if !chats {
            call.body["n_predict"] = 0.into();
        }
        let opened = remote
            .client
            .stream(call.path, &call.body, call.framing)
            .and_then(|mut stream| Ok((stream.next(&stopped)?, stream)));
        match opened {
            // Dropping the stream closes it, and the server stops.
            Ok((Step::Event(_), mut stream)) => {
                while let Ok(Step::Event(_)) = stream.next(&stopped) {}
                return;
            }
            // The next passage tells the writer.
            Err(error) if remote.leaves_out(&call, &error) => {}
            Ok((Step::Ended, _)) | Err(_) => return,
        }
    }
}
