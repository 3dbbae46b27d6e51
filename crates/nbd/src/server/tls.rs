//! TLS for connections: whether, and with which certificate.

use super::ServerError;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Whether a server speaks TLS.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Never.
    Off,
    /// With clients that ask for it.
    Allow(Arc<ServerConfig>),
    /// With all: a client in the clear learns nothing but that TLS is required.
    Require(Arc<ServerConfig>),
}

/// Where a server's certificate is.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and the authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// The authority that clients' certificates must come from, in PEM. Without it any client may connect.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads and checks the files.
    pub fn load(&self) -> Result<Arc<ServerConfig>, ServerError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| failed(&self.key, error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&self.certificate, error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| failed(path, error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|error| failed(path, error))?)
            }
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| failed(&self.certificate, error))?;
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found.map_err(|error| failed(path, error))? {
        none if none.is_empty() => Err(failed(path, "there is no certificate in it")),
        some => Ok(some),
    }
}

fn failed(path: &Path, reason: impl std::fmt::Display) -> ServerError {
    ServerError::Tls {
        what: path.display().to_string(),
        reason: reason.to_string(),
    }
}
