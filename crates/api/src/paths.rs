//! Every path of the API, once. `{pool}` and `{volume}` stand for names, which need no quoting in a URL.
//!
//! | method and path | body → answer |
//! |---|---|
//! | GET `/v1/host` | → [`crate::HostInfo`] |
//! | GET `/v1/doctor` | → [`crate::HostReport`] |
//! | GET `/v1/pools` | → list of [`crate::Pool`] |
//! | POST `/v1/pools` | [`crate::PoolSpec`] → 201 [`crate::Pool`] |
//! | GET `/v1/pools/{pool}` | → [`crate::Pool`] |
//! | DELETE `/v1/pools/{pool}` | → 204; forgets the pool on this host, the store keeps everything |
//! | POST `/v1/pools/{pool}/mirrors` | [`crate::MirrorSpec`] → [`crate::Pool`] |
//! | PUT `/v1/pools/{pool}/mirrors` | [`crate::MirrorChange`] → [`crate::Pool`] |
//! | POST `/v1/pools/{pool}/mirrors/drain` | [`crate::MirrorChange`] with a URL alone → [`crate::Pool`], when its last request has ended |
//! | DELETE `/v1/pools/{pool}/mirrors?url=…` | → [`crate::Pool`] |
//! | PUT `/v1/pools/{pool}/limits` | [`restblk_types::RateLimits`] → [`crate::Pool`]; in force at once |
//! | GET `/v1/volumes[?pool=…]` | → list of [`crate::Volume`] |
//! | POST `/v1/volumes` | [`crate::CreateVolume`] → 201 [`crate::Volume`] |
//! | GET `/v1/volumes/{pool}/{volume}` | → [`crate::Volume`] |
//! | DELETE `/v1/volumes/{pool}/{volume}[?now=true\|keep=…]` | → 204, or 202 [`crate::TrashEntry`]: it is in the trash (for `keep` seconds, or as configured) |
//! | GET `/v1/trash/{pool}` | → list of [`crate::TrashEntry`], the earliest deleted first |
//! | POST `/v1/trash/{pool}/{id}/restore` | [`crate::RestoreVolume`] → 201 [`crate::Volume`] |
//! | DELETE `/v1/trash/{pool}/{id}` | → 204; the volume goes for good before its time |
//! | POST `/v1/volumes/{pool}/{volume}/extend` | [`crate::ExtendVolume`] → [`crate::Volume`] |
//! | POST `/v1/volumes/{pool}/{volume}/shrink` | [`crate::ShrinkVolume`] → [`crate::Volume`]; a log volume that is not attached |
//! | PUT `/v1/volumes/{pool}/{volume}/limits` | [`restblk_types::RateLimits`] → [`crate::Volume`]; in force at once where it is attached to this host |
//! | PUT `/v1/volumes/{pool}/{volume}/durability` | [`crate::SetDurability`] → [`crate::Volume`]; of a log volume, in force at once where it is attached to this host |
//! | PUT `/v1/volumes/{pool}/{volume}/compression` | [`crate::SetCompression`] → [`crate::Volume`]; of a log volume, in force at once where it is attached to this host |
//! | PUT `/v1/volumes/{pool}/{volume}/keys` | [`crate::ChangeKeys`] → [`crate::Volume`]; of an encrypted volume, attached or not |
//! | POST `/v1/volumes/{pool}/{volume}/adopt` | → 201 [`crate::Volume`]; a raw file of another program becomes a volume |
//! | POST `/v1/volumes/{pool}/{volume}/convert` | [`crate::ConvertVolume`] → [`crate::Volume`], when it has its new layout; goes on without its connection |
//! | DELETE `/v1/volumes/{pool}/{volume}/convert` | → 204, when the change is taken back |
//! | GET `/v1/volumes/{pool}/{volume}/usage` | → [`crate::VolumeUsage`], of a log volume |
//! | POST `/v1/volumes/{pool}/{volume}/check` | [`crate::CheckVolume`] → [`crate::VolumeCheck`], when it has ended; a check ends with its connection, a repair goes on |
//! | GET `/v1/volumes/{pool}/{volume}/check` | → [`crate::CheckProgress`] of the check that is under way |
//! | GET `/v1/volumes/{pool}/{volume}/snapshots` | → list of [`crate::Snapshot`], oldest first |
//! | POST `/v1/volumes/{pool}/{volume}/snapshots` | [`crate::CreateSnapshot`] → 201 [`crate::Snapshot`] |
//! | GET `/v1/volumes/{pool}/{volume}/snapshots/{snapshot}` | → [`crate::Snapshot`] |
//! | DELETE `/v1/volumes/{pool}/{volume}/snapshots/{snapshot}` | → 204 |
//! | PUT `/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/protection` | [`crate::Protection`] → [`crate::Snapshot`] |
//! | POST `/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/rollback` | → 204; the volume becomes what the snapshot is |
//! | POST `/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/clone` | [`crate::CloneSnapshot`] → 201 [`crate::Volume`]; a volume that begins as the snapshot |
//! | POST `/v1/snapshots` | [`crate::CreateSnapshots`] → 201 list of [`crate::Snapshot`]; of several volumes at one moment, or of none |
//! | POST `/v1/volumes/{pool}/{volume}/flatten` | → 204; a clone reads from no other volume then |
//! | GET `/v1/volumes/{pool}/{volume}/diff?from=…` | → lines of [`crate::DiffLine`]: what changed; of a snapshot: `{volume}@{snapshot}` |
//! | GET `/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/stream?…` | [`crate::SendQuery`] in the query → the stream of docs/format.md |
//! | POST `/v1/volumes/{pool}/{volume}/receive?…` | [`crate::ReceiveQuery`] in the query, such a stream → 201 [`crate::Snapshot`] |
//! | POST `/v1/volumes/{pool}/{volume}/warm` | → [`crate::Warmed`]; the host's cache has all that the volume reads |
//! | GET `/v1/attachments` | → list of [`crate::Attachment`] |
//! | POST `/v1/attachments` | [`crate::AttachRequest`] → 201 [`crate::Attachment`] |
//! | GET `/v1/attachments/{pool}/{volume}` | → [`crate::Attachment`]; of a snapshot: `{volume}@{snapshot}` |
//! | POST `/v1/attachments/{pool}/{volume}/detach` | [`crate::DetachRequest`] → 204 |
//! | GET `/openapi.json` | → the OpenAPI 3.1 document |
//! | GET `/metrics` | → Prometheus text |
//!
//! Every error is a status of 4xx or 5xx with an [`crate::ErrorBody`].

