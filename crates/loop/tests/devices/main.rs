//! The loop transport through the kernel's own FUSE and loop drivers: needs root, /dev/fuse and /dev/loop-control.
//!
//! Where they are missing, each test says so and passes. `on_device` in the names keeps them from running beside
//! each other, and out of runs without devices.
#![allow(clippy::unwrap_used, reason = "tests")]

mod child;
mod probe_device;
mod rig;

mod on_device {
    mod death;
    mod errors;
    mod file_system;
    mod life;
    mod raw;
}
