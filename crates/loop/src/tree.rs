//! The names within the file system: one path of folders that ends in the volume's file.
//!
//! The path is the one at which the file system would be mounted, and below it `pool/volume`; so that what the
//! kernel shows as the loop device's backing file (`losetup`, `lsblk`, sysfs) names attachment and volume, and
//! is ours beyond doubt when remains are cleared away. Nothing else exists, and nothing changes.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// The root folder, by the protocol.
const ROOT: u64 = 1;
/// The file, whatever lies above it: a session may outlive the daemon that named the folders.
pub(crate) const FILE: u64 = 2;

/// The path to the file, from the root.
#[derive(Debug)]
pub(crate) struct Tree {
    names: Vec<OsString>,
}

impl Tree {
    /// The path `mount`/`label`, where the label is split at slashes.
    pub(crate) fn new(mount: &Path, label: &str) -> Self {
        let path = mount.join(label.trim_start_matches('/'));
        let normal = path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        });
        let mut names: Vec<_> = normal.collect();
        if names.is_empty() {
            names.push("volume".into());
        }
        Self { names }
    }

    /// The path from the root, without a leading slash.
    pub(crate) fn path(&self) -> PathBuf {
        self.names.iter().collect()
    }

    /// The node of `name` in the folder `parent`.
    pub(crate) fn lookup(&self, parent: u64, name: &[u8]) -> Option<u64> {
        let depth = match parent {
            ROOT => 0,
            FILE => return None,
            folder => usize::try_from(folder - FILE).ok()?,
        };
        let last = self.names.len() - 1;
        let found = self.names.get(depth).is_some_and(|own| own.as_bytes() == name);
        // Folder number i below the root is node FILE + i.
        found.then(|| {
            if depth == last {
                FILE
            } else {
                FILE + depth as u64 + 1
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(tree: &Tree, path: &str) -> Option<u64> {
        path.split('/')
            .try_fold(ROOT, |node, name| tree.lookup(node, name.as_bytes()))
    }

    #[test]
    fn the_path_leads_to_the_file_and_no_other_does() {
        let tree = Tree::new(Path::new("/run/x/mnt"), "main/disk1");
        assert_eq!(tree.path(), Path::new("run/x/mnt/main/disk1"));
        assert_eq!(walk(&tree, "run/x/mnt/main/disk1"), Some(FILE));
        assert_eq!(walk(&tree, "run/x"), Some(FILE + 2));
        for path in ["x", "run/mnt", "run/x/mnt/main/disk2", "run/x/mnt/main/disk1/x"] {
            assert_eq!(walk(&tree, path), None, "{path}");
        }
    }

    #[test]
    fn no_label_leaves_the_mount() {
        assert_eq!(
            Tree::new(Path::new("/run"), "/../etc").path(),
            Path::new("run/etc")
        );
        assert_eq!(Tree::new(Path::new("/"), "..").path(), Path::new("volume"));
    }
}
