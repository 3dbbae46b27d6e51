//! A store in a directory of this host: an object is a sparse file, a folder a directory.
//!
//! Invariants: nothing outside the root is ever touched (every path is resolved beneath the root and no symbolic link is
//! followed). A `put` is a temporary file, synced, then renamed: the object is the old or the new one, also after a
//! power loss. Once a sync of an object has failed every later flush of it fails too, because what the kernel dropped
//! is not to be had again by asking twice.
//!
//! Files are opened for each operation, on the runtime's blocking threads; an operation whose future is dropped may
//! still be done. A crash in the midst of a put leaves a file `.restblk-tmp-…`, which listings skip. No ETags: a file
//! system has nothing that changes with every write.

mod folder;

use crate::{
    Capabilities, Durability, Entry, Fetched, Flushed, Instance, Key, ObjectInfo, Page, Payload,
    Precondition, Resize, Store, StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use folder::Root;
use restblk_types::{ErrorKind, Extent};
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

const RANGE_LEN_MAX: u64 = 64 << 20;
const PUT_LEN_MAX: u64 = 1 << 30;

/// A store in a directory.
#[derive(Debug)]
pub struct FileStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Root,
    location: String,
    /// Objects of which a sync failed.
    unsynced: Mutex<HashSet<Key>>,
}

