//! The one place that looks at the wall clock.

/// Now, RFC 3339, UTC, to the second: as records and listings have it.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}
