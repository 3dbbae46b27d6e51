//! Attaches a `BlockDevice` through the kernel's ublk driver: /dev/ublkbN, served by this process over io_uring.
//!
//! ```text
//! transport  probe, attach, recover, clean          attached   detach, hand_over, gone; resize
//! bring_up   make a device, start it, undo          take_over  recognise a device and go on with it
//! server     the threads of a device                queue      one thread: ring, tags, bridge to the engine
//! mailbox ticket request memory                      the bridge's parts
//! control uapi params identity node                  the kernel's interface, /dev, mounts
//! ```
//!
//! # What the process owes the kernel
//! A process that serves block devices must not wait for itself. Before it starts threads it calls
//! - [`restblk_device::memory::own_mount_namespace`]: in the mount namespace of the device's users, its own exit can
//!   wait for the unmounting of a file system on its own device;
//! - [`restblk_device::memory::be_io_flusher`]: so that its own allocations never write to its own devices.
//!
//! Both belong to the daemon's start, not here; `examples/ublk_attach.rs` shows them.
//!
//! # Life and death
//! Devices are made with user recovery and reissue. When this process ends, in whatever way, the kernel keeps the device,
//! its users wait, and the next process goes on (`recover`); requests that were not answered are sent again, so the
//! engine sees some writes twice, the later of two overlapping writes never before the earlier was answered.
//! # Why the kernel's interface itself and not the crate libublk
//! The interface is fifteen commands and six structures, stable since Linux 6.5; `uapi` and `control` are all of it. libublk 0.4.8
//! generates its bindings when it is built, so every build would need libclang; its control commands have no deadline, panic
//! when they are used from another thread than the one that made them, and after a signal are sent a second time;
//! as root it writes files into a directory that everybody may write to (/run/ublksrvd, mode 0777). Its tasks run on an
//! executor of its own, so the bridge to tokio, which is most of this crate, would be the same.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]
#![expect(
    unsafe_code,
    reason = "io_uring commands and memory shared with the kernel; each use says why it is sound"
)]

mod attached;
mod bring_up;
mod control;
mod identity;
mod mailbox;
mod memory;
mod node;
mod params;
mod probe;
mod queue;
mod request;
mod resize;
mod server;
mod take_over;
mod ticket;
mod transport;
mod uapi;

pub use transport::UblkTransport;
