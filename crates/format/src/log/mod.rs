//! The bytes of the log layout: what a log volume keeps on a store. Pure encode and decode.
//!
//! ```text
//! epoch/E        who may write: one an attachment, or a tombstone
//! head/E/N       the state of the volume at one moment: size, roots of the trees, snapshots, where the log goes on
//! log/E/S        a segment: what the users wrote, in order
//! map/E/S        a segment of pages of the trees
//! gc/E/S         a segment of frames that were moved out of other segments
//! ```
//! Every object starts with a [`Header`]; heads, epochs and tombstones go on with JSON, segments with an index and frames.
//!
//! **Addresses.** A [`Pointer`] names a block by the segment it was *born* in and its place there, for ever: what moves a
//! frame to another object (`gc`) changes the segment table and no pointer. The numbers of segments rise with time over all
//! epochs of a volume, so that a block's number tells its age, and with it which snapshots can hold it.
//!
//! Numbers are little-endian. CRC is CRC32C. Nothing is believed before its checksum was compared.

mod codec;
mod frame;
mod head;
mod header;
mod index;
mod journal;
mod page;
mod pointer;
mod seal;
#[cfg(test)]
mod sealed_tests;
mod segment;
#[cfg(test)]
mod tests;

pub use codec::Codec;
pub use frame::{Frame, FrameError, FrameKind, MAX_BLOCKS, StoredFrame};
pub use head::{Epoch, Head, Lineage, Snapshot, Span, Tombstone, Tree};
pub use header::{FEATURE_RECEIVING, FEATURE_SEALED, FEATURE_ZSTD, HEADER_LEN, Header, ObjectType};
pub use index::{Entry, EntryKind, INDEX_ENTRY_LEN};
pub use journal::{JournalRecord, LABEL_LEN, Label, RECORD_BLOCKS_MAX, RECORD_UNIT, RECORDS_START};
pub use page::{PAGE_FAN_OUT, PAGE_LEN};
pub use pointer::{Kind, Pointer, SegmentNumber};
pub(crate) use seal::random;
pub use seal::{DataKey, KEY_LEN, KeyId, SealKey};
pub use segment::{FRAME_ROOM, SEGMENT_BLOCKS_MAX, SEGMENT_LEN_MAX, SegmentBuilder, SegmentHead};

/// The unit of a log volume's map, in bytes. Smaller writes of a device with 512-byte blocks are merged with what is there.
pub const BLOCK: usize = 4096;
