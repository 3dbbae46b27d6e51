//! A mounted tree with its daemon, and reading and writing as a shell does.

use crate::daemon::Daemon;
use nix::errno::Errno;
use restblk_api::testing::Server;
use restblk_controlfs::{Config, ControlFs, Handle};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

// The order is that in which they end: the mount before what it needs.
pub(crate) struct Mounted {
    pub(crate) handle: Option<Handle>,
    pub(crate) server: Server,
    pub(crate) runtime: Runtime,
    pub(crate) dir: TempDir,
}

/// Whether this machine can mount.
pub(crate) fn able() -> bool {
    let able = nix::unistd::geteuid().is_root() && std::path::Path::new("/dev/fuse").exists();
    if !able {
        println!("skipped: needs root and /dev/fuse");
    }
    able
}

impl Mounted {
    /// A tree over an empty daemon; nothing where the machine cannot mount.
    pub(crate) fn new() -> Option<Self> {
        able().then(|| {
            let dir = TempDir::new().unwrap();
            let daemon = Daemon::default();
            let server =
                Server::start(&dir.path().join("api.sock"), move |asked| daemon.answer(asked)).unwrap();
            let runtime = Runtime::new().unwrap();
            let mut mounted = Self {
                handle: None,
                server,
                runtime,
                dir,
            };
            mounted.handle = Some(mounted.mount().unwrap());
            mounted
        })
    }

    /// A tree whose default pool has a mirror and these volumes, of 1 MiB each.
    pub(crate) fn with(volumes: &[&str]) -> Option<Self> {
        let mounted = Self::new()?;
        mounted.echo("http://a/v", "add_urls").unwrap();
        for volume in volumes {
            mounted.echo(&format!("{volume} 1M"), "create").unwrap();
        }
        Some(mounted)
    }

    pub(crate) fn mount(&self) -> Result<Handle, restblk_controlfs::MountError> {
        let _runtime = self.runtime.enter();
        let mut config = Config::new(self.server.socket(), "default".parse().unwrap());
        config.mountpoint = self.dir.path().join("run/control");
        config.patience = Duration::from_secs(2);
        ControlFs::mount(config)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("run/control").join(file)
    }

    /// `echo TEXT > FILE`.
    pub(crate) fn echo(&self, text: &str, file: &str) -> Result<(), Errno> {
        self.write(&format!("{text}\n"), file)
    }

    /// One write of just this, and close; an error of either is lost by no shell that looks.
    pub(crate) fn write(&self, text: &str, file: &str) -> Result<(), Errno> {
        std::fs::write(self.path(file), text).map_err(errno)
    }

    /// `cat FILE`.
    pub(crate) fn cat(&self, file: &str) -> Result<String, Errno> {
        std::fs::read_to_string(self.path(file)).map_err(errno)
    }

    /// `ls FOLDER`, sorted.
    pub(crate) fn ls(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn errno(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap())
}
