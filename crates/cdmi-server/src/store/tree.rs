//! Trees of files: copied with their holes (sharing blocks where the file system can), and removed.

use super::meta::{Meta, NewMeta};
use super::root::{HIDDEN, SNAPSHOTS, read_dir};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Removes a file or a whole directory; links are removed, not followed.
pub(super) fn remove(at: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    match fs::unlinkat(at, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other,
    }
    let dir = open_dir(at, name)?;
    for (child, _) in read_dir(dir.as_fd())? {
        remove(dir.as_fd(), &child)?;
    }
    fs::unlinkat(at, name, AtFlags::REMOVEDIR)
}

pub(super) fn open_dir(at: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    fs::openat(
        at,
        name,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Copies a directory into an empty one. Every copy has an ID of its own and the fields of its original. Snapshots
/// are not copied, nor is what is neither a file nor a directory.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, enterprise: u32) -> crate::error::Result<()> {
    use crate::error::Doing;
    for (name, kind) in read_dir(from).doing("list the container")? {
        match kind {
            FileType::Directory => {
                if name.to_bytes() == SNAPSHOTS.as_bytes() || name.to_bytes() == HIDDEN.as_bytes() {
                    continue;
                }
                let source = open_dir(from, &name).doing("open the container")?;
                fs::mkdirat(to, &name, Mode::from_raw_mode(0o750)).doing("make the container")?;
                let target = open_dir(to, &name).doing("open the container")?;
                copy_meta(source.as_fd(), target.as_fd(), enterprise)?;
                copy(source.as_fd(), target.as_fd(), enterprise)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source: File = fs::openat(from, &name, flags, Mode::empty())
                    .doing("open the object")?
                    .into();
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target: File = fs::openat(to, &name, flags, Mode::from_raw_mode(0o640))
                    .doing("make the object")?
                    .into();
                let size = source.metadata().doing("look at the object")?.len();
                clone_file(&source, &target, size).doing("copy the object")?;
                copy_meta(source.as_fd(), target.as_fd(), enterprise)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Gives a copy the fields of its original, but for the ID.
pub(super) fn copy_meta(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    enterprise: u32,
) -> crate::error::Result<()> {
    let mut meta = Meta::fresh(enterprise, &NewMeta::default());
    if let Some(original) = Meta::load(from)? {
        meta = Meta {
            id: meta.id,
            created_ns: meta.created_ns,
            ..original
        };
    }
    meta.store(to)
}

/// Copies a file's value into an empty one: shares its blocks if possible, else copies the data and leaves the holes.
pub(super) fn clone_file(from: &File, to: &File, size: u64) -> rustix::io::Result<()> {
    if fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    fs::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break, // Only a hole is left.
            Err(errno) => return Err(errno),
        };
        let end = fs::seek(from, SeekFrom::Hole(start))?.min(size);
        copy_range(from, to, start, end)?;
        at = end.max(start + 1);
    }
    Ok(())
}

fn copy_range(from: &File, to: &File, mut at: u64, end: u64) -> rustix::io::Result<()> {
    while at < end {
        // 1 GiB a call keeps the length within what every file system takes.
        let length = usize::try_from((end - at).min(1 << 30)).unwrap_or(1 << 30);
        let (mut source_at, mut target_at) = (at, at);
        match fs::copy_file_range(from, Some(&mut source_at), to, Some(&mut target_at), length) {
            Ok(0) => return Err(Errno::IO), // The original shrank under us.
            Ok(copied) => at += copied as u64,
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return copy_by_hand(from, to, at, end);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File, mut at: u64, end: u64) -> rustix::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        from.read_exact_at(&mut buffer[..length], at).map_err(errno)?;
        to.write_all_at(&buffer[..length], at).map_err(errno)?;
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_clone_has_the_same_bytes_and_its_holes() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(b"begin", 0).unwrap();
        from.write_all_at(b"middle", 5 << 20).unwrap();
        from.set_len(64 << 20).unwrap();
        clone_file(&from, &to, 64 << 20).unwrap();
        let mut buffer = vec![0; 16];
        to.read_exact_at(&mut buffer, (5 << 20) - 5).unwrap();
        assert_eq!(&buffer, b"\0\0\0\0\0middle\0\0\0\0\0");
        let meta = to.metadata().unwrap();
        assert_eq!(meta.len(), 64 << 20);
        assert!(
            meta.blocks() * 512 < 1 << 20,
            "holes were filled: {} blocks",
            meta.blocks()
        );
    }
}
