//! The socket: only whom its mode and group let in. A socket that a dead daemon left is replaced; a living one's is not.
//!
//! The folder of the socket has to let them through, too. It is opened for passing through, not for listing, and keeps its
//! owner and group: systemd changes a folder with others back recursively before each start, and would reach into the
//! file systems of devices whose daemon is dead. All else in it has modes of its own.

use crate::{config::Config, error::Result, service::Service, state::make_private};
use axum::Router;
use restblk_api::ErrorBody;
use restblk_types::ErrorKind;
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    sync::Arc,
};
use tokio::net::{TcpListener, UnixListener};

/// A bound socket.
pub(crate) type Listener = UnixListener;

/// Binds the API's socket.
pub(crate) fn bind(config: &Config) -> Result<Listener> {
    let path = config.socket();
    let failed = |what: &str, e: &io::Error| {
        ErrorBody::new(ErrorKind::Unavailable, format!("{what} {}: {e}", path.display()))
    };
    let mode = config.api.mode_bits()?;
    if let Some(folder) = path.parent() {
        make_private(folder)?;
        if mode & 0o077 != 0 {
            let_through(folder).map_err(|e| failed("open the way to", &e))?;
        }
    }
    if path.exists() {
        if UnixStream::connect(&path).is_ok() {
            return Err(ErrorBody::new(
                ErrorKind::Busy,
                format!("listen at {}: another daemon does", path.display()),
            ));
        }
        fs::remove_file(&path).map_err(|e| failed("replace", &e))?;
    }
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&path);
    rustix::process::umask(mask);
    let listener = listener.map_err(|e| failed("listen at", &e))?;
    if let Some(group) = &config.api.group {
        let gid = group_id(group)?;
        std::os::unix::fs::chown(&path, None, Some(gid)).map_err(|e| failed("give to its group", &e))?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        .map_err(|e| failed("set the mode of", &e))?;
    Ok(listener)
}

fn let_through(folder: &Path) -> io::Result<()> {
    let mode = fs::metadata(folder)?.permissions().mode() & 0o7777;
    if mode & 0o011 == 0o011 {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o011))
}

fn group_id(name: &str) -> Result<u32> {
    let groups = fs::read_to_string(Path::new("/etc/group")).unwrap_or_default();
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    found.or_else(|| name.parse().ok()).ok_or_else(|| {
        ErrorBody::new(
            ErrorKind::Invalid,
            format!("take api.group = \"{name}\": there is no such group in /etc/group"),
        )
    })
}

/// Serves Prometheus over TCP, nothing else.
pub(crate) async fn serve_metrics(address: SocketAddr, service: Arc<Service>) -> Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|e| {
        ErrorBody::new(
            ErrorKind::Unavailable,
            format!("listen for Prometheus at {address}: {e}"),
        )
    })?;
    let router = Router::new()
        .route("/metrics", axum::routing::get(super::host::metrics))
        .with_state(service);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "Prometheus is not served any more");
        }
    });
    Ok(())
}
