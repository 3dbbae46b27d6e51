//! `/dev/restblk/<pool>/<volume>`: links to the nodes of attached volumes.
//!
//! A link appears and changes in one step (made under another name, then renamed). Only symbolic links are ever
//! replaced or removed; names are [`VolumeRef`]s, which cannot leave their folder. Beside each link lies a hint
//! for udev, `<hints>/<node's name>`, which the rule in packaging/udev reads, so that systemd knows the link as
//! a name of the device (`What=/dev/restblk/…` in mount units). Works without udev. Blocks, briefly.

use restblk_types::VolumeRef;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
    process,
};

/// Where links and hints lie.
#[derive(Clone, Debug)]
pub struct Links {
    folder: PathBuf,
    hints: PathBuf,
}

impl Default for Links {
    /// /dev/restblk and /run/restblk/udev.
    fn default() -> Self {
        Self::new("/dev/restblk", "/run/restblk/udev")
    }
}

impl Links {
    /// Links under `folder`, hints for udev in `hints`.
    pub fn new(folder: impl Into<PathBuf>, hints: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            hints: hints.into(),
        }
    }

    /// Where the link of `volume` is, or would be.
    #[must_use]
    pub fn path(&self, volume: &VolumeRef) -> PathBuf {
        self.folder.join(volume.pool.as_str()).join(volume.in_pool())
    }

    /// Links `volume` to `node`, in place of an earlier link; returns the link's path.
    pub fn create(&self, volume: &VolumeRef, node: &Path) -> io::Result<PathBuf> {
        let link = self.path(volume);
        if fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink()) {
            let message = format!("{} is there and is no link", link.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        self.write_hint(volume, node)?;
        let pool = self.folder.join(volume.pool.as_str());
        // No volume's name starts with a dot.
        let fresh = pool.join(format!(".{}-{}", link_name(&link), process::id()));
        let mut tries = 0;
        loop {
            fs::create_dir_all(&pool)?;
            let _ = fs::remove_file(&fresh);
            match symlink(node, &fresh) {
                // The removal of another volume's link took the empty folder away.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 10 => tries += 1,
                result => break result?,
            }
        }
        fs::rename(&fresh, &link).inspect_err(|_| drop(fs::remove_file(&fresh)))?;
        tell_udev(node);
        Ok(link)
    }

    /// Removes the link of `volume`; fine if there is none.
    pub fn remove(&self, volume: &VolumeRef) -> io::Result<()> {
        let link = self.path(volume);
        match fs::read_link(&link) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
            Ok(node) => {
                self.remove_hint(volume, &node);
                fs::remove_file(&link).or_else(not_found_is_fine)?;
                tell_udev(&node);
            }
        }
        if let Some(pool) = link.parent() {
            // Fails while other links are in it.
            let _ = fs::remove_dir(pool);
        }
        Ok(())
    }

    /// All links with the nodes that they lead to, whether or not these exist.
    pub fn list(&self) -> io::Result<BTreeMap<VolumeRef, PathBuf>> {
        let mut links = BTreeMap::new();
        for pool in read_folder(&self.folder)? {
            for link in read_folder(&pool)? {
                let volume = format!("{}/{}", link_name(&pool), link_name(&link)).parse::<VolumeRef>();
                if let (Ok(volume), Ok(target)) = (volume, fs::read_link(&link)) {
                    links.insert(volume, resolve(&pool, &target));
                }
            }
        }
        Ok(links)
    }

    /// Removes every link but these, and those of these that lead elsewhere than told; returns what was removed.
    pub fn sweep(&self, live: &BTreeMap<VolumeRef, PathBuf>) -> io::Result<BTreeMap<VolumeRef, PathBuf>> {
        let mut stale = self.list()?;
        stale.retain(|volume, node| live.get(volume) != Some(node));
        for volume in stale.keys() {
            self.remove(volume)?;
        }
        for hint in read_folder(&self.hints)? {
            if !live.values().any(|node| node.file_name() == hint.file_name()) {
                fs::remove_file(&hint).or_else(not_found_is_fine)?;
            }
        }
        Ok(stale)
    }

    fn hint(&self, node: &Path) -> PathBuf {
        self.hints.join(link_name(node))
    }

    fn write_hint(&self, volume: &VolumeRef, node: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.hints)?;
        let hint = self.hint(node);
        let fresh = hint.with_extension("new");
        fs::write(&fresh, hint_text(volume))?;
        fs::rename(&fresh, &hint)
    }

    /// Removes the hint, unless the node has been given to another volume meanwhile.
    fn remove_hint(&self, volume: &VolumeRef, node: &Path) {
        let hint = self.hint(node);
        if fs::read_to_string(&hint).is_ok_and(|text| text == hint_text(volume)) {
            let _ = fs::remove_file(hint);
        }
    }
}

