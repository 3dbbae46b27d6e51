//! The tree as a FUSE file system.
//!
//! Nothing is cached: attributes and entries are good for no time, files are direct I/O, so that each `write` arrives as
//! one and each `read` sees the daemon's present state. What needs the daemon is done in a task, and answers from there.

use crate::content;
use crate::control::Control;
use crate::errno::Refusal;
use crate::handles::{Handle, Handles};
use crate::inodes::Inodes;
use crate::node::Node;
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    IoctlFlags, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime;

/// How long the kernel may believe what it was told.
const NO_TIME: Duration = Duration::ZERO;

/// The file system.
pub(crate) struct Tree {
    shared: Arc<Shared>,
    runtime: runtime::Handle,
}

struct Shared {
    control: Control,
    inodes: Inodes,
    files: Handles<Handle>,
    listings: Handles<Vec<Entry>>,
    mounted_at: SystemTime,
}

struct Entry {
    number: u64,
    kind: FileType,
    name: String,
}

impl Tree {
    pub(crate) fn new(control: Control, runtime: runtime::Handle) -> Self {
        let shared = Shared {
            control,
            inodes: Inodes::default(),
            files: Handles::default(),
            listings: Handles::default(),
            mounted_at: SystemTime::now(),
        };
        Self {
            shared: Arc::new(shared),
            runtime,
        }
    }

    fn node(&self, number: INodeNo) -> Option<Node> {
        self.shared.inodes.get(number.0)
    }
}

impl Shared {
    fn attributes(&self, node: &Node) -> FileAttr {
        let time = self.mounted_at;
        FileAttr {
            ino: INodeNo(Inodes::number(node)),
            // As in /proc: no program takes the size for the length of what it will read.
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: kind(node),
            perm: node.mode(),
            nlink: if node.is_folder() { 2 } else { 1 },
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    async fn find(&self, parent: &Node, name: &str) -> Result<Option<Node>, Refusal> {
        let Some(node) = parent.child(name) else {
            return Ok(None);
        };
        Ok(content::exists(&self.control, &node).await?.then_some(node))
    }

    async fn list(&self, folder: &Node) -> Result<Vec<Entry>, Refusal> {
        let entry = |node: &Node, name: &str| Entry {
            number: Inodes::number(node),
            kind: kind(node),
            name: name.to_owned(),
        };
        let mut entries = vec![entry(folder, "."), entry(&Node::ROOT, "..")];
        for name in content::names(&self.control, folder).await? {
            entries.extend(folder.child(&name).map(|node| entry(&node, &name)));
        }
        Ok(entries)
    }
}

fn kind(node: &Node) -> FileType {
    if node.is_folder() {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

fn code(refusal: &Refusal) -> Errno {
    Errno::from_i32(refusal.errno as i32)
}

impl Filesystem for Tree {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (Some(parent), Some(name)) = (self.node(parent), name.to_str().map(ToOwned::to_owned)) else {
            return reply.error(Errno::ENOENT);
        };
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            match shared.find(&parent, &name).await {
                Ok(Some(node)) => {
                    shared.inodes.remember(&node);
                    reply.entry(&NO_TIME, &shared.attributes(&node), Generation(0));
                }
                Ok(None) => reply.error(Errno::ENOENT),
                Err(refusal) => reply.error(code(&refusal)),
            }
        });
    }

    fn forget(&self, _req: &Request, number: INodeNo, lookups: u64) {
        self.shared.inodes.forget(number.0, lookups);
    }

    fn getattr(&self, _req: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.node(number) {
            Some(node) => reply.attr(&NO_TIME, &self.shared.attributes(&node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Truncation is how a shell opens a file to write, and changes nothing here; neither do times.
    fn setattr(
        &self,
        _req: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.node(number) {
            Some(_) if mode.is_some() || uid.is_some() || gid.is_some() => reply.error(Errno::EPERM),
            Some(node) => reply.attr(&NO_TIME, &self.shared.attributes(&node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _req: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.node(number) {
            None => reply.error(Errno::ENOENT),
            Some(node) if flags.acc_mode() != OpenAccMode::O_RDONLY && !node.is_writable() => {
                reply.error(Errno::EACCES)
            }
            Some(node) => reply.opened(
                FileHandle(self.shared.files.open(node)),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
        }
    }

    fn read(
        &self,
        _req: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.shared.files.get(handle.0) else {
            return reply.error(Errno::EBADF);
        };
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            match file.read(&shared.control, offset, size).await {
                Ok(bytes) => reply.data(&bytes),
                Err(refusal) => {
                    tracing::warn!(reason = refusal.reason, "control file: cannot be read");
                    reply.error(code(&refusal));
                }
            }
        });
    }

    fn write(
        &self,
        _req: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let Some(file) = self.shared.files.get(handle.0) else {
            return reply.error(Errno::EBADF);
        };
        let (shared, data) = (self.shared.clone(), data.to_vec());
        self.runtime.spawn(async move {
            match (
                file.write(&shared.control, &data).await,
                u32::try_from(data.len()),
            ) {
                (Ok(()), Ok(len)) => reply.written(len),
                (Ok(()), Err(_)) => reply.error(Errno::EINVAL),
                (Err(refusal), _) => reply.error(code(&refusal)),
            }
        });
    }

    fn flush(
        &self,
        _req: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let Some(file) = self.shared.files.get(handle.0) else {
            return reply.error(Errno::EBADF);
        };
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            match file.close(&shared.control).await {
                Ok(()) => reply.ok(),
                Err(refusal) => reply.error(code(&refusal)),
            }
        });
    }

    fn fsync(
        &self,
        _req: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.shared.files.release(handle.0);
        reply.ok();
    }

    fn opendir(&self, _req: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let Some(folder) = self.node(number) else {
            return reply.error(Errno::ENOENT);
        };
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            match shared.list(&folder).await {
                Ok(entries) => reply.opened(FileHandle(shared.listings.keep(entries)), FopenFlags::empty()),
                Err(refusal) => reply.error(code(&refusal)),
            }
        });
    }

    fn readdir(
        &self,
        _req: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(entries) = self.shared.listings.get(handle.0) else {
            return reply.error(Errno::EBADF);
        };
        for (index, entry) in (1..)
            .zip(entries.iter())
            .skip_while(|(index, _)| *index <= offset)
        {
            if reply.add(INodeNo(entry.number), index, entry.kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _req: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.shared.listings.release(handle.0);
        reply.ok();
    }

    // What follows is not possible here. It is said so without a line in the log, which the defaults write.

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::EPERM);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EPERM);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }
}
