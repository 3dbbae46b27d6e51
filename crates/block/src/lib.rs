//! The BlockDevice trait and its errors.
