//! Pages: the nodes of the trees, 128 numbers of eight bytes each.
//!
//! A page is small because a write by chance dirties one page a block: 1 KiB a page is a quarter of what was written, 4 KiB
//! would be all of it. Five levels of 128 are 2^35 blocks of 4 KiB: 128 TiB.

/// Numbers in a page.
pub const PAGE_FAN_OUT: usize = 128;
/// Bytes in a page.
pub const PAGE_LEN: usize = PAGE_FAN_OUT * 8;
