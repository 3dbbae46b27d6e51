//! Mirrors of a pool: how each is used, and how it does.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A mirror and how it is used. Written as its URL alone where all else is the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenMirror", into = "WrittenMirror")]
pub struct MirrorSpec {
    /// URL of the container that holds the volumes.
    pub url: String,
    /// Its share of the requests, in proportion to the weights of the others of its priority. At least 1.
    pub weight: u32,
    /// Mirrors of the highest priority that work have all requests, the others none.
    pub priority: i32,
    /// It takes no new requests.
    pub drained: bool,
}

/// [`MirrorSpec`] as it is written.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "a mirror is a URL, or a table of `url`, `weight`, `priority`, `drained`"
)]
pub enum WrittenMirror {
    /// The URL alone.
    Url(String),
    /// With all else.
    Table(MirrorTable),
}

/// A mirror with all that can be said of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorTable {
    /// URL of the container that holds the volumes.
    pub url: String,
    /// See [`MirrorSpec::weight`]; 1 by default.
    #[serde(default = "one")]
    pub weight: u32,
    /// See [`MirrorSpec::priority`]; 0 by default.
    #[serde(default)]
    pub priority: i32,
    /// See [`MirrorSpec::drained`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
}

fn one() -> u32 {
    1
}

impl From<WrittenMirror> for MirrorSpec {
    fn from(written: WrittenMirror) -> Self {
        match written {
            WrittenMirror::Url(url) => Self::from(url),
            WrittenMirror::Table(table) => Self {
                url: table.url,
                weight: table.weight.max(1),
                priority: table.priority,
                drained: table.drained,
            },
        }
    }
}

impl From<MirrorSpec> for WrittenMirror {
    fn from(mirror: MirrorSpec) -> Self {
        if mirror == MirrorSpec::from(mirror.url.as_str()) {
            return Self::Url(mirror.url);
        }
        Self::Table(mirror.into())
    }
}

impl From<MirrorSpec> for MirrorTable {
    fn from(mirror: MirrorSpec) -> Self {
        Self {
            url: mirror.url,
            weight: mirror.weight,
            priority: mirror.priority,
            drained: mirror.drained,
        }
    }
}

impl From<String> for MirrorSpec {
    fn from(url: String) -> Self {
        Self {
            url,
            weight: 1,
            priority: 0,
            drained: false,
        }
    }
}

impl From<&str> for MirrorSpec {
    fn from(url: &str) -> Self {
        Self::from(url.to_owned())
    }
}

/// What changes about a mirror's use; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorChange {
    /// Which mirror.
    pub url: String,
    /// See [`MirrorSpec::weight`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// See [`MirrorSpec::priority`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// See [`MirrorSpec::drained`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
}

/// How a mirror does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MirrorState {
    /// Requests go to it.
    Up,
    /// It works, several times as slowly as the best one.
    Slow,
    /// It failed, and is being tried again.
    HalfOpen,
    /// It failed lately; it is probed.
    Down,
    /// It takes no new requests, as it was asked to.
    Draining,
    /// It shows another repository, or none: nothing is sent to it.
    Foreign,
}

impl MirrorState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Up,
        Self::Slow,
        Self::HalfOpen,
        Self::Down,
        Self::Draining,
        Self::Foreign,
    ];

    /// Its name in listings and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Slow => "slow",
            Self::HalfOpen => "half-open",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Foreign => "foreign",
        }
    }

    /// Requests go to it.
    #[must_use]
    pub fn works(self) -> bool {
        matches!(self, Self::Up | Self::Slow | Self::HalfOpen)
    }
}

impl fmt::Display for MirrorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One mirror of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MirrorStatus {
    /// Its URL, without credentials.
    pub url: String,
    /// How it does.
    pub state: MirrorState,
    /// See [`MirrorSpec::weight`].
    #[serde(default = "one")]
    pub weight: u32,
    /// See [`MirrorSpec::priority`].
    #[serde(default)]
    pub priority: i32,
    /// Requests under way.
    #[serde(default)]
    pub outstanding: u64,
    /// Its part of the pool's requests of the last seconds, 0 to 1.
    #[serde(default)]
    pub share: f64,
    /// Requests that it ended since the pool was opened.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Smoothed time of an answer, in milliseconds; nothing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Half of the last seconds' answers took no longer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p50_ms: Option<f64>,
    /// 95 % of them took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p95_ms: Option<f64>,
    /// 99 % of them took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_ms: Option<f64>,
    /// The last error, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_written_as_briefly_as_it_can_be() {
        for (text, mirror) in [
            (r#""http://h/v""#, MirrorSpec::from("http://h/v")),
            (
                r#"{"url":"http://h/v","weight":3,"priority":-1}"#,
                MirrorSpec {
                    weight: 3,
                    priority: -1,
                    ..MirrorSpec::from("http://h/v")
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<MirrorSpec>(text).unwrap(), mirror);
            assert_eq!(serde_json::to_string(&mirror).unwrap(), text);
        }
        let wrong = serde_json::from_str::<MirrorSpec>(r#"{"url":"http://h/v","wieght":3}"#).unwrap_err();
        assert!(wrong.to_string().contains("weight"), "{wrong}");
        for state in MirrorState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
