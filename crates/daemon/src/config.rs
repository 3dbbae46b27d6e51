//! The daemon's configuration file, /etc/restblk/restblk.toml. Everything has a default; an unknown word is an error.
//!
//! Pools may stand here or be made with `restblk pool create`, which keeps them in the state folder; a name that
//! stands in both is this file's.

use restblk_api::{ErrorBody, PoolSpec};
use restblk_engine::log::{MEMORY, MEMORY_MIN};
use restblk_types::{ByteCount, ErrorKind, PoolName, Seconds, VolumeRef};
use serde::{Deserialize, Deserializer, de::Error};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Where the file is, unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/restblk/restblk.toml";

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What outlives a reboot: the host's id, pools, attachments. Default /var/lib/restblk.
    pub state_dir: PathBuf,
    /// What does not: sockets, mount points. Default /run/restblk.
    pub run_dir: PathBuf,
    /// Where the devices' stable names appear. Default /dev/restblk.
    pub dev_dir: PathBuf,
    /// The control API.
    pub api: Api,
    /// The tree of control files.
    pub control: Control,
    /// The NBD server of exported volumes.
    pub nbd: Nbd,
    /// Prometheus over TCP.
    pub metrics: Metrics,
    /// The journals of log volumes.
    pub journal: Journal,
    /// The cache of log volumes.
    pub cache: Cache,
    /// The memory of log volumes.
    pub memory: Memory,
    /// The trash.
    pub trash: Trash,
    /// What opens encrypted volumes: by `POOL`, or by `"POOL/VOLUME"`, which goes before its pool.
    #[serde(deserialize_with = "keys")]
    pub encryption: BTreeMap<String, KeySource>,
    /// Seconds between two looks whether an attached volume is still ours. Default 10.
    pub lease_check_s: u32,
    /// Pools.
    #[serde(deserialize_with = "pools")]
    pub pool: BTreeMap<PoolName, PoolSpec>,
}

/// The control API's socket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Default RUN_DIR/api.sock.
    pub socket: Option<PathBuf>,
    /// Its mode, in octal as text. Default "0600", with a group "0660"; whoever may connect is as good as root over all volumes.
    pub mode: Option<String>,
    /// The group that owns it, of /etc/group or by number. Default: root's.
    pub group: Option<String>,
}

/// The tree of control files.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Default true.
    pub enabled: bool,
    /// Default RUN_DIR/control.
    pub mountpoint: Option<PathBuf>,
    /// The pool that the files at the top speak of. Default "default".
    pub default_pool: PoolName,
}

/// The NBD server for exported volumes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nbd {
    /// The Unix socket, mode 0600. Default RUN_DIR/nbd.sock.
    pub socket: Option<PathBuf>,
    /// TCP addresses. Default none.
    pub listen: Vec<SocketAddr>,
    /// PEM file of the server's certificate chain, for TLS on the TCP addresses.
    pub tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    pub tls_key: Option<PathBuf>,
    /// PEM file of the authorities whose clients are let in.
    pub tls_client_ca: Option<PathBuf>,
}

/// Journals: what was written to log volumes and is not on the store yet, a file for each attached volume.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// A folder on a disk of this host. Default STATE_DIR/journal.
    pub folder: Option<PathBuf>,
    /// Bytes of each journal, a number or such as "1G", at least 32M; 0 does without: every flush then waits for the store, and what was not flushed ends with
    /// the daemon. Default 256M.
    #[serde(deserialize_with = "bytes")]
    pub size: ByteCount,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            folder: None,
            size: ByteCount(256 << 20),
        }
    }
}

/// The cache: what log volumes read, in one file on a disk of this host. It may be lost at any time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// A folder on a disk of this host that is quicker than the store. Default STATE_DIR/cache.
    pub folder: Option<PathBuf>,
    /// Bytes of it, a number or such as "100G", at least 32M; 0 does without. Default 0.
    #[serde(deserialize_with = "bytes")]
    pub size: ByteCount,
}

/// The memory that log volumes take, all together (docs/log.md).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Bytes, a number or such as "1G", at least 64M. Default 512M.
    #[serde(deserialize_with = "bytes")]
    pub limit: ByteCount,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            limit: ByteCount(MEMORY),
        }
    }
}

