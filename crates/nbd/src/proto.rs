//! The protocol's numbers, and the headers of the transmission phase as bytes. No I/O.
//!
//! All integers are big-endian. A request is 28 bytes: magic 4, command flags 2, command 2, cookie 8, offset 8,
//! length 4. A simple reply is 16: magic 4, error 4, cookie 8. A chunk of a structured reply is 20 and its payload:
//! magic 4, flags 2, type 2, cookie 8, length 4.

mod reply;
mod request;

pub(crate) use reply::Head;
pub(crate) use request::{REQUEST_LEN, Request};

/// First greeting: "NBDMAGIC".
pub(crate) const MAGIC_INIT: u64 = 0x4e42_444d_4147_4943;
/// Second greeting, and before every option: "IHAVEOPT".
pub(crate) const MAGIC_OPTION: u64 = 0x4948_4156_454f_5054;
/// Before every reply to an option.
pub(crate) const MAGIC_OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// Before every request.
pub(crate) const MAGIC_REQUEST: u32 = 0x2560_9513;
/// Before every simple reply.
pub(crate) const MAGIC_SIMPLE_REPLY: u32 = 0x6744_6698;
/// Before every chunk of a structured reply.
pub(crate) const MAGIC_STRUCTURED_REPLY: u32 = 0x668e_33ef;

/// Handshake flags, the same bits from server and client.
pub(crate) mod handshake_flag {
    pub(crate) const FIXED_NEWSTYLE: u16 = 1;
    pub(crate) const NO_ZEROES: u16 = 2;
}

/// Options of the handshake.
pub(crate) mod option {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const STARTTLS: u32 = 5;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// Replies to options.
pub(crate) mod option_reply {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    const ERROR: u32 = 1 << 31;
    pub(crate) const ERR_UNSUP: u32 = ERROR | 1;
    pub(crate) const ERR_INVALID: u32 = ERROR | 3;
    pub(crate) const ERR_TLS_REQD: u32 = ERROR | 5;
    pub(crate) const ERR_UNKNOWN: u32 = ERROR | 6;
    pub(crate) const ERR_TOO_BIG: u32 = ERROR | 9;
}

/// What an information reply is about.
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DESCRIPTION: u16 = 2;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// Transmission flags: what an export can do.
pub(crate) mod transmission_flag {
    pub(crate) const HAS_FLAGS: u16 = 1;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
    pub(crate) const SEND_FAST_ZERO: u16 = 1 << 11;
}

/// Commands.
pub(crate) mod command {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISC: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

/// Flags of commands.
pub(crate) mod command_flag {
    pub(crate) const FUA: u16 = 1;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DF: u16 = 1 << 2;
    pub(crate) const REQ_ONE: u16 = 1 << 3;
    pub(crate) const FAST_ZERO: u16 = 1 << 4;
}

/// What tells which bytes hold data: the one context of block status that there is.
pub(crate) mod allocation {
    pub(crate) const NAME: &str = "base:allocation";
    /// Our number of it.
    pub(crate) const ID: u32 = 1;
    /// No space is taken.
    pub(crate) const HOLE: u32 = 1;
    /// Reads as zeros.
    pub(crate) const ZERO: u32 = 2;
}

/// Error numbers of replies: the protocol's own, equal to Linux's.
pub(crate) mod errno {
    pub(crate) const EPERM: u32 = 1;
    pub(crate) const EIO: u32 = 5;
    pub(crate) const ENOMEM: u32 = 12;
    pub(crate) const EINVAL: u32 = 22;
    pub(crate) const ENOSPC: u32 = 28;
    pub(crate) const EOVERFLOW: u32 = 75;
    pub(crate) const ENOTSUP: u32 = 95;
    pub(crate) const ESHUTDOWN: u32 = 108;

    /// A device's errno as one that the protocol knows; the others are EIO.
    pub(crate) fn of_device(errno: i32) -> u32 {
        match u32::try_from(errno) {
            Ok(known @ (EPERM | ENOMEM | EINVAL | ENOSPC | EOVERFLOW | ENOTSUP | ESHUTDOWN)) => known,
            _ => EIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::errno;
    use restblk_block::BlockError;
    use restblk_types::ErrorKind;

    #[test]
    fn errors_of_devices_become_errors_of_the_protocol() {
        let of = |kind| errno::of_device(BlockError::new(kind, "").errno());
        assert_eq!(of(ErrorKind::NoSpace), errno::ENOSPC);
        assert_eq!(of(ErrorKind::Invalid), errno::EINVAL);
        assert_eq!(of(ErrorKind::Unsupported), errno::ENOTSUP);
        assert_eq!(of(ErrorKind::Denied), errno::EPERM);
        for kind in [
            ErrorKind::Corrupt,
            ErrorKind::Fenced,
            ErrorKind::Unavailable,
            ErrorKind::Bug,
        ] {
            assert_eq!(of(kind), errno::EIO, "{kind}");
        }
        assert_eq!(errno::of_device(-1), errno::EIO);
    }
}