impl Shared {
    fn error(&self, operation: &'static str, key: &Key, errno: Errno) -> StoreError {
        let kind = match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::ISDIR => ErrorKind::NotFound,
            Errno::EXIST => ErrorKind::Conflict,
            Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
            Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP | Errno::XDEV => ErrorKind::Denied,
            Errno::FBIG | Errno::INVAL | Errno::NAMETOOLONG => ErrorKind::Invalid,
            Errno::OPNOTSUPP | Errno::NOSYS => ErrorKind::Unsupported,
            Errno::INTR | Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE => ErrorKind::Retry,
            Errno::STALE | Errno::NODEV | Errno::NXIO => ErrorKind::Unavailable,
            _ => ErrorKind::Corrupt,
        };
        let reason = match errno {
            Errno::NOENT | Errno::ISDIR => "it does not exist".to_owned(),
            Errno::LOOP | Errno::XDEV => {
                "a symbolic link or another file system is on the way, which is refused".to_owned()
            }
            _ => std::io::Error::from(errno).to_string(),
        };
        StoreError::new(kind, operation, key, reason).at(&self.location)
    }

    fn invalid(&self, operation: &'static str, key: &Key, reason: impl Into<String>) -> StoreError {
        StoreError::new(ErrorKind::Invalid, operation, key, reason).at(&self.location)
    }

    fn read(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        let fail = |errno| self.error("read", key, errno);
        let (file, size) = self.root.open(key, OFlags::RDONLY).map_err(fail)?;
        let (offset, len) = match range {
            Some(range) if range.is_empty() => return Err(self.invalid("read", key, "the range is empty")),
            Some(range) if range.end() > size => {
                let reason = format!("the range {range} is past its end at {size}");
                return Err(self.invalid("read", key, reason));
            }
            Some(range) => (range.offset(), range.len()),
            None if size > PUT_LEN_MAX => {
                return Err(self.invalid("read", key, "it is too large to be read whole"));
            }
            None => (0, size),
        };
        let len = usize::try_from(len)
            .map_err(|_| self.invalid("read", key, "the range does not fit in memory"))?;
        let mut buf = vec![0; len];
        file.read_exact_at(&mut buf, offset)
            .map_err(|error| match error.kind() {
                // It was cut while we read.
                std::io::ErrorKind::UnexpectedEof => self.invalid("read", key, "the range is past its end"),
                _ => fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            })?;
        Ok(Fetched {
            payload: Payload::from(Bytes::from(buf)),
            etag: None,
        })
    }

    fn write_at(&self, key: &Key, offset: u64, data: &[u8], durable: bool) -> Result<(), StoreError> {
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(self.invalid("write", key, "the range ends past the largest file, 2^63-1 bytes"));
        }
        let flags = if durable {
            OFlags::WRONLY | OFlags::DSYNC
        } else {
            OFlags::WRONLY
        };
        let (file, _) = self
            .root
            .open(key, flags)
            .map_err(|errno| self.error("write", key, errno))?;
        file.write_all_at(data, offset).map_err(|error| {
            self.error("write", key, Errno::from_io_error(&error).unwrap_or(Errno::IO))
                .ambiguous()
        })
    }

    fn set_size(&self, key: &Key, size: u64) -> Result<(), StoreError> {
        if i64::try_from(size).is_err() {
            return Err(self.invalid(
                "resize",
                key,
                "it would be larger than the largest file, 2^63-1 bytes",
            ));
        }
        let fail = |errno| self.error("resize", key, errno);
        let (file, _) = self.root.open(key, OFlags::WRONLY).map_err(fail)?;
        rustix::fs::ftruncate(&file, size).map_err(fail)
    }

    fn punch(&self, key: &Key, range: Extent) -> Result<(), StoreError> {
        let fail = |errno| self.error("punch", key, errno);
        let (file, size) = self.root.open(key, OFlags::WRONLY).map_err(fail)?;
        match range.end().min(size).checked_sub(range.offset()) {
            None | Some(0) => Ok(()),
            Some(len) => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, flags, range.offset(), len).map_err(fail)
            }
        }
    }

    fn flush(&self, key: &Key) -> Result<(), StoreError> {
        let mut unsynced = self
            .unsynced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(key);
        if !unsynced {
            let (file, _) = self
                .root
                .open(key, OFlags::RDONLY)
                .map_err(|errno| self.error("flush", key, errno))?;
            unsynced = rustix::fs::fsync(&file).is_err() || self.root.sync_folders(key).is_err();
        }
        if unsynced {
            self.unsynced
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key.clone());
            let reason = "the disk could not keep earlier writes; what it holds of them is unknown: check the disk and \
                          restore the object from a copy";
            return Err(StoreError::new(ErrorKind::Corrupt, "flush", key, reason).at(&self.location));
        }
        Ok(())
    }

    fn unconditional(
        &self,
        operation: &'static str,
        key: &Key,
        when: &Precondition,
    ) -> Result<(), StoreError> {
        match when {
            Precondition::Matches(_) => {
                let reason = "a directory has no ETags to compare";
                Err(StoreError::new(ErrorKind::Unsupported, operation, key, reason).at(&self.location))
            }
            Precondition::Always | Precondition::Absent => Ok(()),
        }
    }

    fn put(&self, key: &Key, body: &[u8], when: &Precondition) -> Result<Written, StoreError> {
        self.unconditional("put", key, when)?;
        self.root
            .put(key, body, *when == Precondition::Absent)
            .map_err(|errno| match errno {
                Errno::EXIST => {
                    StoreError::new(ErrorKind::Conflict, "put", key, "it exists").at(&self.location)
                }
                Errno::NOTDIR => self.invalid("put", key, "an object is where a folder should be"),
                Errno::ISDIR => self.invalid("put", key, "a folder has its name"),
                errno => self.error("put", key, errno).ambiguous(),
            })?;
        self.unsynced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        Ok(Written::default())
    }

    fn delete(&self, key: &Key, when: &Precondition) -> Result<(), StoreError> {
        self.unconditional("delete", key, when)?;
        let fail = |errno| self.error("delete", key, errno);
        if *when == Precondition::Absent {
            self.root.open(key, OFlags::PATH).map_err(fail)?;
            return Err(StoreError::new(ErrorKind::Conflict, "delete", key, "it exists").at(&self.location));
        }
        self.root.delete(key).map_err(fail)
    }

    fn list(&self, folder: Option<&Key>, start: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let names = match self.root.names(folder, start, limit.max(1)) {
            Ok(names) => names,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(page),
            Err(errno) => {
                let object = folder.map_or_else(|| "/".to_owned(), ToString::to_string);
                let reason = std::io::Error::from(errno).to_string();
                return Err(StoreError::new(ErrorKind::Retry, "list", object, reason).at(&self.location));
            }
        };
        for name in names.names {
            let name = folder.map_or_else(|| name.clone(), |folder| format!("{folder}/{name}"));
            if let Ok(key) = Key::new(name)
                && let Ok((_, size)) = self.root.open(&key, OFlags::PATH)
            {
                page.entries.push(Entry {
                    key,
                    size: Some(size),
                });
            }
        }
        page.next = names.next;
        Ok(page)
    }
}

