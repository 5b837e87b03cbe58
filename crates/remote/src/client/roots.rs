//! The root certificates against which a server's certificate is checked.

use super::Network;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// The configured certificates, or else the system's, or else Mozilla's.
pub(super) fn roots(network: &Network) -> RootCerts {
    let given = network
        .certificates
        .as_ref()
        .and_then(|path| std::fs::read(path).ok());
    let given: Vec<Certificate<'static>> = match given {
        Some(pem) => parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate.to_owned()),
                _ => None,
            })
            .collect(),
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect(),
    };
    match given.is_empty() {
        true => RootCerts::WebPki,
        false => given.into(),
    }
}
