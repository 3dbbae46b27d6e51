//! What opens encrypted volumes on this host: what the configuration names, and the data keys of those that are open.
//!
//! A daemon that follows another one takes its devices over, and must read what is behind them although nobody gives it a key again. So the data
//! key of an open volume is kept in `RUN_DIR/keys/ID`, for root alone, where that folder is in memory and gone with the host's boot; nowhere else. A
//! key that was given with a request is not kept, and neither is a passphrase or a key file.

use crate::{
    config::KeySource,
    error::Result,
    state::{make_private, replace},
};
use restblk_api::ErrorBody;
use restblk_engine::log::DataKey;
use restblk_format::Encryption;
use restblk_types::{ErrorKind, KeyKind, KeySecret, VolumeId, VolumeRef};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroizing;

/// File systems whose bytes are in memory alone, by their magic numbers (statfs(2)).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// See the module.
#[derive(Debug)]
pub(crate) struct Keys {
    /// By `POOL` or `POOL/VOLUME`.
    configured: BTreeMap<String, KeySource>,
    /// Of the volumes that are open, and of those that wait for being so.
    kept: Mutex<BTreeMap<VolumeId, DataKey>>,
    folder: PathBuf,
}

impl Keys {
    pub(crate) fn new(configured: BTreeMap<String, KeySource>, run_dir: &Path) -> Self {
        Self {
            configured,
            kept: Mutex::default(),
            folder: run_dir.join("keys"),
        }
    }

    /// The secret that was given, or the one that the configuration names: of the volume before that of its pool.
    pub(crate) fn secret(&self, volume: &VolumeRef, given: Option<KeySecret>) -> Result<Option<KeySecret>> {
        if given.is_some() {
            return Ok(given);
        }
        let whole = volume.whole().to_string();
        let source = self
            .configured
            .get(&whole)
            .or_else(|| self.configured.get(volume.pool.as_str()));
        source.map(read).transpose()
    }

    /// The data key of a volume, before anything is done to it: by what was given, by what an earlier daemon had it open by, or by what the
    /// configuration names. None where it is not encrypted.
    pub(crate) async fn of(
        &self,
        volume: &VolumeRef,
        id: VolumeId,
        encryption: Option<&Encryption>,
        given: Option<KeySecret>,
    ) -> Result<Option<DataKey>> {
        let Some(encryption) = encryption else {
            if given.is_none() {
                return Ok(None);
            }
            let message = format!("open {volume}: it is not encrypted, and a key was given");
            return Err(ErrorBody::new(ErrorKind::Invalid, message)
                .hint("if it should be, somebody has put another one in its place; else leave the key out"));
        };
        if given.is_none()
            && let Some(kept) = self.kept(id).filter(|kept| encryption.is_of(kept))
        {
            return Ok(Some(kept));
        }
        let Some(secret) = self.secret(volume, given)? else {
            return Err(missing(volume));
        };
        let opened = open(volume, encryption, secret).await?;
        Ok(Some(opened.0))
    }

    /// Refuses an attachment that shall come back at boot, where nobody gives a key, and that nothing could open then.
    pub(crate) fn check_persistent(&self, volume: &VolumeRef) -> Result<()> {
        if self.secret(volume, None)?.is_some() {
            return Ok(());
        }
        let message = format!(
            "attach {volume}: it is encrypted and shall come back at boot, when nobody gives its key"
        );
        Err(ErrorBody::new(ErrorKind::Invalid, message).hint(
            "name a file with its key in [encryption] of the daemon's configuration and start the daemon anew, or leave --persist out",
        ))
    }

    fn file(&self, id: VolumeId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn in_memory(&self) -> MutexGuard<'_, BTreeMap<VolumeId, DataKey>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, id: VolumeId) -> Option<DataKey> {
        if let Some(key) = self.in_memory().get(&id) {
            return Some(key.clone());
        }
        let mut bytes = Zeroizing::new([0; restblk_format::log::KEY_LEN]);
        let mut file = fs::File::open(self.file(id)).ok()?;
        file.read_exact(bytes.as_mut_slice()).ok()?;
        Some(DataKey::new(bytes))
    }

    /// Keeps the data key of a volume that is open, for the daemon that takes it over.
    pub(crate) fn keep(&self, volume: &VolumeRef, id: VolumeId, key: &DataKey) {
        self.in_memory().insert(id, key.clone());
        let kept = make_private(&self.folder).map_err(|e| e.message).and_then(|()| {
            let told = rustix::fs::statfs(&self.folder).map_err(|e| e.to_string())?;
            if !u64::try_from(told.f_type).is_ok_and(|kind| IN_MEMORY.contains(&kind)) {
                return Err("it is on a disk, and a key must not get there".to_owned());
            }
            replace(&self.file(id), key.bytes()).map_err(|e| e.message)
        });
        if let Err(error) = kept {
            tracing::warn!(%volume, folder = %self.folder.display(), error,
                "the key of an open volume is in this daemon's memory alone: after its death the next one needs it from [encryption] in its configuration, or attached again");
        }
    }

