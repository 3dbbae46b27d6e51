//! Rate limits: how much I/O a volume or a pool may do in a second.

use serde::{Deserialize, Serialize};

/// Most requests and bytes in a second, and how much of what was not used may be made up for at once. Absent: no limit.
///
/// Reads and writes count, by request and by byte; discards and zeroing count as requests; flushes never wait. A request
/// larger than the burst is let through and paid for by those after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<u64>,
    /// Requests at once after a pause; a tenth of `iops` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops_burst: Option<u64>,
    /// Bytes a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u64>,
    /// Bytes at once after a pause; a tenth of `bytes_per_s` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_burst: Option<u64>,
}

/// Limits that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Nothing would ever be done.
    #[error("a limit of zero stops all I/O: give at least 1, or none")]
    Zero,
    /// There is nothing to exceed.
    #[error("a burst needs a rate that it is a burst of: give {0} as well")]
    BurstAlone(&'static str),
}

impl RateLimits {
    /// No limit at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the parts make sense together.
    pub fn check(&self) -> Result<(), LimitsError> {
        let pairs = [
            (self.iops, self.iops_burst, "iops"),
            (self.bytes_per_s, self.bytes_burst, "bytes_per_s"),
        ];
        for (rate, burst, name) in pairs {
            if rate == Some(0) || burst == Some(0) {
                return Err(LimitsError::Zero);
            }
            if rate.is_none() && burst.is_some() {
                return Err(LimitsError::BurstAlone(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        let limits = |iops, iops_burst| RateLimits {
            iops,
            iops_burst,
            ..RateLimits::default()
        };
        assert!(RateLimits::default().is_none());
        assert_eq!(limits(Some(100), Some(1000)).check(), Ok(()));
        assert_eq!(limits(Some(0), None).check(), Err(LimitsError::Zero));
        assert_eq!(limits(Some(1), Some(0)).check(), Err(LimitsError::Zero));
        assert_eq!(
            limits(None, Some(1)).check(),
            Err(LimitsError::BurstAlone("iops"))
        );
    }
}
