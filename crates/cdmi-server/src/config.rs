//! What a server is told: where its data lies, where it listens, which dialect it speaks, what it refuses.
//!
//! Every field has a default but `root`; all of it can be read with serde. Units are in the names.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The dialect that a server speaks. See the table of modes in `docs/cdmi.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// CDMI 2.0.0: `PATCH` updates, queries are `?a=b&c`, root URI `/cdmi/2.0.0/`.
    #[default]
    Cdmi2,
    /// CDMI 1.0–1.1: `PUT` updates, queries are `?a:b;c`, root URI `/`.
    Cdmi1,
    /// What the kernel driver of 2014 sends: `Range` on `PUT`, `X-Scal-Truncate`.
    Srb,
    /// CDMI 1.x and Scality's additions: the above, `Content-Range: bytes=a-b`, `X-Scal-Synchronize` on `HEAD`.
    Scality,
}

impl Mode {
    /// The root URI that clients of this dialect expect; begins and ends with a slash.
    pub fn default_prefix(self) -> &'static str {
        match self {
            Mode::Cdmi2 => "/cdmi/2.0.0/",
            Mode::Cdmi1 | Mode::Srb | Mode::Scality => "/",
        }
    }

    /// Whether updates are `PUT`s and queries `?a:b;c`.
    pub(crate) fn is_1x(self) -> bool {
        matches!(self, Mode::Cdmi1 | Mode::Scality)
    }

    /// Whether Scality's headers are understood.
    pub(crate) fn has_scal_headers(self) -> bool {
        matches!(self, Mode::Srb | Mode::Scality)
    }
}

/// TLS listeners with their key and whom they let in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Addresses that speak TLS only. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// PEM file with the certificate chain, the server's own first.
    pub cert: PathBuf,
    /// PEM file with the private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// PEM file with the authorities that client certificates must be signed by; without it none is asked for.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// One who may use the server.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name, without a colon.
    pub name: String,
    /// The password in clear.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Basic authentication. With an empty list nobody gets in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Users given here.
    #[serde(default)]
    pub users: Vec<User>,
    /// A file with one `name:password` a line; empty lines and those that begin with `#` are skipped.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// What a client may not exceed.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most bytes in the body of one whole-object `PUT`.
    pub put_bytes_max: u64,
    /// Most bytes in the body of one ranged write; it is held in memory until it is whole.
    pub range_bytes_max: u64,
    /// Most bytes that all ranged and JSON bodies under way may hold in memory together.
    pub buffered_bytes_max: u64,
    /// Most bytes in a request's URI.
    pub uri_bytes_max: usize,
    /// Most bytes in a request's head.
    pub head_bytes_max: usize,
    /// Most connections at a time; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Most open files kept for objects.
    pub open_files_max: usize,
    /// Most file operations under way at a time, for reads and for changes each.
    pub file_operations_max: usize,
    /// Milliseconds that a connection may take to send a request's head, which includes idling between requests.
    pub head_timeout_ms: u64,
    /// Milliseconds without a byte after which a request's body is given up.
    pub body_timeout_ms: u64,
    /// Milliseconds without progress after which a response is given up, and the peer with it.
    pub write_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            put_bytes_max: 1 << 44,
            range_bytes_max: 16 << 20,
            buffered_bytes_max: 256 << 20,
            uri_bytes_max: 8 << 10,
            head_bytes_max: 32 << 10,
            connections_max: 1024,
            open_files_max: 1024,
            file_operations_max: 32,
            head_timeout_ms: 75_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
        }
    }
}

/// Everything that [`Server::bind`](crate::Server::bind) needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory with the data. It must exist, on a file system with `user.*` extended attributes.
    pub root: PathBuf,
    /// Addresses that speak plain HTTP. Port 0 takes a free one; empty turns plain HTTP off.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// Addresses that speak TLS.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who may use the server; without it, everyone.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The dialect.
    #[serde(default)]
    pub mode: Mode,
    /// The root URI, with a slash at both ends; the dialect's own by default.
    #[serde(default)]
    pub uri_prefix: Option<String>,
    /// Refuses every change.
    #[serde(default)]
    pub read_only: bool,
    /// Lets other servers of this host that say so too serve the directory at the same time.
    #[serde(default)]
    pub shared: bool,
    /// Whether `DELETE` of a container deletes what is in it, as the specification has it; else 409 unless it is empty.
    #[serde(default)]
    pub recursive_delete: bool,
    /// Whether the value of a whole-object `PUT` is on disk before the name points to it. Without it a loss of power can
    /// leave an empty object under the name; only for data that can be made again.
    #[serde(default = "yes")]
    pub sync_put: bool,
    /// The enterprise number in new object IDs; 37489 in the mode `scality` and 0 (none) elsewhere by default.
    #[serde(default)]
    pub enterprise_number: Option<u32>,
    /// What clients may not exceed.
    #[serde(default)]
    pub limits: Limits,
    /// The instance that clients are told, instead of the one that is kept: for tests, which change it between two runs as a
    /// loss of power would. Cannot be read from a file.
    #[serde(skip)]
    pub instance: Option<u128>,
    /// Deliberate misbehaviour, for tests of clients. Cannot be read from a file.
    #[serde(skip)]
    pub quirks: crate::Quirks,
}

fn yes() -> bool {
    true
}

impl Config {
    /// A server of `root` in the dialect CDMI 2.0, listening nowhere yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Config {
            root: root.into(),
            listen: Vec::new(),
            tls: None,
            auth: None,
            mode: Mode::default(),
            uri_prefix: None,
            read_only: false,
            shared: false,
            recursive_delete: false,
            sync_put: true,
            enterprise_number: None,
            limits: Limits::default(),
            instance: None,
            quirks: crate::Quirks::default(),
        }
    }

    /// The root URI, with a slash at both ends.
    pub fn prefix(&self) -> String {
        let prefix = self.uri_prefix.as_deref().unwrap_or(self.mode.default_prefix());
        let inner = prefix.trim_matches('/');
        if inner.is_empty() {
            "/".to_owned()
        } else {
            format!("/{inner}/")
        }
    }

    pub(crate) fn enterprise(&self) -> u32 {
        // 37489 is Scality's number at IANA; 0 is reserved and stands for "none".
        self.enterprise_number
            .unwrap_or(if self.mode == Mode::Scality { 37489 } else { 0 })
            & 0x00ff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_has_a_slash_at_both_ends() {
        let mut config = Config::new("/x");
        assert_eq!(config.prefix(), "/cdmi/2.0.0/");
        for (given, wanted) in [("", "/"), ("/", "/"), ("a/b", "/a/b/"), ("/a", "/a/")] {
            config.uri_prefix = Some(given.to_owned());
            assert_eq!(config.prefix(), wanted);
        }
    }

    #[test]
    fn reads_from_json_and_refuses_unknown_fields() {
        let config: Config = serde_json::from_str(
            r#"{"root":"/srv","listen":["127.0.0.1:0"],"mode":"srb","auth":{"users":[{"name":"a","password":"b"}]},"limits":{"range_bytes_max":4096}}"#,
        )
        .unwrap();
        assert_eq!((config.mode, config.limits.range_bytes_max), (Mode::Srb, 4096));
        assert!(config.sync_put && config.limits.connections_max > 1);
        assert!(
            !format!("{config:?}").contains("\"b\""),
            "no password in debug output"
        );
        assert!(serde_json::from_str::<Config>(r#"{"root":"/srv","quirks":{}}"#).is_err());
    }
}
