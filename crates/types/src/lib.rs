//! Ids, names, sizes, extents and error kinds: the words that every other crate shares. No I/O.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod durability;
mod extent;
mod id;
mod kind;
mod limits;
mod name;
mod size;

pub use durability::Durability;
pub use extent::{BlockSize, Extent};
pub use id::{AttachmentId, HostId, VolumeId};
pub use kind::ErrorKind;
pub use limits::{LimitsError, RateLimits};
pub use name::{NameError, PoolName, SnapshotName, VolumeName, VolumeRef};
pub use size::{ByteCount, SizeError};
