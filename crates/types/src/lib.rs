//! Ids, names, sizes, extents and error kinds; no I/O.
