//! How things look: columns, colors, a sign of life.

pub(crate) mod progress;
mod style;
mod table;
mod transfer;

pub(crate) use style::Style;
pub(crate) use table::{Table, pairs};
pub(crate) use transfer::{Meter, Shown};
