//! TLS to servers whose certificates this machine trusts.

use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Trusts what the machine trusts (`$SSL_CERT_FILE` and `$SSL_CERT_DIR`, else the system's folder), and
/// `also`. Reads files, so it blocks. The error is a sentence about the certificates.
pub fn connector(also: Vec<CertificateDer<'static>>) -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs.into_iter().chain(also));
    if roots.is_empty() {
        return Err(found
            .errors
            .first()
            .map_or_else(|| "there are none".to_owned(), ToString::to_string));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
