//! Ids, names, sizes, extents and error kinds: the words that every other crate shares. No I/O.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod compression;
mod durability;
mod extent;
mod id;
mod kind;
mod limits;
mod name;
mod seconds;
mod secret;
mod size;

pub use compression::Compression;
pub use durability::Durability;
pub use extent::{BlockSize, Extent};
pub use id::{AttachmentId, HostId, TrashId, VolumeId};
pub use kind::ErrorKind;
pub use limits::{LimitsError, RateLimits};
pub use name::{NameError, PoolName, SnapshotName, VolumeName, VolumeRef};
pub use seconds::{Seconds, SecondsError};
pub use secret::{KeyKind, KeySecret, SECRET_LEN_MAX, SecretError};
pub use size::{ByteCount, SizeError};