    /// The volume is not open any more.
    pub(crate) fn forget(&self, id: VolumeId) {
        self.in_memory().remove(&id);
        let file = self.file(id);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(file = %file.display(), %error, "the key of a volume that is not open stays: remove it");
            }
            _ => {}
        }
    }
}

/// The data key of a volume, and the slot that the secret opens. Takes as long as a passphrase costs.
pub(crate) async fn open(
    volume: &VolumeRef,
    encryption: &Encryption,
    secret: KeySecret,
) -> Result<(DataKey, u8)> {
    let encryption = encryption.clone();
    let opened = costly(move || encryption.open(&secret)).await?;
    opened.map_err(|error| {
        let body = ErrorBody::new(error.kind(), format!("open {volume}: {error}"));
        match error.kind() {
            ErrorKind::Denied => body.hint(format!(
                "nothing was changed. Give one that does: --key-file or --passphrase-file, or [encryption] in the daemon's configuration; \
                 restblk show {volume} tells its slots"
            )),
            _ => body,
        }
    })
}

/// Runs what takes a passphrase's time where it keeps nobody else waiting.
pub(crate) async fn costly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ErrorBody::new(ErrorKind::Bug, format!("try a key: {e}")))
}

pub(crate) fn missing(volume: &VolumeRef) -> ErrorBody {
    let message = format!("open {volume}: it is encrypted, and this host has no key for it");
    ErrorBody::new(ErrorKind::Denied, message).hint(
        "attach it with --key-file or --passphrase-file, or name a file in [encryption] of the daemon's configuration",
    )
}

/// The secret in a file that the configuration names.
fn read(source: &KeySource) -> Result<KeySecret> {
    let (kind, path) = match source {
        KeySource::KeyFile(path) => (KeyKind::KeyFile, path),
        KeySource::PassphraseFile(path) => (KeyKind::Passphrase, path),
    };
    let failed = |kind, error: &dyn std::fmt::Display| {
        let message = format!("read the key in {}: {error}", path.display());
        ErrorBody::new(kind, message).hint("[encryption] in the daemon's configuration names it")
    };
    let bytes = fs::read(path).map_err(|e| failed(ErrorKind::Denied, &e))?;
    KeySecret::of_file(kind, bytes).map_err(|e| failed(ErrorKind::Invalid, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_nearest_key_opens_and_nothing_else_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, byte: u8| {
            let path = dir.path().join(name);
            fs::write(&path, [byte; 32]).unwrap();
            path
        };
        let configured = [
            ("main".to_owned(), KeySource::KeyFile(file("pool", 1))),
            ("main/a".to_owned(), KeySource::KeyFile(file("volume", 2))),
            (
                "gone".to_owned(),
                KeySource::PassphraseFile(dir.path().join("gone")),
            ),
        ];
        let keys = Keys::new(configured.into(), dir.path());
        let secret = |volume: &str| keys.secret(&volume.parse().unwrap(), None);
        assert_eq!(secret("main/a@monday").unwrap().unwrap().bytes(), [2; 32]);
        assert_eq!(secret("main/b").unwrap().unwrap().bytes(), [1; 32]);
        assert_eq!(secret("other/a").unwrap(), None);
        assert!(secret("gone/a").unwrap_err().message.contains("gone"));

        let (volume, id): (VolumeRef, _) = ("main/a".parse().unwrap(), VolumeId::random());
        let key = DataKey::random();
        let right = secret("main/a").unwrap().unwrap();
        let encryption = Encryption::new(&key, &right, "t".to_owned()).unwrap();
        let of = async |encryption, given| keys.of(&volume, id, encryption, given).await;
        assert_eq!(of(Some(&encryption), None).await.unwrap(), Some(key));
        let wrong = secret("main/b").unwrap();
        let error = of(Some(&encryption), wrong.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert!(error.message.contains("0: key file"), "{}", error.message);
        assert_eq!(of(None, wrong).await.unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(of(None, None).await.unwrap(), None);
    }

    #[test]
    fn an_open_volume_has_its_key_kept_in_memory_alone() {
        let (volume, id): (VolumeRef, _) = ("main/a".parse().unwrap(), VolumeId::random());
        let key = DataKey::random();
        for folder in [Path::new("/dev/shm"), &std::env::temp_dir()] {
            let told = rustix::fs::statfs(folder).unwrap();
            let in_memory = u64::try_from(told.f_type).is_ok_and(|kind| IN_MEMORY.contains(&kind));
            let dir = tempfile::tempdir_in(folder).unwrap();
            let (keys, next) = (
                Keys::new(BTreeMap::new(), dir.path()),
                Keys::new(BTreeMap::new(), dir.path()),
            );
            keys.keep(&volume, id, &key);
            assert_eq!(keys.kept(id), Some(key.clone()));
            assert_eq!(next.kept(id), in_memory.then(|| key.clone()), "{folder:?}");
            keys.forget(id);
            keys.forget(id);
            assert_eq!((keys.kept(id), next.kept(id)), (None, None));
        }
    }
}
