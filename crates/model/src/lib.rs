//! Models of protocols between hosts: small state machines with the same steps as the real thing, of which a checker walks
//! every interleaving. A model holds no bytes, no time and no I/O; what it shows is that the *order of requests* is safe.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod fencing;
