//! Model servers: what each flavour of server is asked, what it answers, and how its text comes.
//!
//! | module | what |
//! |---|---|
//! | `address` | the address of a server, and the model on it |
//! | `client` | HTTP: calls and streams, with time limits; a stop closes the connection |
//! | `events` | bytes to events: server-sent events or a JSON value a line |
//! | `flavour` | the kinds of servers, and what each can do |
//! | `ask` | a request for text, in each protocol's words |
//! | `samplers` | the sampling settings under each flavour's names |
//! | `answer` | an event to text, its end and its numbers |
//! | `deltas` | servers that send all text so far each time |
//! | `probe` | which flavour answers at an address, and with which models |
//! | `discover` | the servers on this machine's usual ports |
//!
//! Knows no story and no terminal. No key is ever part of an error, of `Debug` or of a redirect.

#![warn(unreachable_pub)]

mod address;
mod answer;
mod ask;
mod client;
mod deltas;
mod discover;
mod error;
mod events;
mod flavour;
mod key;
mod probe;
mod samplers;

pub use address::{Address, AddressError, is_address};
pub use answer::{Chunk, Finish, Likely, Progress, decode};
pub use ask::{Ask, Call, Prompt, Turn, call};
pub use client::{Client, Limits, Network, Reply, Step, Stream};
pub use deltas::Deltas;
pub use discover::{FoundServer, LOCAL_PORTS, look_around};
pub use error::{Kind, RemoteError};
pub use events::{Events, Framing};
pub use flavour::{Flavour, Prefill, Protocol};
pub use key::Key;
pub use probe::{ListedModel, Server, count_tokens, probe};
pub use samplers::ignored;
