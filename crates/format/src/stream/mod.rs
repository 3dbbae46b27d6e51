//! The native stream: a snapshot of a volume, or what changed since an earlier one, for another pool or a file. Pure encode and decode.
//!
//! ```text
//! prelude 24     0  8  magic "rbstream"
//!                8  2  version, 1
//!               10  2  0
//!               12  4  incompat: features without which the stream is misread
//!               16  4  compat: features that a reader may pass over
//!               20  4  CRC of the 20 bytes before
//! then records:  header 32, payload
//! header 32      0  1  kind: 'B' begin, 'D' data, 'Z' zeros, 'E' end, 'X' given up
//!                1  3  0
//!                4  4  bytes of the payload
//!                8  8  offset
//!               16  8  length
//!               24  4  CRC of the payload
//!               28  4  CRC over all headers so far: the prelude, then of each record the 28 bytes before this field
//! ```
//! | kind | offset | length | payload |
//! |---|---|---|---|
//! | begin, once and first | where the records go on: 0, or where a stream that broke is resumed | bytes of the volume | JSON: [`Begin`], at most 64 KiB |
//! | data | of the first byte | as the payload | the bytes, at most 1 MiB |
//! | zeros | of the first byte | how many | none |
//! | end, once and last | records of data and of zeros | bytes of data | none |
//! | given up, last | 0 | 0 | why, UTF-8, at most 4 KiB |
//!
//! Offsets rise and extents do not overlap; both are multiples of 4096. Numbers are little-endian, CRC is CRC32C.
//!
//! Why so: a header has its payload's CRC, and the CRC over the headers goes on from one to the next, so each record proves all before it: one
//! that was changed, dropped or moved is told at once and before it is applied, and the end's is over the whole stream. A stream that was cut has no end.
//! It is not packed: whoever stores it or sends it far puts zstd or the like in between, which does that better for the whole than record by record.

mod decode;
mod encode;
mod error;
#[cfg(test)]
mod tests;
mod token;

pub use decode::{Decoder, Event};
pub use encode::Encoder;
pub use error::StreamError;
pub use token::{Token, TokenError};

use restblk_types::VolumeId;
use serde::{Deserialize, Serialize};

/// Bytes of data in one record, at most.
pub const DATA_MAX: usize = 1 << 20;
/// Bytes of a record's header.
pub const RECORD_HEADER_LEN: usize = 32;
/// Offsets and lengths are multiples of it.
pub const UNIT: u64 = 4096;

const PRELUDE_LEN: usize = 24;
const MAGIC: [u8; 8] = *b"rbstream";
const VERSION: u16 = 1;
/// Features without which a stream is misread, of those that this version knows.
const INCOMPAT: u32 = 0;
const BEGIN_MAX: usize = 64 << 10;
const REASON_MAX: usize = 4 << 10;

/// What a snapshot is, wherever it was received: the one that was made of a volume, and not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The volume that it was made of.
    pub volume: VolumeId,
    /// Its number there.
    pub snapshot: u64,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.volume, self.snapshot)
    }
}

/// A snapshot, as streams name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// What it is.
    pub origin: Origin,
    /// Its name, where the stream comes from.
    pub name: String,
    /// When it was made, RFC 3339, UTC.
    pub created_at: String,
}

impl Moment {
    /// Whether both have the same bytes, whatever they are called.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        // A volume that was rebuilt from its segments may use a number again.
        self.origin == other.origin && self.created_at == other.created_at
    }
}

/// What a stream has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The volume that it was sent from.
    pub volume: VolumeId,
    /// What that one is called there, for people.
    pub name: String,
    /// Bytes of the volume in the snapshot.
    pub size: u64,
    /// Its block size.
    pub block_size: u32,
    /// The snapshot.
    pub to: Moment,
    /// The one whose changes since are told; none where all is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// The volume is encrypted where it comes from; the stream is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
}

/// A snapshot that a volume has a part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiving {
    /// What the volume will be.
    pub to: Moment,
    /// What it was; none where it was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// All that the stream tells before this byte is there.
    pub position: u64,
    /// When it was begun, RFC 3339, UTC.
    pub since: String,
}

impl Receiving {
    /// What a sender goes on by.
    #[must_use]
    pub fn token(&self) -> Token {
        Token {
            to: self.to.origin,
            from: self.from.as_ref().map(|from| from.origin),
            position: self.position,
        }
    }
}
