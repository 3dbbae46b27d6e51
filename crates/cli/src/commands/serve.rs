//! `restblk serve`: the embedded CDMI store over a directory of plain files.

use super::{runtime, told_to_end};
use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::{Args, ValueEnum};
use restblk_cdmi_server::{Auth, Config, Mode, ServeError, Server, Tls, User};
use restblk_types::ErrorKind;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Builder;

/// Where it listens unless told otherwise: on this host alone.
const LISTEN: &str = "127.0.0.1:8080";
const TLS_LISTEN: &str = "127.0.0.1:8443";

/// A line a request would cost more than many a request; `RESTBLK_LOG=info` gives it.
const LOG: &str = "info,restblk_cdmi_server::access=warn";

/// How long requests under way may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Serve a directory as a CDMI store
///
/// Prints the URL of its root, alone, on standard output, and serves until it is told to end. An object is a plain file
/// of the same name; docs/cdmi.md tells what of the protocol is there.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Directory that holds the data; it has to be there, on a file system with extended attributes
    root: PathBuf,
    /// Address for plain HTTP, any number of times; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Serve no plain HTTP
    #[arg(long, requires = "tls_cert", conflicts_with = "listen")]
    no_plain_http: bool,
    /// Address for HTTPS, any number of times [default: 127.0.0.1:8443 if there is a certificate]
    #[arg(long, value_name = "ADDRESS:PORT", requires = "tls_cert")]
    tls_listen: Vec<SocketAddr>,
    /// PEM file of the server's certificate chain
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the server's key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// PEM file of the authorities whose clients are let in; without it no client certificate is asked for
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Dialect: CDMI 2.0, CDMI 1.x, that of the kernel driver of 2014, or 1.x with Scality's additions
    #[arg(short, long, value_enum, default_value_t)]
    mode: ModeArg,
    /// Path of the root, such as /store/ [default: the dialect's own, /cdmi/2.0.0/ or /]
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Let this user in, and only whom else --users-file names
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// File with that user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// File with one NAME:PASSWORD a line: only they are let in
    #[arg(long, value_name = "FILE")]
    users_file: Option<PathBuf>,
    /// Refuse every change
    #[arg(short, long)]
    read_only: bool,
    /// Let other servers of this host that have this option too serve the directory at the same time, each a mirror of it;
    /// none of them takes snapshots, or copies or moves containers
    #[arg(long, conflicts_with = "read_only")]
    shared: bool,
    /// Delete containers with all that is in them, as the specification has it, instead of only empty ones
    #[arg(long)]
    recursive_delete: bool,
    /// Tell clients this instance instead of the one that is kept, as after a loss of power: for tests
    #[arg(long, value_name = "HEX", hide = true, value_parser = |digits: &str| u128::from_str_radix(digits, 16))]
    instance: Option<u128>,
}

/// [`Mode`] as a value of the command line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ModeArg {
    #[default]
    Cdmi2,
    Cdmi1,
    Srb,
    Scality,
}

impl Serve {
    pub(crate) fn run(&self, session: &Session) -> Result {
        restblk_daemon::start_logging(LOG);
        let config = self.config()?;
        runtime(Builder::new_multi_thread())?.block_on(serve(config, session))
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::new(&self.root);
        config.listen = match (self.no_plain_http, self.listen.as_slice()) {
            (true, _) => Vec::new(),
            (false, []) => vec![address(LISTEN)?],
            (false, given) => given.to_vec(),
        };
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let listen = if self.tls_listen.is_empty() {
                vec![address(TLS_LISTEN)?]
            } else {
                self.tls_listen.clone()
            };
            config.tls = Some(Tls {
                listen,
                cert: cert.clone(),
                key: key.clone(),
                client_ca: self.client_ca.clone(),
            });
        }
        config.mode = match self.mode {
            ModeArg::Cdmi2 => Mode::Cdmi2,
            ModeArg::Cdmi1 => Mode::Cdmi1,
            ModeArg::Srb => Mode::Srb,
            ModeArg::Scality => Mode::Scality,
        };
        config.uri_prefix = self.prefix.clone();
        config.auth = self.auth()?;
        config.read_only = self.read_only;
        config.shared = self.shared;
        config.recursive_delete = self.recursive_delete;
        config.instance = self.instance;
        Ok(config)
    }

    fn auth(&self) -> Result<Option<Auth>> {
        let mut users = Vec::new();
        if let (Some(name), Some(file)) = (&self.user, &self.password_file) {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let message = format!("failed to read the password from {}: {error}", file.display());
                Failure::new(kind_of(&error), message)
            })?;
            users.push(User {
                name: name.clone(),
                password: text.trim_end_matches(['\r', '\n']).to_owned(),
            });
        }
        let given = !users.is_empty() || self.users_file.is_some();
        Ok(given.then(|| Auth {
            users,
            file: self.users_file.clone(),
        }))
    }
}

async fn serve(config: Config, session: &Session) -> Result {
    let root = config.root.clone();
    let told = told_to_end()?;
    let server = Server::bind(config).await.map_err(|error| refuse(&error))?;
    let uri = server.base_uri();
    session.result(&serde_json::json!({ "url": uri }), |_| format!("{uri}\n"))?;
    session.note(format!(
        "serving {}; next, elsewhere: restblk pool create main --url {uri}; Ctrl-C ends it",
        root.display()
    ));
    told.await;
    server.shutdown(GRACE).await;
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .map_err(|_| Failure::new(ErrorKind::Bug, format!("{text} is no address")))
}

fn refuse(error: &ServeError) -> Failure {
    let (kind, hint) = match error {
        ServeError::Root { source, path } if source.kind() == io::ErrorKind::NotFound && !path.exists() => {
            (ErrorKind::NotFound, Some(format!("mkdir {}", path.display())))
        }
        ServeError::Root { source, path } if source.kind() == io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            Some(format!(
                "the user who serves must own {}: choose another directory, or another user",
                path.display()
            )),
        ),
        ServeError::Root { source, .. } => (kind_of(source), None),
        ServeError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => (
            ErrorKind::Busy,
            Some("choose another address with --listen; port 0 takes a free one".to_owned()),
        ),
        ServeError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => (
            ErrorKind::Invalid,
            Some("choose an address of this host with --listen: `ip address` lists them".to_owned()),
        ),
        ServeError::Listen { source, .. } => (kind_of(source), None),
        ServeError::InUse { .. } => (ErrorKind::Busy, None),
        ServeError::NoAttributes { .. } => (ErrorKind::Unsupported, None),
        _ => (ErrorKind::Invalid, None),
    };
    let failure = Failure::new(kind, error.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::AddrInUse => ErrorKind::Busy,
        io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Invalid,
    }
}
