//! The daemon's own disk: the host's id, pools made at run time, attachments. One daemon at a time holds it.
//!
//! ```text
//! STATE_DIR/lock                      held while a daemon runs
//! STATE_DIR/host-id                   who this host is, for attachment records on stores
//! STATE_DIR/pools/NAME.json           a pool made by `pool create`
//! STATE_DIR/proofs/NAME.json          what a pool's store was proved to do
//! STATE_DIR/attachments/POOL/NAME     an attachment, as a record; that of a snapshot is NAME@SNAPSHOT
//! STATE_DIR/journal/ID                a log volume's journal, while it is open and where it has what the store has not
//! ```
//! A file is replaced as a whole (written beside, synced, renamed, folder synced), so a crash leaves the old or the new.

use restblk_api::ErrorBody;
use restblk_device::Recovery;
use restblk_format::{LocalAttachment, Record};
use restblk_types::{ErrorKind, HostId, PoolName, VolumeRef};
use rustix::fs::FlockOperation;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The state folder, locked.
#[derive(Debug)]
pub(crate) struct StateDir {
    root: PathBuf,
    host: HostId,
    _lock: File,
}

/// An attachment as this host remembers it.
pub(crate) type Remembered = LocalAttachment<Recovery>;

impl StateDir {
    /// Opens the folder, making it where needed; `Busy` where another daemon holds it.
    pub(crate) fn open(root: &Path) -> Result<Self, ErrorBody> {
        for folder in ["pools", "proofs", "attachments"] {
            make_private(&root.join(folder))?;
        }
        let lock = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(root.join("lock"));
        let lock = lock.map_err(|e| failed("open the lock in", root, &e))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            ErrorBody::new(
                ErrorKind::Busy,
                format!("start: another daemon uses the state folder {}", root.display()),
            )
            .hint("one daemon a host is enough; give a second one its own state_dir and run_dir")
        })?;
        let id_file = root.join("host-id");
        let host = match fs::read_to_string(&id_file) {
            Ok(text) => text.trim().parse().map_err(|e| {
                ErrorBody::new(ErrorKind::Corrupt, format!("read {}: {e}", id_file.display())).hint(
                    "put back the host's id (stores' attachment records name it); removing the file makes a new one, \
                     and held volumes then need --force",
                )
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let id = HostId::random();
                replace(&id_file, id.to_string().as_bytes())?;
                id
            }
            Err(e) => return Err(failed("read", &id_file, &e)),
        };
        Ok(Self {
            root: root.to_owned(),
            host,
            _lock: lock,
        })
    }

    /// Who this host is.
    pub(crate) fn host(&self) -> HostId {
        self.host
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps a value of a pool: `pools` or `proofs`.
    pub(crate) fn keep<T: Serialize>(&self, what: &str, pool: &PoolName, value: &T) -> Result<(), ErrorBody> {
        let json =
            serde_json::to_vec_pretty(value).map_err(|e| ErrorBody::new(ErrorKind::Bug, e.to_string()))?;
        replace(&self.root.join(what).join(format!("{pool}.json")), &json)
    }

    /// All values of a kind, by pool. One that cannot be read is logged and passed over: the rest must work.
    pub(crate) fn kept<T: DeserializeOwned>(&self, what: &str) -> Vec<(PoolName, T)> {
        let folder = self.root.join(what);
        let files = list(&folder).into_iter().filter_map(|file| {
            let pool: PoolName = file.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()?;
            let value = fs::read(&file).map_err(|e| e.to_string());
            match value.and_then(|json| serde_json::from_slice(&json).map_err(|e| e.to_string())) {
                Ok(value) => Some((pool, value)),
                Err(error) => {
                    tracing::error!(file = %file.display(), error, "passed over: it cannot be read");
                    None
                }
            }
        });
        files.collect()
    }

    /// Forgets a value of a pool.
    pub(crate) fn forget(&self, what: &str, pool: &PoolName) -> Result<(), ErrorBody> {
        remove(&self.root.join(what).join(format!("{pool}.json")))
    }

    fn attachment_file(&self, volume: &VolumeRef) -> PathBuf {
        self.root
            .join("attachments")
            .join(volume.pool.as_str())
            .join(volume.in_pool())
    }

    /// Remembers an attachment.
    pub(crate) fn remember(&self, attachment: &Remembered) -> Result<(), ErrorBody> {
        let file = self.attachment_file(&attachment.volume);
        if let Some(folder) = file.parent() {
            make_private(folder)?;
        }
        let bytes = attachment
            .encode()
            .map_err(|e| ErrorBody::new(e.kind(), e.to_string()))?;
        replace(&file, &bytes)
    }

    /// Forgets an attachment.
    pub(crate) fn forget_attachment(&self, volume: &VolumeRef) -> Result<(), ErrorBody> {
        remove(&self.attachment_file(volume))
    }

    /// All remembered attachments. One that cannot be read is logged and left where it is.
    pub(crate) fn attachments(&self) -> Vec<Remembered> {
        let folders = list(&self.root.join("attachments"));
        let files = folders.iter().flat_map(|folder| list(folder));
        let read = files.filter_map(|file| {
            let bytes = fs::read(&file).map_err(|e| e.to_string());
            match bytes.and_then(|b| Remembered::decode(&b).map_err(|e| e.to_string())) {
                Ok(decoded) => Some(decoded.record),
                Err(error) => {
                    tracing::error!(file = %file.display(), error, "an attachment is not recovered: its file cannot be read");
                    None
                }
            }
        });
        read.collect()
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> ErrorBody {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Unavailable,
    };
    ErrorBody::new(kind, format!("{what} {}: {error}", path.display()))
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    // Names with a leading dot are files of ours that a crash left half-written.
    entries.retain(|path| {
        !path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
    });
    entries.sort();
    entries
}

/// Makes a folder that is root's alone, with all above it.
pub(crate) fn make_private(folder: &Path) -> Result<(), ErrorBody> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| failed("make the folder", folder, &e))
}

