//! The options that limit I/O, for volumes and for pools, and how limits are shown.

use crate::failure::{Failure, Result};
use clap::Args;
use restblk_types::{ByteCount, ErrorKind, RateLimits};

/// New limits: what is not given is no longer limited.
#[derive(Clone, Debug, Args)]
pub(crate) struct Limits {
    /// Most requests a second
    #[arg(long, value_name = "N")]
    iops: Option<u64>,
    /// Requests at once after a pause [default: a tenth of --iops]
    #[arg(long, value_name = "N", requires = "iops")]
    iops_burst: Option<u64>,
    /// Most bytes a second, such as 50M
    #[arg(long, value_name = "SIZE")]
    bandwidth: Option<ByteCount>,
    /// Bytes at once after a pause [default: a tenth of --bandwidth]
    #[arg(long, value_name = "SIZE", requires = "bandwidth")]
    bandwidth_burst: Option<ByteCount>,
    /// Remove every limit
    #[arg(long, conflicts_with_all = ["iops", "iops_burst", "bandwidth", "bandwidth_burst"])]
    none: bool,
}

impl Limits {
    /// The limits; a mistake where nothing was asked for.
    pub(crate) fn limits(&self) -> Result<RateLimits> {
        let limits = RateLimits {
            iops: self.iops,
            iops_burst: self.iops_burst,
            bytes_per_s: self.bandwidth.map(|bytes| bytes.0),
            bytes_burst: self.bandwidth_burst.map(|bytes| bytes.0),
        };
        if limits.is_none() && !self.none {
            return Err(Failure::new(ErrorKind::Invalid, "no limit was given")
                .hint("give --iops N, --bandwidth SIZE or both; --none removes the limits"));
        }
        Ok(limits)
    }
}

/// The limits in words; empty where there are none.
pub(crate) fn words(limits: &RateLimits) -> String {
    let mut parts = Vec::new();
    let burst =
        |burst: Option<String>| burst.map_or_else(String::new, |burst| format!(" (bursts of {burst})"));
    if let Some(iops) = limits.iops {
        let most = burst(limits.iops_burst.map(|n| n.to_string()));
        parts.push(format!("{iops} requests/s{most}"));
    }
    if let Some(bytes) = limits.bytes_per_s {
        let most = burst(limits.bytes_burst.map(|n| ByteCount(n).to_string()));
        parts.push(format!("{}/s{most}", ByteCount(bytes)));
    }
    parts.join(", ")
}

/// The answer of a command that set limits.
pub(crate) fn told(limits: &RateLimits) -> String {
    match words(limits) {
        words if words.is_empty() => "no limit".to_owned(),
        words => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_in_words() {
        let limits = RateLimits {
            iops: Some(500),
            iops_burst: Some(1000),
            bytes_per_s: Some(50 << 20),
            bytes_burst: None,
        };
        assert_eq!(words(&limits), "500 requests/s (bursts of 1000), 50 MiB/s");
        assert_eq!(words(&RateLimits::default()), "");
        assert_eq!(told(&RateLimits::default()), "no limit");
    }
}
