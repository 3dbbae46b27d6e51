//! Memory that the kernel and a queue share: the buffers of its tags and the table of its requests.
//!
//! Buffers are mapped, touched and locked before the queue serves, so that answering a request never waits for memory
//! (the kernel may be asking for the write in order to free some). Who may touch a buffer when is `ticket`'s rule;
//! this module only makes it live long enough.

use crate::uapi::{self, IoDescriptor};
use nix::sys::mman::{MapFlags, ProtFlags, mlock, mmap, mmap_anonymous, munmap};
use std::{ffi::c_void, fs::File, io, num::NonZeroUsize, ptr::NonNull};

/// The size of a page, in bytes.
pub(crate) fn page_bytes() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(4096)
}

fn length(bytes: usize) -> io::Result<NonZeroUsize> {
    NonZeroUsize::new(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// The buffers of a queue's tags: page-aligned, zeroed, resident.
#[derive(Debug)]
pub(crate) struct Buffers {
    start: NonNull<c_void>,
    bytes: usize,
    stride: usize,
    /// False where the host forbids locking so much; the pages are resident but could be swapped.
    pub(crate) locked: bool,
}

// SAFETY: the struct is the sole owner of its mapping, which is not tied to a thread; access to the bytes goes
// through raw pointers whose users (`Ticket`) answer for exclusivity.
unsafe impl Send for Buffers {}
// SAFETY: as above; shared references hand out addresses only.
unsafe impl Sync for Buffers {}

impl Buffers {
    /// `depth` buffers of `each` bytes.
    pub(crate) fn new(depth: u16, each: u32) -> io::Result<Self> {
        let stride = usize::try_from(each)
            .map_err(io::Error::other)?
            .next_multiple_of(page_bytes());
        let bytes = stride * usize::from(depth);
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_POPULATE;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe { mmap_anonymous(None, length(bytes)?, access, flags) }?;
        // SAFETY: the range is the mapping made above.
        let locked = unsafe { mlock(start, bytes) }.is_ok();
        Ok(Self {
            start,
            bytes,
            stride,
            locked,
        })
    }

    /// The first byte of a tag's buffer; `None` past the last tag.
    pub(crate) fn of(&self, tag: u16) -> Option<NonNull<u8>> {
        let offset = usize::from(tag) * self.stride;
        // SAFETY: the offset is within the mapping, checked on the left.
        (offset < self.bytes).then(|| unsafe { self.start.cast::<u8>().add(offset) })
    }

    /// Bytes of one buffer.
    pub(crate) fn each(&self) -> usize {
        self.stride
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` and nobody else unmaps it; no ticket is left, each holds an Arc.
        // A failure would leave it mapped, which harms nobody.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

/// A queue's table of requests, one descriptor a tag, written by the kernel before it hands the tag over.
#[derive(Debug)]
pub(crate) struct Descriptors {
    start: NonNull<c_void>,
    bytes: usize,
    depth: u16,
}

// SAFETY: a read-only mapping owned by this struct alone, not tied to a thread.
unsafe impl Send for Descriptors {}

impl Descriptors {
    /// Maps the table of `queue` from the device's character node.
    pub(crate) fn map(node: &File, queue: u16, depth: u16) -> io::Result<Self> {
        let page = page_bytes();
        let bytes = (usize::from(depth) * size_of::<IoDescriptor>()).next_multiple_of(page);
        let offset = i64::try_from(uapi::descriptors_offset(queue, page)).map_err(io::Error::other)?;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: a fresh mapping at an address of the kernel's choice, of the length that the driver asks for.
        let start = unsafe { mmap(None, length(bytes)?, ProtFlags::PROT_READ, flags, node, offset) }?;
        Ok(Self { start, bytes, depth })
    }

    /// The request that the kernel has put at `tag`. Read once: the caller owns the tag, so the kernel is not writing.
    pub(crate) fn read(&self, tag: u16) -> IoDescriptor {
        assert!(
            tag < self.depth,
            "the kernel knows no tag {tag} in a queue of {}",
            self.depth
        );
        // SAFETY: the tag is within the table (checked above), which is mapped as long as `self` lives, aligned to a
        // page and made of plain integers; volatile because the kernel writes it.
        unsafe {
            self.start
                .cast::<IoDescriptor>()
                .add(usize::from(tag))
                .read_volatile()
        }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: made in `map`, unmapped here alone; `read` hands out copies, so no reference is left.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_apart_and_zero() {
        let buffers = Buffers::new(4, 10_000).unwrap();
        assert_eq!(buffers.each() % page_bytes(), 0);
        let addresses: Vec<_> = (0..4)
            .map(|tag| buffers.of(tag).unwrap().as_ptr() as usize)
            .collect();
        for pair in addresses.windows(2) {
            assert_eq!(pair[1] - pair[0], buffers.each());
        }
        assert_eq!(addresses[0] % page_bytes(), 0);
        assert!(buffers.of(4).is_none());
        // SAFETY: the buffer is of `each` bytes and nobody else uses it.
        let bytes = unsafe { std::slice::from_raw_parts(buffers.of(3).unwrap().as_ptr(), buffers.each()) };
        assert!(bytes.iter().all(|&b| b == 0));
    }
}
