//! Deliberate misbehaviour, **for tests of clients only**: never set from a command line or a file.
//!
//! Each quirk imitates a store that was met in the field (or a network between), so that a client can be shown to refuse
//! it or to report an error, and never to return wrong data.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where a late answer's request takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Landing {
    /// At once; only the answer is late.
    #[default]
    AtOnce,
    /// After the delay, also when the client has given up and closed the connection.
    AfterDelay,
}

/// Answers late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Late {
    /// Which part of the requests, from 0.0 to 1.0; spread evenly and without chance.
    pub fraction: f64,
    /// How late, in milliseconds.
    pub delay_ms: u64,
    /// When the request takes effect.
    pub landing: Landing,
}

/// What to do wrong. The default does nothing wrong.
#[derive(Debug, Clone, Default)]
pub struct Quirks {
    /// A ranged write (`PUT` or `PATCH`) replaces the whole object by the body.
    pub replace_on_partial: bool,
    /// A ranged write lands at offset 0, whatever range it names.
    pub partial_at_zero: bool,
    /// `If-None-Match` is ignored, so an exclusive create overwrites.
    pub ignore_if_none_match: bool,
    /// Answers some requests late.
    pub late: Option<Late>,
    /// Bodies of reads end after this many bytes, and the connection with them, whatever `Content-Length` said.
    pub truncate_reads_bytes: Option<u64>,
    /// Bodies of reads are this many bytes shorter, and `Content-Length` says so too.
    pub shorten_reads_bytes: Option<u64>,
    /// `Range` on reads is ignored: 200 with the whole object.
    pub ignore_range: bool,
    /// A flush is answered with success and does nothing.
    pub lie_on_flush: bool,
    /// Locks are granted and forgotten.
    pub forget_locks: bool,
}

/// Decides which requests are late: the n-th is, when `fraction * n` passes a whole number there.
#[derive(Debug, Default)]
pub(crate) struct LateCounter(AtomicU64);

impl LateCounter {
    pub(crate) fn next_is_late(&self, fraction: f64) -> bool {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        // Counts stay far below 2^52, so the conversion is exact.
        #[expect(clippy::cast_precision_loss, reason = "a count of requests in a test")]
        let (before, after) = (n as f64 * fraction, (n + 1) as f64 * fraction);
        after.floor() > before.floor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_is_kept() {
        for (fraction, wanted) in [(0.0, 0), (0.25, 250), (1.0, 1000)] {
            let counter = LateCounter::default();
            assert_eq!(
                (0..1000).filter(|_| counter.next_is_late(fraction)).count(),
                wanted
            );
        }
    }
}
