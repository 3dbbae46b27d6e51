//! The commands of the kernel's NBD client. Every call blocks; [`blocking`] moves it off the runtime's threads.
//!
//! Numbers are those of the kernel's `include/uapi/linux/nbd-netlink.h`.

use super::netlink::{Attributes, Netlink, attributes};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

const CONNECT: u8 = 1;
const DISCONNECT: u8 = 2;
const RECONFIGURE: u8 = 3;
const STATUS: u8 = 5;

const ATTR_INDEX: u16 = 1;
const ATTR_SIZE_BYTES: u16 = 2;
const ATTR_BLOCK_SIZE_BYTES: u16 = 3;
const ATTR_TIMEOUT: u16 = 4;
const ATTR_SERVER_FLAGS: u16 = 5;
const ATTR_CLIENT_FLAGS: u16 = 6;
const ATTR_SOCKETS: u16 = 7;
const ATTR_DEAD_CONN_TIMEOUT: u16 = 8;
const ATTR_DEVICE_LIST: u16 = 9;
const ATTR_BACKEND_IDENTIFIER: u16 = 10;

const SOCK_ITEM: u16 = 1;
const SOCK_FD: u16 = 1;
const DEVICE_ITEM: u16 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_CONNECTED: u16 = 2;

const VERSION: u8 = 1;

/// What a new device is to be.
#[derive(Debug)]
pub(super) struct Connect {
    /// The N of /dev/nbdN; `None` takes the first free one, or makes one.
    pub(super) index: Option<u32>,
    pub(super) size: u64,
    pub(super) block_size: u32,
    pub(super) flags: u16,
    /// Who may reconnect the device, and who it is for.
    pub(super) backend: String,
    /// How long requests wait for new sockets when all are dead, in seconds.
    pub(super) dead_after_s: u64,
    pub(super) sockets: Vec<OwnedFd>,
}

/// The family "nbd" of generic netlink.
#[derive(Debug)]
pub(super) struct Client {
    netlink: Netlink,
    family: u16,
}

impl Client {
    /// "Not found" where the kernel has no nbd driver (loaded).
    pub(super) fn open() -> io::Result<Self> {
        let mut netlink = Netlink::open()?;
        let family = netlink.family("nbd")?;
        Ok(Self { netlink, family })
    }

    /// Makes the device and returns its index. The kernel keeps the sockets; ours are closed.
    ///
    /// The request time-out is 0: a request may take as long as the store needs, and with one connection the kernel
    /// then never gives a living connection up. Devices are not destroyed when they are disconnected: they stay for
    /// the next volume, as the kernel's own pool of them does.
    pub(super) fn connect(&mut self, new: Connect) -> io::Result<u32> {
        let mut request = Attributes::default();
        if let Some(index) = new.index {
            request = request.u32(ATTR_INDEX, index);
        }
        let request = request
            .u64(ATTR_SIZE_BYTES, new.size)
            .u64(ATTR_BLOCK_SIZE_BYTES, u64::from(new.block_size))
            .u64(ATTR_TIMEOUT, 0)
            .u64(ATTR_SERVER_FLAGS, u64::from(new.flags))
            .u64(ATTR_CLIENT_FLAGS, 0)
            .u64(ATTR_DEAD_CONN_TIMEOUT, new.dead_after_s)
            .text(ATTR_BACKEND_IDENTIFIER, &new.backend)
            .nested(ATTR_SOCKETS, &sockets(&new.sockets)?);
        let answer = self.call(CONNECT, &request)?;
        number(&answer, ATTR_INDEX)
            .ok_or_else(|| io::Error::other("the kernel did not say which device it made"))
    }

    /// Puts a socket in the place of a dead one. The kernel says nothing where none is dead, and hangs up.
    pub(super) fn reconnect(&mut self, index: u32, backend: &str, socket: OwnedFd) -> io::Result<()> {
        // Open until the kernel has looked it up.
        let socket = [socket];
        let request = named(index, backend).nested(ATTR_SOCKETS, &sockets(&socket)?);
        self.call(RECONFIGURE, &request).map(drop)
    }

    /// Changes the device's size while it is in use. Waits for the requests in flight.
    pub(super) fn resize(&mut self, index: u32, backend: &str, size: u64) -> io::Result<()> {
        self.call(RECONFIGURE, &named(index, backend).u64(ATTR_SIZE_BYTES, size))
            .map(drop)
    }

    /// Ends the device: requests in flight fail. It is free once nobody has it open.
    pub(super) fn disconnect(&mut self, index: u32) -> io::Result<()> {
        self.call(DISCONNECT, &Attributes::default().u32(ATTR_INDEX, index))
            .map(drop)
    }

    /// True where the device is in use, by whomever.
    pub(super) fn connected(&mut self, index: u32) -> io::Result<bool> {
        let answer = self.call(STATUS, &Attributes::default().u32(ATTR_INDEX, index))?;
        let list = attributes(&answer)
            .find(|(kind, _)| *kind == ATTR_DEVICE_LIST)
            .map(|(_, list)| list);
        let mut devices = attributes(list.unwrap_or_default()).filter(|(kind, _)| *kind == DEVICE_ITEM);
        let found = devices.find(|(_, device)| number(device, DEVICE_INDEX) == Some(index));
        let state =
            found.and_then(|(_, device)| attributes(device).find(|(kind, _)| *kind == DEVICE_CONNECTED));
        Ok(state.is_some_and(|(_, data)| data.first() == Some(&1)))
    }

    fn call(&mut self, command: u8, request: &Attributes) -> io::Result<Vec<u8>> {
        self.netlink.call(self.family, command, VERSION, request)
    }
}

/// Runs `what` with a client on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    what: impl FnOnce(&mut Client) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(move || what(&mut Client::open()?)).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn named(index: u32, backend: &str) -> Attributes {
    Attributes::default()
        .u32(ATTR_INDEX, index)
        .text(ATTR_BACKEND_IDENTIFIER, backend)
}

fn sockets(sockets: &[OwnedFd]) -> io::Result<Attributes> {
    sockets.iter().try_fold(Attributes::default(), |list, socket| {
        let fd = u32::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
        Ok(list.nested(SOCK_ITEM, &Attributes::default().u32(SOCK_FD, fd)))
    })
}

fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    let (_, data) = attributes(bytes).find(|(found, _)| *found == kind)?;
    data.first_chunk().copied().map(u32::from_ne_bytes)
}
