//! The embedded CDMI server, started for one test.

use restblk_cdmi_server::{Config, Mode, Server};
use restblk_store::{CdmiStore, Dialect, HttpClient, StoreConfig, StoreKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A running server and its directory.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) dir: Arc<TempDir>,
}

pub(crate) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn mode(dialect: Dialect) -> Mode {
    match dialect {
        Dialect::Srb => Mode::Srb,
        Dialect::Scality => Mode::Scality,
        Dialect::Cdmi1 => Mode::Cdmi1,
        Dialect::Cdmi2 => Mode::Cdmi2,
    }
}

impl TestServer {
    pub(crate) async fn new(dialect: Dialect) -> Self {
        Self::with(dialect, |_| {}).await
    }

    pub(crate) async fn with(dialect: Dialect, change: impl FnOnce(&mut Config)) -> Self {
        Self::over(tempfile::tempdir().unwrap(), dialect, change).await
    }

    /// A server of a directory that may have something in it.
    pub(crate) async fn over(
        dir: impl Into<Arc<TempDir>>,
        dialect: Dialect,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let dir = dir.into();
        let mut config = Config::new(dir.path());
        config.mode = mode(dialect);
        config.listen = vec![loopback()];
        config.sync_put = false;
        change(&mut config);
        Self {
            server: Server::bind(config).await.unwrap(),
            dir,
        }
    }

    /// Servers that share one directory.
    pub(crate) async fn sharing(dialect: Dialect, servers: usize) -> Vec<Self> {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let serve = |_| Self::over(Arc::clone(&dir), dialect, |config| config.shared = true);
        futures_util::future::join_all((0..servers).map(serve)).await
    }

    /// A pool's URL: a container of the server's, made when it is first needed.
    pub(crate) fn url(&self) -> String {
        self.server.base_uri() + "pool/"
    }

    /// The pool's directory.
    pub(crate) fn pool(&self) -> PathBuf {
        self.dir.path().join("pool")
    }

    pub(crate) fn config(&self) -> StoreConfig {
        config(&self.url())
    }

    pub(crate) fn http(&self) -> Arc<HttpClient> {
        Arc::new(HttpClient::new(&self.config(), &self.url()).unwrap())
    }

    pub(crate) async fn store(&self, dialect: Dialect) -> CdmiStore {
        CdmiStore::connect(self.http(), dialect).await.unwrap()
    }
}

/// A configuration for tests: short times.
pub(crate) fn config(url: &str) -> StoreConfig {
    let mut config = StoreConfig::new(StoreKind::Cdmi, [url]);
    config.request_timeout_ms = 5_000;
    config
}