impl FileStore {
    /// The store in this directory, which must exist.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let location = root.as_ref().display().to_string();
        let root = Root::at(root.as_ref()).map_err(|errno| {
            let kind = if errno == Errno::NOENT {
                ErrorKind::NotFound
            } else {
                ErrorKind::Denied
            };
            let reason = format!(
                "{}: make the directory, or name another",
                std::io::Error::from(errno)
            );
            StoreError::new(kind, "open", &location, reason)
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                root,
                location,
                unsynced: Mutex::default(),
            }),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &Key,
        work: impl FnOnce(&Shared, &Key) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (shared, owned) = (Arc::clone(&self.shared), key.clone());
        let done = tokio::task::spawn_blocking(move || work(&shared, &owned)).await;
        done.unwrap_or_else(|failed| {
            let reason = format!("its thread ended before it was done ({failed})");
            Err(StoreError::new(ErrorKind::Bug, operation, key, reason)
                .at(&self.shared.location)
                .ambiguous())
        })
    }
}

#[async_trait]
impl Store for FileStore {
    fn location(&self) -> String {
        self.shared.location.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            exclusive_create: true,
            compare_and_set: false,
            atomic_put: true,
            write_at: true,
            write_align: 1,
            resize: Resize::Native,
            punch: true,
            durability: Durability::OnFlush,
            durable_write: true,
            lock: false,
            list: true,
            range_len_max: RANGE_LEN_MAX,
            put_len_max: PUT_LEN_MAX,
        }
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        self.blocking("read", key, move |shared, key| shared.read(key, range))
            .await
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.blocking("inspect", key, |shared, key| {
            let opened = shared.root.open(key, OFlags::PATH);
            let (_, size) = opened.map_err(|errno| shared.error("inspect", key, errno))?;
            Ok(ObjectInfo {
                size,
                etag: None,
                in_place: true,
            })
        })
        .await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        self.blocking("put", key, move |shared, key| shared.put(key, &body, &when))
            .await
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        self.blocking("write", key, move |shared, key| {
            shared.write_at(key, offset, &data, durable)
        })
        .await
        .map(|()| None)
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        self.blocking("resize", key, move |shared, key| shared.set_size(key, size))
            .await
            .map(|()| None)
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        self.blocking("punch", key, move |shared, key| shared.punch(key, range))
            .await
            .map(|()| None)
    }

    async fn flush(&self, key: &Key, _took: &[Instance]) -> Result<Flushed, StoreError> {
        // The cache is this host's own: a loss of its power takes whoever would compare, too.
        self.blocking("flush", key, Shared::flush).await?;
        Ok(Flushed::default())
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.blocking("delete", key, move |shared, key| shared.delete(key, &when))
            .await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let (shared, folder, start) = (
            Arc::clone(&self.shared),
            folder.cloned(),
            start.map(str::to_owned),
        );
        let work = move || shared.list(folder.as_ref(), start.as_deref(), limit);
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|failed| {
            Err(StoreError::new(
                ErrorKind::Bug,
                "list",
                "the folder",
                failed.to_string(),
            ))
        })
    }
}