/// The trash: log volumes that were deleted and can be restored.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trash {
    /// How long a volume that is deleted on this host stays there, such as "7d"; "0" does without: it goes for good at once. Default "0".
    #[serde(deserialize_with = "seconds")]
    pub keep: Seconds,
}

/// Prometheus over TCP; the API's socket always has /metrics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// An address such as 127.0.0.1:9464. Default none.
    pub listen: Option<SocketAddr>,
}

/// A file with what opens encrypted volumes. It is read whenever one is opened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// Every byte of it, at least 32.
    KeyFile(PathBuf),
    /// Its first line.
    PassphraseFile(PathBuf),
}

/// A table of what opens volumes, whose names must be ones.
fn keys<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<BTreeMap<String, KeySource>, D::Error> {
    let keys = BTreeMap::<String, KeySource>::deserialize(from)?;
    for name in keys.keys() {
        let is_name = match name.parse::<VolumeRef>() {
            Ok(volume) => volume.snapshot.is_none(),
            Err(_) => name.parse::<PoolName>().is_ok(),
        };
        if !is_name {
            let reason = format!("in [encryption]: \"{name}\" is no POOL and no POOL/VOLUME");
            return Err(D::Error::custom(reason));
        }
    }
    Ok(keys)
}

/// A number of bytes, or a size with its unit.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<ByteCount, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        Text(String),
    }
    match Written::deserialize(from)? {
        Written::Bytes(bytes) => Ok(ByteCount(bytes)),
        Written::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

/// A length of time with its unit.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Seconds, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// Tables `[pool.NAME]`: a `PoolSpec` each, without the name, which is the table's.
fn pools<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<BTreeMap<PoolName, PoolSpec>, D::Error> {
    let tables = BTreeMap::<PoolName, toml::Table>::deserialize(from)?;
    let spec = |(name, mut table): (PoolName, toml::Table)| {
        if table.insert("name".into(), name.to_string().into()).is_some() {
            let reason = format!("in [pool.{name}]: the name is the table's own: remove `name`");
            return Err(D::Error::custom(reason));
        }
        let spec: PoolSpec = table.try_into().map_err(|error: toml::de::Error| {
            D::Error::custom(format!("in [pool.{name}]: {}", error.message()))
        })?;
        Ok((name, spec))
    };
    tables.into_iter().map(spec).collect()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/restblk".into(),
            run_dir: "/run/restblk".into(),
            dev_dir: "/dev/restblk".into(),
            api: Api::default(),
            control: Control::default(),
            nbd: Nbd::default(),
            metrics: Metrics::default(),
            journal: Journal::default(),
            cache: Cache::default(),
            memory: Memory::default(),
            trash: Trash::default(),
            encryption: BTreeMap::new(),
            lease_check_s: 10,
            pool: BTreeMap::new(),
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a literal within the alphabet of names")]
        let default_pool = "default".parse().expect("a valid name");
        Self {
            enabled: true,
            mountpoint: None,
            default_pool,
        }
    }
}

impl Config {
    /// Reads the file; without a path the default one, which may be absent.
    pub fn read(path: Option<&Path>) -> Result<Self, ErrorBody> {
        let (path, required) = (path.unwrap_or(Path::new(DEFAULT_PATH)), path.is_some());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => String::new(),
            Err(e) => {
                return Err(ErrorBody::new(
                    ErrorKind::Invalid,
                    format!("read {}: {e}", path.display()),
                ));
            }
        };
        let config: Self = toml::from_str(&text)
            .map_err(|e| ErrorBody::new(ErrorKind::Invalid, format!("read {}: {e}", path.display())))?;
        config.api.mode_bits()?;
        config.memory.check()?;
        Ok(config)
    }

    /// The API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.api
            .socket
            .clone()
            .unwrap_or_else(|| self.run_dir.join("api.sock"))
    }

    /// Where the control files appear.
    #[must_use]
    pub fn control_mountpoint(&self) -> PathBuf {
        self.control
            .mountpoint
            .clone()
            .unwrap_or_else(|| self.run_dir.join("control"))
    }

    /// The NBD server's Unix socket.
    #[must_use]
    pub fn nbd_socket(&self) -> PathBuf {
        self.nbd
            .socket
            .clone()
            .unwrap_or_else(|| self.run_dir.join("nbd.sock"))
    }

    /// Where the journals are.
    #[must_use]
    pub fn journals(&self) -> PathBuf {
        self.journal
            .folder
            .clone()
            .unwrap_or_else(|| self.state_dir.join("journal"))
    }

    /// The cache's folder.
    #[must_use]
    pub fn cache_folder(&self) -> PathBuf {
        self.cache
            .folder
            .clone()
            .unwrap_or_else(|| self.state_dir.join("cache"))
    }

    /// The pools of the file.
    pub fn pools(&self) -> impl Iterator<Item = PoolSpec> {
        self.pool.values().cloned()
    }
}