use restblk_types::{PoolName, VolumeName, VolumeRef};

/// The daemon itself.
pub const HOST: &str = "/v1/host";
/// What the host can do.
pub const DOCTOR: &str = "/v1/doctor";
/// All pools.
pub const POOLS: &str = "/v1/pools";
/// All volumes.
pub const VOLUMES: &str = "/v1/volumes";
/// Snapshots of several volumes.
pub const SNAPSHOTS: &str = "/v1/snapshots";
/// All attachments of this host.
pub const ATTACHMENTS: &str = "/v1/attachments";
/// The OpenAPI document.
pub const OPENAPI: &str = "/openapi.json";
/// Prometheus metrics.
pub const METRICS: &str = "/metrics";

/// One pool.
#[must_use]
pub fn pool(pool: &PoolName) -> String {
    format!("{POOLS}/{pool}")
}

/// The mirrors of a pool.
#[must_use]
pub fn mirrors(pool: &PoolName) -> String {
    format!("{POOLS}/{pool}/mirrors")
}

/// Drain a mirror of a pool.
#[must_use]
pub fn drain(pool: &PoolName) -> String {
    format!("{POOLS}/{pool}/mirrors/drain")
}

/// The rate limits of a pool.
#[must_use]
pub fn pool_limits(pool: &PoolName) -> String {
    format!("{POOLS}/{pool}/limits")
}

