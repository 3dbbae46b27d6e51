//! TLS: whom the client trusts, and the words for what goes wrong. None of it is worth another try.

use crate::server::{TestServer, config, loopback};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use restblk_cdmi_server::Tls;
use restblk_store::{Dialect, Store, StoreConfig, StoreError, open};
use restblk_types::ErrorKind;
use std::path::PathBuf;
use tempfile::TempDir;

/// Authorities and certificates in a directory.
struct Papers {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Papers {
    fn new() -> Self {
        let papers = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: authority(),
        };
        papers.write("ca.pem", &papers.ca.pem());
        papers.write("other-ca.pem", &authority().pem());
        papers.certificate("server", &["127.0.0.1", "localhost"], |_| {});
        papers.certificate("wrong-name", &["store.example"], |_| {});
        papers.certificate("expired", &["127.0.0.1"], |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        });
        papers.certificate("client", &["a client"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn certificate(&self, name: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let names: Vec<String> = names.iter().map(|&name| name.replace(' ', "-")).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.ca).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    async fn server(&self, certificate: &str, clients: bool) -> TestServer {
        TestServer::with(Dialect::Cdmi2, |config| {
            config.listen.clear();
            config.tls = Some(Tls {
                listen: vec![loopback()],
                cert: self.path(&format!("{certificate}.pem")),
                key: self.path(&format!("{certificate}.key")),
                client_ca: clients.then(|| self.path("ca.pem")),
            });
        })
        .await
    }

    fn config(&self, server: &TestServer) -> StoreConfig {
        let mut config = config(&server.url());
        config.ca_file = Some(self.path("ca.pem"));
        config
    }
}

async fn refused(config: &StoreConfig, kind: ErrorKind, words: &str) {
    let begun = std::time::Instant::now();
    let error: StoreError = open(config).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(begun.elapsed().as_secs() < 3, "it was tried again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_server_is_spoken_to() {
    let papers = Papers::new();
    let server = papers.server("server", false).await;
    let opened = open(&papers.config(&server)).await.unwrap();
    let key = restblk_store::Key::new("x").unwrap();
    let body = bytes::Bytes::from(vec![7; 3 << 20]);
    opened
        .store
        .put(&key, body.clone(), restblk_store::Precondition::Always)
        .await
        .unwrap();
    assert_eq!(
        opened.store.get(&key, None).await.unwrap().payload.into_bytes(),
        body
    );
    let mut by_name = papers.config(&server);
    by_name.urls = vec![server.url().replace("127.0.0.1", "localhost")];
    open(&by_name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_is_refused() {
    let papers = Papers::new();
    let server = papers.server("server", false).await;
    let mut config = papers.config(&server);
    config.ca_file = Some(papers.path("other-ca.pem"));
    refused(&config, ErrorKind::Denied, "`ca_file`").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused() {
    let papers = Papers::new();
    let server = papers.server("expired", false).await;
    refused(&papers.config(&server), ErrorKind::Denied, "has expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let papers = Papers::new();
    let server = papers.server("wrong-name", false).await;
    refused(
        &papers.config(&server),
        ErrorKind::Denied,
        "not for \"127.0.0.1\"",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_asked_for_and_taken() {
    let papers = Papers::new();
    let server = papers.server("server", true).await;
    let mut config = papers.config(&server);
    refused(&config, ErrorKind::Denied, "`cert_file`").await;
    config.cert_file = Some(papers.path("client.pem"));
    config.key_file = Some(papers.path("client.key"));
    open(&config).await.unwrap();
    config.key_file = Some(papers.path("server.key"));
    refused(&config, ErrorKind::Invalid, "do not go together").await;
    config.key_file = Some(papers.path("nowhere.key"));
    refused(&config, ErrorKind::Invalid, "nowhere.key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_where_there_is_none_and_none_where_there_is() {
    let papers = Papers::new();
    let plain = TestServer::new(Dialect::Cdmi2).await;
    let mut config = papers.config(&plain);
    config.urls = vec![plain.url().replace("http://", "https://")];
    refused(&config, ErrorKind::Invalid, "http://").await;
    let secure = papers.server("server", false).await;
    let mut config = papers.config(&secure);
    config.urls = vec![secure.url().replace("https://", "http://")];
    let error = open(&config).await.unwrap_err();
    assert!(
        error.to_string().contains("https://") || error.kind().is_transient(),
        "{error}"
    );
}
