//! The bytes of the FUSE protocol (linux/fuse.h, 7.31 to 7.45), as far as one file needs them.
//!
//! Pure: parses requests and builds replies, in the host's byte order as the protocol has it. Requests of other
//! kinds are [`Request::Other`], to be answered with ENOSYS.

use std::ops::Range;

/// Most bytes of data in one read or write. A session that outlives its daemon keeps the value it began with,
/// so it must never become smaller.
pub(crate) const DATA_MAX: usize = 1 << 20;
/// A buffer that holds every request: the data and, in a page before it, the headers.
pub(crate) const BUFFER_LEN: usize = DATA_MAX + 4096;
const PAGE: usize = 4096;

const HEADER_LEN: usize = 40;
const WRITE_HEADER_LEN: usize = HEADER_LEN + 40;

const VERSION_MAJOR: u32 = 7;
/// What we speak; the kernel uses the lower of its and ours.
const VERSION_MINOR: u32 = 40;
/// Linux 5.4: max_pages and the opcodes used here.
const VERSION_MINOR_MIN: u32 = 31;

// Flags of FUSE_INIT.
const ASYNC_READ: u64 = 1 << 0;
const BIG_WRITES: u64 = 1 << 5;
const ASYNC_DIO: u64 = 1 << 15;
const MAX_PAGES: u64 = 1 << 22;
const INIT_EXT: u64 = 1 << 30;
const HAS_RESEND: u64 = 1 << 39;
const WANTED: u64 = ASYNC_READ | BIG_WRITES | ASYNC_DIO | MAX_PAGES | INIT_EXT | HAS_RESEND;

// Flags of an opened file: no page cache; writes side by side.
const FOPEN_DIRECT_IO: u32 = 1 << 0;
const FOPEN_NOFLUSH: u32 = 1 << 5;
const FOPEN_PARALLEL_DIRECT_WRITES: u32 = 1 << 6;

const NOTIFY_RESEND: i32 = 7;

/// How long names and attributes stay valid, in seconds: the kernel then asks when it is forced to, after a resize,
/// and `losetup -a` gets its answer also while no daemon lives.
const FOR_EVER: u64 = u32::MAX as u64;

/// Modes of fallocate (linux/falloc.h).
pub(crate) const FALLOC_KEEP_SIZE: u32 = 1;
pub(crate) const FALLOC_PUNCH_HOLE: u32 = 2;
pub(crate) const FALLOC_ZERO_RANGE: u32 = 16;

/// One request of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Init {
        major: u32,
        minor: u32,
        readahead_max: u32,
        flags: u64,
    },
    Lookup {
        parent: u64,
        name: &'a [u8],
    },
    GetAttr {
        node: u64,
    },
    Open {
        node: u64,
    },
    Read {
        offset: u64,
        size: usize,
    },
    /// The data lie in the request's buffer.
    Write {
        offset: u64,
        data: Range<usize>,
    },
    StatFs,
    Release {
        node: u64,
    },
    Fsync,
    Fallocate {
        offset: u64,
        len: u64,
        mode: u32,
    },
    Destroy,
    /// Wants no answer.
    Forget,
    /// SETATTR and others that would change what only the engine may change.
    Refused,
    Other {
        opcode: u32,
    },
}

/// Reads one request: its id and what it wants. `None` where it is cut short or inconsistent.
pub(crate) fn parse(bytes: &[u8]) -> Option<(u64, Request<'_>)> {
    let (len, opcode) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
    let (unique, node) = (u64_at(bytes, 8)?, u64_at(bytes, 16)?);
    if len as usize != bytes.len() {
        return None;
    }
    let body = bytes.get(HEADER_LEN..)?;
    let request = match opcode {
        1 => Request::Lookup {
            parent: node,
            name: body.split(|byte| *byte == 0).next()?,
        },
        2 | 42 => Request::Forget,
        3 => Request::GetAttr { node },
        4 => Request::Refused,
        14 => Request::Open { node },
        15 => Request::Read {
            offset: u64_at(body, 8)?,
            size: u32_at(body, 16)? as usize,
        },
        16 => {
            let data = WRITE_HEADER_LEN..WRITE_HEADER_LEN + u32_at(body, 16)? as usize;
            bytes.get(data.clone())?;
            Request::Write {
                offset: u64_at(body, 8)?,
                data,
            }
        }
        17 => Request::StatFs,
        18 => Request::Release { node },
        20 => Request::Fsync,
        26 => {
            let low = u64::from(u32_at(body, 12)?);
            let high = if low & INIT_EXT == 0 {
                0
            } else {
                u64::from(u32_at(body, 16)?)
            };
            let (major, minor) = (u32_at(body, 0)?, u32_at(body, 4)?);
            Request::Init {
                major,
                minor,
                readahead_max: u32_at(body, 8)?,
                flags: high << 32 | low,
            }
        }
        38 => Request::Destroy,
        43 => Request::Fallocate {
            offset: u64_at(body, 8)?,
            len: u64_at(body, 16)?,
            mode: u32_at(body, 24)?,
        },
        opcode => Request::Other { opcode },
    };
    Some((unique, request))
}

