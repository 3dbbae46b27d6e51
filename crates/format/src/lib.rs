//! The bytes that restblk keeps, on stores and on the host's disk: pure encode and decode, no I/O.
//!
//! What people look at is a *record*: a line that says what follows, and JSON that a person can read with curl at three in
//! the morning. docs/format.md tells it with an example; the golden files under `golden/` never change.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod attachment;
mod encryption;
mod error;
pub mod log;
mod pool;
mod record;
pub mod stream;
mod trash;
mod volume;

pub use attachment::{AttachmentRecord, LocalAttachment};
pub use encryption::{Costs, ENCRYPTION, Encryption, KeyError, Slot};
pub use error::FormatError;
pub use pool::{PoolRecord, Proved, ProvedMirror};
pub use record::{Decoded, RECORD_LEN, Record};
pub use trash::{Trash, TrashEnd, TrashEndBy};
pub use volume::{
    CONVERTED, Conversion, ConversionStage, LayoutKind, LifeState, OtherFields, VolumeRecord, ZSTD,
};
