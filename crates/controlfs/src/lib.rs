//! The tree of control files.
