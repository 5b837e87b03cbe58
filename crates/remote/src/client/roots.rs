//! The root certificates that are used to verify a server's certificate.

use super::Network;
use base::untrusted::clean_line;
use std::path::Path;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// Returns the certificates that the user configured. If there are none, returns the system's
/// certificates, or else Mozilla's.
pub(super) fn roots(network: &Network) -> RootCerts {
    let given = network
        .certificates
        .as_ref()
        .map(|path| read(path).unwrap_or_default());
    let given: Vec<Certificate<'static>> = given.unwrap_or_else(|| {
        rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect()
    });
    match given.is_empty() {
        true => RootCerts::WebPki,
        false => given.into(),
    }
}

/// Checks that the certificates that the user configured can be used. The error is one sentence.
pub fn check_certificates(network: &Network) -> Result<(), String> {
    let Some(path) = &network.certificates else {
        return Ok(());
    };
    let shown = clean_line(&path.display().to_string());
    match read(path) {
        Ok(found) if found.is_empty() => Err(format!(
            "{shown} contains no PEM certificate; correct ca_file in config.toml, or SSL_CERT_FILE"
        )),
        Ok(_) => Ok(()),
        Err(why) => Err(format!(
            "Cannot read the certificates in {shown} ({why}); correct ca_file in config.toml, or SSL_CERT_FILE"
        )),
    }
}

fn read(path: &Path) -> std::io::Result<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path)?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate.to_owned()),
        _ => None,
    };
    Ok(parse_pem(&pem).filter_map(certificate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_an_error_and_not_another_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let network = Network {
            certificates: Some(file.clone()),
            ..Network::default()
        };
        assert!(
            check_certificates(&network)
                .unwrap_err()
                .contains("Cannot read")
        );
        std::fs::write(&file, "no certificate").unwrap();
        assert!(
            check_certificates(&network)
                .unwrap_err()
                .contains("no PEM certificate")
        );
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, pem).unwrap();
        assert_eq!(check_certificates(&network), Ok(()));
        assert_eq!(check_certificates(&Network::default()), Ok(()));
    }
}