/// Writes a file whole or not at all, for root alone.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> Result<(), ErrorBody> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|n| n.to_str())) else {
        return Err(ErrorBody::new(
            ErrorKind::Bug,
            format!("{} is no file's name", file.display()),
        ));
    };
    let beside = folder.join(format!(".{name}.new"));
    let write = || {
        let mut out = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&beside, file)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| failed("write", file, &e))
}

fn remove(file: &Path) -> Result<(), ErrorBody> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", file, &e)),
        Err(_) => Ok(()),
        Ok(()) => match file.parent().map(File::open) {
            Some(folder) => folder
                .and_then(|f| f.sync_all())
                .map_err(|e| failed("remove", file, &e)),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_types::{AttachmentId, VolumeId};

    fn attachment(name: &str) -> Remembered {
        Remembered {
            volume: name.parse().unwrap(),
            volume_id: VolumeId::random(),
            id: AttachmentId::random(),
            held_as: None,
            transport: "auto".into(),
            device: Some(Recovery::Ublk { dev_id: 3 }),
            boot_id: "b".into(),
            persist: true,
            read_only: false,
            queues: 0,
            alias: None,
            since: "2026-01-02T03:04:05Z".into(),
        }
    }

    #[test]
    fn one_daemon_holds_the_folder_and_stays_the_same_host() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        assert_eq!(StateDir::open(dir.path()).unwrap_err().kind, ErrorKind::Busy);
        let host = first.host();
        drop(first);
        assert_eq!(StateDir::open(dir.path()).unwrap().host(), host);
    }

    #[test]
    fn attachments_are_remembered_and_damage_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let (a, b) = (attachment("main/a"), attachment("other/a"));
        let snapshot = attachment("main/a@monday");
        state.remember(&a).unwrap();
        state.remember(&snapshot).unwrap();
        state.remember(&b).unwrap();
        fs::write(
            dir.path().join("attachments/main/broken"),
            "restblk 1 local-attachment 9 0\n{}",
        )
        .unwrap();
        assert_eq!(state.attachments(), [a.clone(), snapshot.clone(), b.clone()]);
        state.forget_attachment(&snapshot.volume).unwrap();
        state.forget_attachment(&a.volume).unwrap();
        state.forget_attachment(&a.volume).unwrap();
        assert_eq!(state.attachments(), [b]);
    }
}
