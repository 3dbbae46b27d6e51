//! How things look: columns, colors, a sign of life.

pub(crate) mod progress;
mod style;
mod table;
mod transfer;

pub(crate) use style::Style;
pub(crate) use table::{Table, pairs};
pub(crate) use transfer::{Meter, Shown};

/// A line on standard error; lost where that cannot be written, because its disk is full say.
pub(crate) fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
