//! The kernel's own NBD client as a transport: a volume becomes /dev/nbdN.
//!
//! The kernel is given one end of a socketpair per connection by generic netlink; the other ends are served here by
//! the transmission code, without a handshake. The device outlives this process: requests wait until the next daemon
//! gives it new sockets.
//!
//! Nothing here opens the device: a process that serves a device and waits for it can wait for ever.

mod attach;
mod attached;
mod client;
mod connection;
mod device;
mod netlink;
mod probe;
mod sysfs;

pub use attach::{NbdOptions, NbdTransport};
