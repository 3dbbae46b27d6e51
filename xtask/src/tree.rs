//! Where things lie: the tree, cargo's target folder, the built programs, the cache of tools.

use std::env;
use std::path::{Path, PathBuf};

/// The checkout that this xtask was started in.
pub(crate) struct Tree {
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever CARGO_TARGET_DIR or the configuration put it.
    pub(crate) target: PathBuf,
}

impl Tree {
    /// The tree of the running xtask, which lies in `<target>/<profile>/`.
    pub(crate) fn find() -> Self {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .map_or_else(|| manifest.clone(), Path::to_path_buf);
        let target = env::current_exe()
            .ok()
            .and_then(|program| program.ancestors().nth(2).map(Path::to_path_buf))
            .unwrap_or_else(|| root.join("target"));
        Self { root, target }
    }

    /// The folder of the programs that end-to-end tests, claims and benches run: release builds, because the guest is slow.
    pub(crate) fn programs(&self) -> PathBuf {
        self.target.join("release")
    }

    /// `restblk` itself.
    pub(crate) fn restblk(&self) -> PathBuf {
        self.programs().join("restblk")
    }

    /// The folder under which `cargo install` puts tools of our own (`bin/`), shared by all checkouts.
    pub(crate) fn tools() -> PathBuf {
        let cache = env::var_os("XDG_CACHE_HOME").map_or_else(
            || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache"),
            PathBuf::from,
        );
        cache.join("restblk/tools")
    }

    /// `path` as it is named from the root, for people.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}
