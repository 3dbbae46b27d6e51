//! The cache's file: reads and writes at any offset, past the page cache where the file system can (that has the same bytes above the
//! device already).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The largest block of disks: what `O_DIRECT` wants offsets, lengths and memory to be multiples of.
const BLOCK: usize = 4096;

/// Memory that a disk can write and read directly.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
pub(crate) struct Block([u8; BLOCK]);

/// So many bytes of it, of zeros.
pub(crate) fn blocks(len: usize) -> Vec<Block> {
    vec![Block([0; BLOCK]); len.div_ceil(BLOCK)]
}

/// Opens it, made where it is not there, for one process at a time: `WouldBlock` where another one has it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let direct = options.clone().custom_flags(libc::O_DIRECT).open(path);
    let file = match direct {
        // Not every file system has it.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => options.open(path)?,
        opened => opened?,
    };
    file.try_lock()?;
    Ok(file)
}

/// Reads so many bytes; what is beyond the end reads as zeros. Blocks.
pub(crate) fn read(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let skip = usize::try_from(offset % BLOCK as u64).unwrap_or_default();
    let mut memory = blocks(skip + len);
    let bytes = memory.as_mut_bytes();
    let from = offset - skip as u64;
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], from + done as u64) {
            Ok(0) => break,
            // The end of the file, within a block.
            Ok(read) if read % BLOCK != 0 => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes[skip..skip + len].to_vec())
}

/// Writes whole blocks. Blocks.
pub(crate) fn write(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}