/// What became of the negotiation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) reply: Vec<u8>,
    /// The kernel can send requests again to another server.
    pub(crate) resend: bool,
}

/// Answers FUSE_INIT; `None` where the kernel is too old.
pub(crate) fn negotiate(request: &Request<'_>, background_max: u16) -> Option<Negotiated> {
    let Request::Init {
        major: VERSION_MAJOR,
        minor,
        readahead_max,
        flags,
    } = *request
    else {
        return None;
    };
    if minor < VERSION_MINOR_MIN {
        return None;
    }
    let agreed = flags & WANTED;
    let data_max = u32::try_from(DATA_MAX).ok()?;
    let reply = Encoder::default()
        .u32(VERSION_MAJOR)
        .u32(VERSION_MINOR)
        .u32(readahead_max.min(data_max))
        .u32(low_half(agreed))
        .u16(background_max)
        // Congestion concerns readahead alone, of which there is none.
        .u16(background_max)
        .u32(data_max)
        .u32(1)
        .u16(u16::try_from(DATA_MAX / PAGE).ok()?)
        .u16(0)
        .u32(low_half(agreed >> 32))
        .zeros(28);
    Some(Negotiated {
        reply: reply.0,
        resend: agreed & HAS_RESEND != 0,
    })
}

/// What the file system tells of a file or a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) node: u64,
    /// Bytes; 0 for a folder.
    pub(crate) size: u64,
    pub(crate) is_file: bool,
    /// Preferred unit of I/O, in bytes.
    pub(crate) block_size: u32,
}

impl Attributes {
    fn encode(&self, to: Encoder) -> Encoder {
        let mode = if self.is_file { 0o100_600 } else { 0o040_500 };
        let nlink = if self.is_file { 1 } else { 2 };
        to.u64(self.node)
            .u64(self.size)
            .u64(self.size.div_ceil(512))
            // Times: the epoch; then mode, links, owner and group (root), device number.
            .zeros(3 * 8 + 3 * 4)
            .u32(mode)
            .u32(nlink)
            .zeros(3 * 4)
            .u32(self.block_size)
            .zeros(4)
    }

    /// Answers LOOKUP.
    pub(crate) fn entry(&self) -> Vec<u8> {
        let to = Encoder::default()
            .u64(self.node)
            .u64(0)
            .u64(FOR_EVER)
            .u64(FOR_EVER)
            .zeros(8);
        self.encode(to).0
    }

    /// Answers GETATTR.
    pub(crate) fn attributes(&self) -> Vec<u8> {
        self.encode(Encoder::default().u64(FOR_EVER).zeros(8)).0
    }
}

/// Answers OPEN of the file.
pub(crate) fn opened() -> Vec<u8> {
    let flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH | FOPEN_PARALLEL_DIRECT_WRITES;
    Encoder::default().u64(0).u32(flags).u32(0).0
}

/// Answers WRITE: so many bytes were written.
pub(crate) fn written(len: u32) -> Vec<u8> {
    Encoder::default().u32(len).u32(0).0
}

/// Answers STATFS. The loop driver takes the block size as the granularity of discard.
pub(crate) fn statistics(size: u64, block_size: u32) -> Vec<u8> {
    let blocks = size / u64::from(block_size);
    Encoder::default()
        .u64(blocks)
        .zeros(4 * 8)
        .u32(block_size)
        .u32(255)
        .u32(block_size)
        .zeros(28)
        .0
}

/// What stands before every answer: its whole length, an errno (0 for success), the request's id.
pub(crate) fn reply_header(unique: u64, errno: i32, body_len: usize) -> [u8; 16] {
    let len = u32::try_from(16 + body_len).unwrap_or(u32::MAX);
    let mut header = [0; 16];
    header[..4].copy_from_slice(&len.to_ne_bytes());
    header[4..8].copy_from_slice(&(-errno).to_ne_bytes());
    header[8..].copy_from_slice(&unique.to_ne_bytes());
    header
}

/// Asks the kernel to send every request again that was read and not answered.
pub(crate) fn resend() -> [u8; 16] {
    // A notification is an answer to no request, with its code in place of the errno.
    reply_header(0, -NOTIFY_RESEND, 0)
}

#[derive(Default)]
struct Encoder(Vec<u8>);

impl Encoder {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
fn low_half(value: u64) -> u32 {
    value as u32
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