impl Memory {
    fn check(self) -> Result<(), ErrorBody> {
        if self.limit.0 >= MEMORY_MIN {
            return Ok(());
        }
        let (limit, least) = (self.limit, ByteCount(MEMORY_MIN));
        let message = format!("take memory.limit = {limit}: it must be at least {least}");
        Err(ErrorBody::new(ErrorKind::Invalid, message))
    }
}

impl Api {
    /// The socket's mode.
    pub fn mode_bits(&self) -> Result<u32, ErrorBody> {
        let Some(mode) = &self.mode else {
            return Ok(if self.group.is_some() { 0o660 } else { 0o600 });
        };
        u32::from_str_radix(mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .ok_or_else(|| {
                ErrorBody::new(
                    ErrorKind::Invalid,
                    format!("take api.mode = {mode:?}: write it in octal, such as \"0660\""),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_whole_configuration() {
        let config: Config = toml::from_str("").unwrap();
        assert_eq!(config.socket(), Path::new("/run/restblk/api.sock"));
        assert_eq!(config.api.mode_bits().unwrap(), 0o600);
    }

    #[test]
    fn a_group_may_use_the_socket_unless_the_mode_says_otherwise() {
        let mode = |text: &str| toml::from_str::<Config>(text).unwrap().api.mode_bits().unwrap();
        assert_eq!(mode("[api]\ngroup = \"staff\""), 0o660);
        assert_eq!(mode("[api]\ngroup = \"staff\"\nmode = \"0600\""), 0o600);
    }

    #[test]
    fn a_size_is_a_number_or_has_a_unit() {
        let size = |text: &str| toml::from_str::<Config>(text).map(|config| config.journal.size);
        assert_eq!(size("[journal]\nsize = \"1G\""), Ok(ByteCount(1 << 30)));
        assert_eq!(size("[journal]\nsize = 0"), Ok(ByteCount(0)));
        assert!(size("[journal]\nsize = \"much\"").is_err());
    }

    #[test]
    fn keys_are_named_by_pool_or_volume() {
        let config = toml::from_str::<Config>(
            "[encryption]\nmain = { key_file = \"/k\" }\n\"main/db\" = { passphrase_file = \"/p\" }",
        );
        let keys = config.unwrap().encryption;
        assert_eq!(keys["main"], KeySource::KeyFile("/k".into()));
        assert_eq!(keys["main/db"], KeySource::PassphraseFile("/p".into()));
        for wrong in ["\"main/db@monday\"", "\"a b\""] {
            let text = format!("[encryption]\n{wrong} = {{ key_file = \"/k\" }}");
            assert!(
                toml::from_str::<Config>(&text)
                    .unwrap_err()
                    .to_string()
                    .contains("is no POOL")
            );
        }
    }

    #[test]
    fn the_example_that_is_shipped_is_read() {
        let config: Config = toml::from_str(include_str!("../../../packaging/restblk.toml")).unwrap();
        let pool = config.pools().next().unwrap();
        assert_eq!((pool.name.as_str(), pool.store.as_str()), ("main", "cdmi"));
    }

    #[test]
    fn a_misspelt_word_is_an_error_that_names_it() {
        let error = toml::from_str::<Config>("[api]\nsoket = \"x\"").unwrap_err();
        assert!(error.to_string().contains("soket"));
        let config: Config = toml::from_str("[api]\nmode = \"rw\"").unwrap();
        assert!(config.api.mode_bits().is_err());
    }
}
