//! Model servers: requests for each flavour of server, their answers, and streams of text.
//!
//! | module | what |
//! |---|---|
//! | `address` | the address of a server, and the model on it |
//! | `client` | HTTP: calls and streams, with time limits; a stop closes the connection |
//! | `events` | bytes to events: server-sent events or one JSON value per line |
//! | `flavour` | the kinds of servers, and what each can do |
//! | `ask` | a request for text, in the form that each protocol expects |
//! | `samplers` | the sampling settings under each flavour's names |
//! | `answer` | parses an event: the text, the reason why it ended, and statistics |
//! | `echo` | asks a server for the probabilities of a given text |
//! | `deltas` | handles servers whose every event repeats all the text so far |
//! | `thoughts` | separates a model's thoughts from its answer |
//! | `probe` | detects which flavour answers at an address, and which models it has |
//! | `discover` | finds servers on their usual local ports |
//!
//! This crate does not depend on stories or terminals. Errors, `Debug` output and redirects never
//! contain a key.

#![warn(unreachable_pub)]

mod address;
mod answer;
mod ask;
mod client;
mod deltas;
mod discover;
mod echo;
mod error;
mod events;
mod flavour;
mod key;
mod probe;
mod samplers;
mod thoughts;

pub use address::{Address, AddressError, is_address};
pub use answer::{Chunk, Finish, Likely, Progress, decode, decode_choice};
pub use ask::{Ask, Call, Prompt, Turn, call};
pub use client::{Client, Limits, Network, Reply, Step, Stream, check_certificates};
pub use deltas::Deltas;
pub use discover::{FoundServer, LOCAL_PORTS, look_around};
pub use echo::{EchoedToken, ask_echo, decode_echo};
pub use error::{Kind, RemoteError};
pub use events::{Events, Framing};
pub use flavour::{Flavour, Prefill, Protocol};
pub use key::Key;
pub use probe::{ListedModel, Server, count_tokens, probe};
pub use samplers::{ignored, unsupported};
pub use thoughts::{Said, Thoughts};
