//! The bytes restblk stores: pure encode and decode.
