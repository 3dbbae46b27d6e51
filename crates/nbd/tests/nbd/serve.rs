//! A server of the test's own, on a Unix socket in a folder of its own.

use crate::raw::Raw;
use restblk_block::BlockDevice;
use restblk_nbd::{Exports, Limits, Listening, Server, Tls, UnixAccess};
use std::{
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) exports: Arc<Exports>,
    pub(crate) socket: PathBuf,
    _listening: Listening,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Serves `device` as "disk".
    pub(crate) async fn new(device: Arc<dyn BlockDevice>, limits: Limits, tls: Tls) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let exports = Exports::new();
        exports.add("disk", "a disk of a test", device).unwrap();
        let server = Server::new(Arc::clone(&exports), limits, tls);
        let listening = server.listen_unix(&socket, UnixAccess::default()).await.unwrap();
        Self {
            server,
            exports,
            socket,
            _listening: listening,
            _folder: folder,
        }
    }

    pub(crate) async fn plain(device: Arc<dyn BlockDevice>) -> Self {
        Self::new(device, Limits::default(), Tls::Off).await
    }

    /// A client after the greetings.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::greeted(&self.socket, 3).await
    }

    /// A client in the transmission phase.
    pub(crate) async fn client(&self, structured: bool) -> Raw {
        let mut raw = self.raw().await;
        raw.go("disk", structured).await;
        raw
    }

    /// The URI of an export; `scheme` is nbd or nbds.
    pub(crate) fn uri(&self, scheme: &str) -> String {
        format!("{scheme}+unix:///disk?socket={}", self.socket.display())
    }
}

/// Waits until it holds, for at most 10 s.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The future's result within 10 s.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("in time")
}