/// The path that a link in `folder` leads to. udev replaces our links by relative ones.
fn resolve(folder: &Path, target: &Path) -> PathBuf {
    let mut path = PathBuf::new();
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path
}

fn hint_text(volume: &VolumeRef) -> String {
    format!("RESTBLK_VOLUME={volume}\n")
}

fn link_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Makes udev look at the node again; without udev nothing happens.
fn tell_udev(node: &Path) {
    let _ = fs::write(format!("/sys/class/block/{}/uevent", link_name(node)), "change");
}

fn not_found_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// The entries of a folder; none where it does not exist or is none.
fn read_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(root: &tempfile::TempDir) -> Links {
        Links::new(root.path().join("dev"), root.path().join("hints"))
    }

    #[test]
    fn a_link_appears_moves_and_goes_with_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let (links, volume) = (links(&root), "main/disk1".parse().unwrap());
        assert_eq!(
            links.create(&volume, Path::new("/dev/x0")).unwrap(),
            root.path().join("dev/main/disk1")
        );
        links.create(&volume, Path::new("/dev/x1")).unwrap();
        assert_eq!(
            links.list().unwrap(),
            BTreeMap::from([(volume.clone(), PathBuf::from("/dev/x1"))])
        );
        assert_eq!(
            fs::read_to_string(root.path().join("hints/x1")).unwrap(),
            "RESTBLK_VOLUME=main/disk1\n"
        );
        links.remove(&volume).unwrap();
        links.remove(&volume).unwrap();
        assert!(!root.path().join("dev/main").exists() && !root.path().join("hints/x1").exists());
    }

    #[test]
    fn a_sweep_leaves_the_live() {
        let root = tempfile::tempdir().unwrap();
        let links = links(&root);
        let names = ["a/one", "a/two", "b/one@monday"].map(|name| name.parse::<VolumeRef>().unwrap());
        for (index, name) in names.iter().enumerate() {
            links
                .create(name, &PathBuf::from(format!("/dev/x{index}")))
                .unwrap();
        }
        let live = BTreeMap::from([(names[1].clone(), PathBuf::from("/dev/x1"))]);
        assert_eq!(links.sweep(&live).unwrap().len(), 2);
        assert_eq!(links.list().unwrap(), live);
        assert_eq!(
            read_folder(&root.path().join("hints")).unwrap(),
            [root.path().join("hints/x1")]
        );
    }

    #[test]
    fn links_that_udev_made_lead_to_the_same_nodes() {
        assert_eq!(
            resolve(Path::new("/dev/restblk/main"), Path::new("../../loop0")),
            Path::new("/dev/loop0")
        );
        assert_eq!(
            resolve(Path::new("/dev/restblk/main"), Path::new("/dev/loop0")),
            Path::new("/dev/loop0")
        );
    }

    #[test]
    fn what_is_no_link_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (links, volume) = (links(&root), "main/disk1".parse().unwrap());
        fs::create_dir_all(root.path().join("dev/main/disk1")).unwrap();
        assert_eq!(
            links.create(&volume, Path::new("/dev/x0")).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert!(links.sweep(&BTreeMap::new()).unwrap().is_empty());
        assert!(root.path().join("dev/main/disk1").is_dir());
    }
}
