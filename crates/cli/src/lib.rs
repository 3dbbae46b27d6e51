//! The restblk program.
