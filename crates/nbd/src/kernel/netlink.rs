//! Generic netlink, as much of it as one request and its answer need. Knows nothing of NBD.
//!
//! A message is: length 4, type 2, flags 2, sequence 4, port 4, then command 1, version 1, reserved 2, then attributes
//! (length 2, type 2, data, padding to 4). Integers are in the host's order.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};

const AF_NETLINK: i32 = 16;
const NETLINK_GENERIC: i32 = 16;
const HEADER_LEN: usize = 16;
const GENERIC_LEN: usize = 4;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const NLA_F_NESTED: u16 = 1 << 15;
/// Flags in an attribute's type.
const NLA_TYPE_MASK: u16 = !(3 << 14);
/// The controller's own family, which knows the numbers of the others.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// Attributes being put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    pub(super) fn u64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// A string, ended by a zero byte.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(super) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }

    fn bytes(mut self, kind: u16, data: &[u8]) -> Self {
        let len = u16::try_from(data.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// The attributes in `bytes`, type and data; ends at the first one that makes no sense.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_ne_bytes(*len));
        let data = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes(*kind) & NLA_TYPE_MASK, data))
    })
}

/// A socket to the kernel. Calls block until the kernel has done what was asked, which may include I/O on devices.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let generic = Some(Protocol::from(NETLINK_GENERIC));
        let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, generic)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The number of a family; "not found" where the kernel does not have it.
    pub(super) fn family(&mut self, name: &str) -> io::Result<u16> {
        let wanted = Attributes::default().text(CTRL_ATTR_FAMILY_NAME, name);
        let answer = self.call(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, &wanted)?;
        let id = attributes(&answer).find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID);
        let id = id
            .and_then(|(_, data)| data.first_chunk().copied())
            .map(u16::from_ne_bytes);
        id.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the kernel's answer has no family number",
            )
        })
    }

    /// Sends one command and waits for its end; the attributes of its answers, which may be none.
    pub(super) fn call(
        &mut self,
        family: u16,
        command: u8,
        version: u8,
        with: &Attributes,
    ) -> io::Result<Vec<u8>> {
        self.sequence += 1;
        let len = u32::try_from(HEADER_LEN + GENERIC_LEN + with.0.len()).map_err(io::Error::other)?;
        let mut message = len.to_ne_bytes().to_vec();
        message.extend_from_slice(&family.to_ne_bytes());
        message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&[command, version, 0, 0]);
        message.extend_from_slice(&with.0);
        self.socket.send(&message)?;
        let mut answer = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = (&self.socket).read(&mut buffer)?;
            if let Some(result) = self.take(&buffer[..read], &mut answer) {
                return result.map(|()| answer);
            }
        }
    }

    /// Goes through one datagram; `Some` when it ended the call.
    fn take(&self, mut datagram: &[u8], answer: &mut Vec<u8>) -> Option<io::Result<()>> {
        let number = |bytes: &[u8], at: usize| {
            bytes
                .get(at..at + 4)?
                .first_chunk()
                .copied()
                .map(u32::from_ne_bytes)
        };
        while let Some(len) = number(datagram, 0) {
            let len = len as usize;
            let message = datagram.get(HEADER_LEN..len)?;
            let kind = datagram[4..].first_chunk().copied().map(u16::from_ne_bytes)?;
            let ours = number(datagram, 8) == Some(self.sequence);
            datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
            match kind {
                _ if !ours => {}
                NLMSG_ERROR => {
                    let code = message.first_chunk().copied().map_or(0, i32::from_ne_bytes);
                    return Some(if code == 0 {
                        Ok(())
                    } else {
                        Err(io::Error::from_raw_os_error(-code))
                    });
                }
                _ => answer.extend_from_slice(message.get(GENERIC_LEN..).unwrap_or_default()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let inner = Attributes::default().u32(1, 7);
        let outer = Attributes::default().text(3, "ab").u64(4, 9).nested(5, &inner);
        let read: Vec<_> = attributes(&outer.0).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(read[0], (3, &b"ab\0"[..]));
        assert_eq!(read[1], (4, &9u64.to_ne_bytes()[..]));
        assert_eq!(read[2].0, 5);
        assert_eq!(attributes(read[2].1).next(), Some((1, &7u32.to_ne_bytes()[..])));
        assert_eq!(attributes(&[3, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 0, 0, 1]).count(), 0);
    }

    #[test]
    fn the_controller_knows_itself_and_not_what_is_not() {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.family("nlctrl").unwrap(), GENL_ID_CTRL);
        assert_eq!(
            netlink.family("no-such-fam").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(netlink.family("nlctrl").unwrap(), GENL_ID_CTRL);
    }
}
