//! [`tls`]: what ends TLS for SNS's deliveries, when nothing in front of the watch does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::{Error as PemError, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig, crypto};

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("{path} is no PEM file with a {what}: {source}", path = .path.display())]
    Pem { path: PathBuf, what: &'static str, source: PemError },
    /// The two do not go together, or are none that can be used.
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Reads the certificate, with those of the authorities between it and one that SNS knows, and its key. A new one takes a new watch.
///
/// # Errors
/// When they cannot be used.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, what, source }
    };
    let certificates = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.and_then(|all| if all.is_empty() { Err(PemError::NoItemsFound) } else { Ok(all) });
    let certificates = certificates.map_err(pem(certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider())).with_safe_default_protocol_versions()?;
    Ok(TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(certificates, key)?)))
}