/// One volume.
#[must_use]
pub fn volume(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}")
}

/// Extend a volume.
#[must_use]
pub fn extend(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/extend")
}

/// Shrink a volume.
#[must_use]
pub fn shrink(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/shrink")
}

/// The rate limits of a volume.
#[must_use]
pub fn volume_limits(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/limits")
}

/// What a flush of a volume waits for.
#[must_use]
pub fn durability(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/durability")
}

/// How the data of a volume is packed.
#[must_use]
pub fn compression(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/compression")
}

/// What opens an encrypted volume.
#[must_use]
pub fn keys(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/keys")
}

/// Make a volume of a raw file.
#[must_use]
pub fn adopt(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/adopt")
}

/// Change a volume's layout.
#[must_use]
pub fn convert(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/convert")
}

/// What a volume has on its store.
#[must_use]
pub fn usage(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/usage")
}

/// Check a volume.
#[must_use]
pub fn check(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/check")
}

/// The snapshots of a volume.
#[must_use]
pub fn snapshots(volume: &VolumeRef) -> String {
    format!("{VOLUMES}/{}/{}/snapshots", volume.pool, volume.volume)
}

/// One snapshot; with none in the reference the same as [`snapshots`].
#[must_use]
pub fn snapshot(snapshot: &VolumeRef) -> String {
    match &snapshot.snapshot {
        Some(name) => format!("{}/{name}", snapshots(snapshot)),
        None => snapshots(snapshot),
    }
}

/// Guard a snapshot.
#[must_use]
pub fn protection(of: &VolumeRef) -> String {
    format!("{}/protection", snapshot(of))
}

/// Make a volume what its snapshot is.
#[must_use]
pub fn rollback(to: &VolumeRef) -> String {
    format!("{}/rollback", snapshot(to))
}

/// Clone a snapshot.
#[must_use]
pub fn clone(of: &VolumeRef) -> String {
    format!("{}/clone", snapshot(of))
}

/// What changed in a volume, or in a snapshot of it.
#[must_use]
pub fn diff(of: &VolumeRef) -> String {
    format!("{VOLUMES}/{}/{}/diff", of.pool, of.in_pool())
}

/// Send a snapshot.
#[must_use]
pub fn stream(of: &VolumeRef) -> String {
    format!("{}/stream", snapshot(of))
}

/// Receive a snapshot.
#[must_use]
pub fn receive(volume: &VolumeRef) -> String {
    format!("{VOLUMES}/{}/{}/receive", volume.pool, volume.volume)
}

/// Flatten a clone.
#[must_use]
pub fn flatten(volume: &VolumeRef) -> String {
    format!("{VOLUMES}/{}/{}/flatten", volume.pool, volume.volume)
}

/// Fill the cache with a volume.
#[must_use]
pub fn warm(volume: &VolumeRef) -> String {
    format!("{VOLUMES}/{}/{}/warm", volume.pool, volume.volume)
}

/// One attachment, of a volume or of a snapshot.
#[must_use]
pub fn attachment(volume: &VolumeRef) -> String {
    format!("{ATTACHMENTS}/{}/{}", volume.pool, volume.in_pool())
}

/// Detach a volume or a snapshot.
#[must_use]
pub fn detach(volume: &VolumeRef) -> String {
    format!("{}/detach", attachment(volume))
}

/// What is in a pool's trash.
#[must_use]
pub fn trash(pool: &PoolName) -> String {
    format!("/v1/trash/{pool}")
}

/// One volume in a pool's trash.
#[must_use]
pub fn trashed(pool: &PoolName, id: &str) -> String {
    format!("/v1/trash/{pool}/{id}")
}

/// Where a volume of the trash is made a volume again.
#[must_use]
pub fn restore(pool: &PoolName, id: &str) -> String {
    format!("/v1/trash/{pool}/{id}/restore")
}
