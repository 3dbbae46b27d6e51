//! The stable names of devices: DEV_DIR/POOL/VOLUME, and DEV_DIR/by-name/ALIAS where one was asked for.

use crate::error::Result;
use restblk_api::ErrorBody;
use restblk_device::links::Links;
use restblk_types::{ErrorKind, VolumeRef};
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Longest alias, as the driver of 2014 had it.
const ALIAS_LEN_MAX: usize = 31;

#[derive(Debug)]
pub(super) struct Names {
    links: Links,
    by_name: PathBuf,
}

impl Names {
    pub(super) fn new(dev_dir: &Path, run_dir: &Path) -> Self {
        Self {
            links: Links::new(dev_dir, run_dir.join("udev")),
            by_name: dev_dir.join("by-name"),
        }
    }

    /// Where the volume's link is, or would be.
    pub(super) fn link(&self, volume: &VolumeRef) -> PathBuf {
        self.links.path(volume)
    }

    /// `Invalid` for an alias that cannot be a file's name of at most 31 characters, or means a node that exists.
    pub(super) fn check_alias(alias: &str) -> Result<()> {
        let fits = (1..=ALIAS_LEN_MAX).contains(&alias.len())
            && alias
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !alias.starts_with(['.', '-']);
        if fits {
            return Ok(());
        }
        Err(ErrorBody::new(
            ErrorKind::Invalid,
            format!(
                "take the name {alias:?}: use at most {ALIAS_LEN_MAX} letters, digits, '.', '_' and '-', starting with a letter, digit or '_'"
            ),
        ))
    }

    pub(super) fn create(&self, volume: &VolumeRef, alias: Option<&str>, node: &Path) -> Result<()> {
        let made = self.links.create(volume, node).map(|_| ());
        made.and_then(|()| alias.map_or(Ok(()), |alias| self.create_alias(alias, node)))
            .map_err(|e| {
                ErrorBody::new(
                    ErrorKind::Unavailable,
                    format!("name {} {}: {e}", node.display(), self.link(volume).display()),
                )
            })
    }

    fn create_alias(&self, alias: &str, node: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.by_name)?;
        let (link, fresh) = (self.by_name.join(alias), self.by_name.join(format!(".{alias}")));
        let _ = fs::remove_file(&fresh);
        symlink(node, &fresh)?;
        fs::rename(fresh, link)
    }

    /// Removes the names; what cannot be removed is logged, for it stands in nobody's way.
    pub(super) fn remove(&self, volume: &VolumeRef, alias: Option<&str>) {
        let alias = alias.map_or(Ok(()), |alias| match fs::remove_file(self.by_name.join(alias)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        });
        if let Err(error) = self.links.remove(volume).and(alias) {
            tracing::warn!(%volume, %error, "a device's name stays");
        }
    }
}
