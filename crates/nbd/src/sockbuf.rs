//! Send buffers of Unix sockets, both of clients and of the kernel's devices.

use socket2::SockRef;
use std::os::fd::AsFd;

/// In bytes; the kernel doubles it for its own use. Data of 1 MiB then go out at once, where the default (208 KiB) has
/// the two ends wake each other five times. TCP's buffers grow by themselves.
const LEN: usize = 1 << 20;

/// Makes room for a long request or reply.
pub(crate) fn widen(socket: &impl AsFd) {
    if let Err(error) = SockRef::from(socket).set_send_buffer_size(LEN) {
        // Only speed depends on it.
        tracing::debug!(%error, "a socket's send buffer stays as it is");
    }
}
