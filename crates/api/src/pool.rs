//! Pools and their mirrors.

use crate::mirror::{MirrorSpec, MirrorStatus};
use restblk_types::{PoolName, RateLimits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What happens to I/O while no mirror of the pool answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutagePolicy {
    /// It waits until one is back.
    #[default]
    Wait,
    /// It fails after so many seconds.
    FailAfter(u32),
}

/// How to reach a pool's repository: the same words as a `[pool.NAME]` table of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// The pool's name on this host.
    #[schema(value_type = String)]
    pub name: PoolName,
    /// The kind of store (docs/stores.md): `cdmi`, `s3`, `gcs`, `webdav`, `swift`, `file`, `memory`.
    pub store: String,
    /// The mirrors: URLs of the container that holds the volumes (`file`: one path; `memory`: none), or tables with a URL and
    /// how it is used.
    #[serde(default)]
    #[schema(value_type = Vec<crate::mirror::WrittenMirror>)]
    pub urls: Vec<MirrorSpec>,
    /// The dialect of CDMI or WebDAV (docs/stores.md); found by probing where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// User for Basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password; read by the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// PEM file of certificate authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// PEM file of the client's certificate chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// PEM file of the client's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// What this kind of store takes besides, by name (docs/stores.md).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Seconds until a request without an answer is given up and tried elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout_s: Option<u32>,
    /// Connections per mirror at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<u32>,
    /// Milliseconds that a change needs to be seen through the other mirrors; until then it is read through the one that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation_ms: Option<u32>,
    /// What happens to I/O while no mirror answers.
    #[serde(default)]
    pub on_outage: OutagePolicy,
    /// How much I/O all volumes of the pool together may do on this host in a second.
    #[serde(default, skip_serializing_if = "RateLimits::is_none")]
    pub rate_limits: RateLimits,
    /// Allows a store without exclusive create, on the operator's word that no other host uses the repository.
    #[serde(default)]
    pub single_host: bool,
}

/// Whether a pool can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolState {
    /// Its store was proved and answers.
    Ready,
    /// Its store does not answer.
    Unreachable,
    /// Its store answered and cannot be used; see the pool's `problem`.
    Refused,
}

/// What the store was seen to do when the pool was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proven {
    /// The dialect that was proved, where the protocol has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// Racing creates have one winner.
    pub exclusive_create: bool,
    /// Ranges are written in place.
    pub write_in_place: bool,
    /// Space can be given back.
    pub punch: bool,
    /// What was flushed is on stable storage: by a flush of the store's, or because each write is when it is answered.
    pub flush: bool,
    /// The store itself refuses what a former holder of a volume still writes.
    #[serde(default)]
    pub fences: bool,
    /// What does not work, in words.
    pub notes: Vec<String>,
    /// What was seen of each mirror beside the others.
    #[serde(default)]
    pub mirrors: Vec<ProvenMirror>,
}

/// What was seen of a mirror when the pool was made, or when it was added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvenMirror {
    /// Its URL.
    pub url: String,
    /// Longest time until it showed what was written through another one, in milliseconds; 0: at once.
    pub lag_ms: u64,
    /// How far its clock was ahead of this host's, in milliseconds, where it tells; known to a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Why it could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A pool as this host sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// How it is reached.
    pub spec: PoolSpec,
    /// Whether it can be used.
    pub state: PoolState,
    /// Why it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What its store was proved to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Proven>,
    /// Its mirrors.
    pub mirrors: Vec<MirrorStatus>,
    /// True where it comes from the configuration file, and not from `pool create`.
    pub from_config: bool,
}
