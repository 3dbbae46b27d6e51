//! The server over real sockets: what `docs/cdmi.md` promises, one file a subject.
#![allow(clippy::unwrap_used, reason = "tests")]

mod rig;

mod containers;
mod crash;
mod disk;
mod extensions;
mod locks;
mod modes;
mod objects;
mod quirks;
mod races;
mod security;
mod shared;
mod snapshots;
