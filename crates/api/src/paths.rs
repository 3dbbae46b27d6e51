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
//! | DELETE `/v1/volumes/{pool}/{volume}` | → 204 |
//! | POST `/v1/volumes/{pool}/{volume}/extend` | [`crate::ExtendVolume`] → [`crate::Volume`] |
//! | PUT `/v1/volumes/{pool}/{volume}/limits` | [`restblk_types::RateLimits`] → [`crate::Volume`]; in force at once where it is attached to this host |
//! | POST `/v1/volumes/{pool}/{volume}/adopt` | → 201 [`crate::Volume`]; a raw file of another program becomes a volume |
//! | GET `/v1/attachments` | → list of [`crate::Attachment`] |
//! | POST `/v1/attachments` | [`crate::AttachRequest`] → 201 [`crate::Attachment`] |
//! | GET `/v1/attachments/{pool}/{volume}` | → [`crate::Attachment`] |
//! | POST `/v1/attachments/{pool}/{volume}/detach` | [`crate::DetachRequest`] → 204 |
//! | GET `/openapi.json` | → the OpenAPI 3.1 document |
//! | GET `/metrics` | → Prometheus text |
//!
//! Every error is a status of 4xx or 5xx with an [`crate::ErrorBody`].

use restblk_types::{PoolName, VolumeName};

/// The daemon itself.
pub const HOST: &str = "/v1/host";
/// What the host can do.
pub const DOCTOR: &str = "/v1/doctor";
/// All pools.
pub const POOLS: &str = "/v1/pools";
/// All volumes.
pub const VOLUMES: &str = "/v1/volumes";
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

/// The rate limits of a volume.
#[must_use]
pub fn volume_limits(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/limits")
}

/// Make a volume of a raw file.
#[must_use]
pub fn adopt(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{VOLUMES}/{pool}/{volume}/adopt")
}

/// One attachment.
#[must_use]
pub fn attachment(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{ATTACHMENTS}/{pool}/{volume}")
}

/// Detach a volume.
#[must_use]
pub fn detach(pool: &PoolName, volume: &VolumeName) -> String {
    format!("{ATTACHMENTS}/{pool}/{volume}/detach")
}
