//! CDMI.
mod dialect;
pub use dialect::{Dialect, UnknownDialect};
