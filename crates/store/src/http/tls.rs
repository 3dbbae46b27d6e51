//! TLS: whom we trust, who we are, and words for what goes wrong.

use super::endpoint::Host;
use super::error::Class;
use crate::{StoreConfig, StoreError};
use restblk_types::ErrorKind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// What a TLS handshake needs.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: tokio_rustls::TlsConnector,
    pub(super) name: ServerName<'static>,
}

fn wrong(file: &Path, reason: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Invalid, "read", file.display(), reason.to_string())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found =
        read.map_err(|error| wrong(file, format!("{error}; it must be a PEM file of certificates")))?;
    if found.is_empty() {
        return Err(wrong(
            file,
            "it has no certificate: it must be a PEM file of certificates",
        ));
    }
    Ok(found)
}

fn roots(config: &StoreConfig) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &config.ca_file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| wrong(file, error))?;
        }
        return Ok(roots);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let reason =
            "this host has no certificates of authorities: install ca-certificates, or name a `ca_file`";
        return Err(StoreError::new(ErrorKind::Invalid, "set up", "TLS", reason));
    }
    Ok(roots)
}

impl Tls {
    pub(super) fn new(config: &StoreConfig, host: &Host) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::new(ErrorKind::Invalid, "set up", "TLS", reason);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(roots(config)?);
        let mut tls = match (&config.cert_file, &config.key_file) {
            (Some(cert), Some(key_file)) => {
                let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| {
                    wrong(
                        key_file,
                        format!("{error}; it must be a PEM file of an unencrypted private key"),
                    )
                })?;
                builder
                    .with_client_auth_cert(certificates(cert)?, key)
                    .map_err(|error| {
                        wrong(
                            cert,
                            format!(
                                "it and the key {} do not go together: {error}",
                                key_file.display()
                            ),
                        )
                    })?
            }
            _ => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|error| failed(format!("{name}: {error}")))?
            }
        };
        Ok(Self {
            connector: tokio_rustls::TlsConnector::from(Arc::new(tls)),
            name,
        })
    }

    /// What a failed handshake means.
    pub(super) fn explain(&self, error: &std::io::Error) -> (Class, String) {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(tls) => explain(tls, &self.name.to_str()),
            None => (
                Class::Unreachable,
                format!("the TLS handshake was broken off: {error}"),
            ),
        }
    }
}

/// The class of a TLS error and what to do about it.
pub(super) fn explain(error: &rustls::Error, name: &str) -> (Class, String) {
    use {AlertDescription as Alert, CertificateError as Bad, rustls::Error as E};
    match error {
        E::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => (
            Class::Denied,
            "its TLS certificate has expired: renew it on the server, or set this host's clock right".to_owned(),
        ),
        E::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            (Class::Denied, "its TLS certificate is not valid yet: set this host's clock right".to_owned())
        }
        E::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => (
            Class::Denied,
            "its TLS certificate comes from an authority that is not trusted here: name the authority's certificate in \
             `ca_file`"
                .to_owned(),
        ),
        E::InvalidCertificate(Bad::NotValidForName) => {
            (Class::Denied, format!("its TLS certificate is not for \"{name}\": use the name it was made for"))
        }
        E::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => {
            let names = presented.join(", ");
            let reason = format!("its TLS certificate is for {names} and not for \"{name}\": use the name it was made for");
            (Class::Denied, reason)
        }
        E::InvalidCertificate(bad) => (Class::Denied, format!("its TLS certificate is not good: {bad}")),
        E::AlertReceived(Alert::CertificateRequired) => (
            Class::Denied,
            "it wants a client's TLS certificate: give `cert_file` and `key_file`".to_owned(),
        ),
        E::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => (
            Class::Denied,
            format!("it refuses our TLS certificate ({alert:?}): give one that it trusts in `cert_file` and `key_file`"),
        ),
        E::AlertReceived(alert) => (Class::Invalid, format!("it broke off the TLS handshake ({alert:?})")),
        E::InvalidMessage(_) => {
            (Class::Invalid, "it does not speak TLS there: write http:// in its URL, or the port that does".to_owned())
        }
        other => (Class::Invalid, format!("TLS cannot be agreed upon: {other}")),
    }
}
