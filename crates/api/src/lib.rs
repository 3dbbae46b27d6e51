//! The control API: its types, which `daemon` serves and `cli` and `controlfs` use, and its client.
//!
//! HTTP/1.1 and JSON over a Unix socket. Paths are in [`paths`], so that server and client cannot disagree.
//! The types here are what stands on the wire: adding an optional field is compatible, anything else is a new version.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod attachment;
mod check;
pub mod client;
mod error;
mod host;
pub mod mirror;
pub mod paths;
mod pool;
mod snapshot;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod trash;
mod volume;

pub use attachment::{AttachRequest, Attachment, AttachmentState, DetachRequest, Holder, TransportChoice};
pub use check::{
    CheckProgress, CheckResult, CheckVolume, Finding, GarbageFound, LostBytes, OpenUsage, VolumeCheck,
    VolumeUsage,
};
pub use error::ErrorBody;
pub use host::{CacheInfo, Check, CheckState, HostInfo, HostReport, Warmed};
pub use mirror::{MirrorChange, MirrorSpec, MirrorState, MirrorStatus};
pub use pool::{OutagePolicy, Pool, PoolSpec, PoolState, Proven, ProvenMirror};
pub use snapshot::{CloneSnapshot, CreateSnapshot, CreateSnapshots, Protection, Snapshot};
pub use stream::{
    DiffBegin, DiffEnd, DiffExtent, DiffLine, DiffQuery, ExtentKind, ReceiveQuery, Receiving, SendQuery,
};
pub use trash::{Deletion, RestoreVolume, TrashEntry, TrashState};
pub use volume::{
    AttachedBy, ChangeKeys, ConvertVolume, CreateVolume, ExtendVolume, KeyChange, KeySlot, Layout,
    SetCompression, SetDurability, ShrinkVolume, Volume, VolumeConversion, VolumeEncryption, VolumeState,
};
