//! The one place that looks at the wall clock.

use jiff::{Timestamp, Unit};

/// Now, RFC 3339, UTC, to the second: as records and listings have it.
pub(crate) fn now() -> String {
    text(Timestamp::now())
}

/// So many seconds from now, in the same form; the end of time where that is later.
pub(crate) fn after(seconds: u64) -> String {
    let later = i64::try_from(seconds).ok().and_then(|seconds| {
        // A span has its own limit, which a checked sum does not know.
        let span = jiff::Span::new().try_seconds(seconds).ok()?;
        Timestamp::now().checked_add(span).ok()
    });
    text(later.unwrap_or(Timestamp::MAX))
}

fn text(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}
