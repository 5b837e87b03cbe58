//! The HTTP client, which has timeouts. It is based on ureq (blocking, with rustls), which hf-hub
//! depends on anyway.
//!
//! Each request runs on its own thread: the user must be able to stop a download immediately, even
//! though a read from a dead network cannot be interrupted.

use super::error::FetchError;
use super::progress::ProgressReporter;
use super::settings::HttpSettings;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// The interval at which a waiting download checks whether to stop.
pub(super) const TICK: Duration = Duration::from_millis(50);

const UNKNOWN: &str = "its host name cannot be resolved";

/// Waits for one tick.
pub(super) fn pause() {
    std::thread::sleep(TICK);
}

/// Creates an HTTP client with the given settings. It follows up to `redirects` redirects.
pub(super) fn agent(settings: &HttpSettings, redirects: u32) -> Agent {
    let mut builder = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(redirects)
        .max_redirects_will_error(false)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
        .accept_encoding("identity")
        .user_agent(concat!("illumine/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(settings.connect))
        .timeout_connect(Some(settings.connect))
        .timeout_recv_response(Some(settings.silence))
        .timeout_per_read(Some(settings.silence));
    if !settings.proxies {
        builder = builder.proxy(None);
    }
    if let Some(roots) = settings.certificates.as_deref().and_then(certificates) {
        builder = builder.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    builder.build().into()
}

/// Runs `work` on a new thread and waits for the result. While waiting, checks at every tick
/// whether to stop.
pub(super) fn run_in_background<T: Send + 'static>(
    reporter: &mut ProgressReporter,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchError> {
    let (sender, receiver) = sync_channel(1);
    spawn(move || drop(sender.send(work())))?;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) => reporter.check_stop()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(FetchError::Source("the network thread panicked".into()));
            }
        }
    }
}

/// Describes an HTTP error status.
pub(super) fn refusal(status: StatusCode) -> String {
    let words = status.canonical_reason().unwrap_or("no reason given");
    format!("it responded {} ({words})", status.as_u16())
}

/// Whether the error means that the server was never reached. An immediate retry is then pointless.
pub(super) fn unreachable(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::*;
    use ureq::Timeout::{Connect, Resolve};
    match error {
        // An untrusted certificate is reported as invalid data.
        ureq::Error::Io(why) => matches!(
            why.kind(),
            ConnectionRefused | HostUnreachable | NetworkUnreachable | InvalidData
        ),
        ureq::Error::Timeout(Connect | Resolve) => true,
        ureq::Error::HostNotFound | ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        _ => false,
    }
}

/// Describes an HTTP client error in a few words.
pub(super) fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => UNKNOWN.into(),
        ureq::Error::Io(why) if why.to_string().starts_with("failed to lookup") => UNKNOWN.into(),
        ureq::Error::Timeout(_) => "it does not respond".into(),
        ureq::Error::Io(why) => why.to_string(),
        other => other.to_string(),
    }
}

fn certificates(file: &Path) -> Option<RootCerts> {
    let pem = std::fs::read(file).ok()?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate.to_owned()),
        _ => None,
    });
    let certificates: Vec<_> = items.collect();
    (!certificates.is_empty()).then(|| certificates.into())
}

pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), FetchError> {
    let thread = std::thread::Builder::new().name("fetch".into()).spawn(work);
    thread
        .map(drop)
        .map_err(|why| FetchError::Source(format!("cannot start a thread: {why}")))
}
