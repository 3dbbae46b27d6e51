//! What a request asks for, or why it is refused. No I/O.

use super::{REQUEST_BYTES_MAX, Spoken};
use crate::proto::{Request, command, command_flag as flag, errno};
use restblk_block::{Geometry, WriteFlags};

/// A request that may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Read,
    Write(WriteFlags),
    Flush,
    Trim {
        fua: bool,
    },
    Zero(WriteFlags),
    Status {
        one: bool,
    },
    /// A request of no bytes: nothing to do.
    Nothing,
}

/// An error of ours, for a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: u32,
    pub(crate) message: String,
}

fn refuse<T>(errno: u32, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        errno,
        message: message.into(),
    })
}

/// Checks a request against the device as it is now.
pub(crate) fn plan(request: &Request, geometry: &Geometry, spoken: Spoken) -> Result<Plan, Refusal> {
    let features = geometry.features;
    let write = WriteFlags {
        fua: request.flags & flag::FUA != 0,
        no_unmap: request.flags & flag::NO_HOLE != 0,
    };
    let (plan, allowed, changes) = match request.command {
        command::READ => (Plan::Read, if spoken.structured { flag::DF } else { 0 }, false),
        command::WRITE => (Plan::Write(write), 0, true),
        command::FLUSH => (Plan::Flush, 0, false),
        command::TRIM if features.discard => (Plan::Trim { fua: write.fua }, 0, true),
        command::WRITE_ZEROES => (Plan::Zero(write), flag::NO_HOLE | flag::FAST_ZERO, true),
        command::BLOCK_STATUS if spoken.allocation => {
            let one = request.flags & flag::REQ_ONE != 0;
            (Plan::Status { one }, flag::REQ_ONE, false)
        }
        other => {
            return refuse(
                errno::EINVAL,
                format!("command {other} is not offered by this export"),
            );
        }
    };
    if request.flags & !(allowed | flag::FUA) != 0 {
        return refuse(
            errno::EINVAL,
            format!("flags {:#x} do not belong to this command", request.flags),
        );
    }
    if changes && features.read_only {
        return refuse(errno::EPERM, "the export is read-only");
    }
    if plan == Plan::Flush {
        return Ok(plan);
    }
    let (offset, len) = (request.offset, u64::from(request.len));
    if offset.checked_add(len).is_none_or(|end| end > geometry.size) {
        let errno = if matches!(plan, Plan::Write(_) | Plan::Zero(_)) {
            errno::ENOSPC
        } else {
            errno::EINVAL
        };
        return refuse(
            errno,
            format!(
                "{len} bytes at {offset} lie outside the export of {} bytes",
                geometry.size
            ),
        );
    }
    let block = u64::from(geometry.block_size.bytes());
    if !offset.is_multiple_of(block) || !len.is_multiple_of(block) {
        return refuse(
            errno::EINVAL,
            format!("{len} bytes at {offset} are not aligned to blocks of {block} bytes"),
        );
    }
    if matches!(plan, Plan::Read | Plan::Write(_)) && request.len > REQUEST_BYTES_MAX {
        return refuse(
            errno::EINVAL,
            format!("{len} bytes are more than the {REQUEST_BYTES_MAX} of one request"),
        );
    }
    if len == 0 && matches!(plan, Plan::Status { .. }) {
        return refuse(errno::EINVAL, "the status of no bytes is none");
    }
    if request.flags & flag::FAST_ZERO != 0 && !features.write_zeroes {
        return refuse(errno::ENOTSUP, "zeroes are not faster than writing here");
    }
    Ok(if len == 0 { Plan::Nothing } else { plan })
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_block::Features;
    use restblk_types::BlockSize;

    fn check(command: u16, flags: u16, offset: u64, len: u32, features: Features) -> Result<Plan, u32> {
        let geometry = Geometry {
            size: 1 << 30,
            block_size: BlockSize::B512,
            io_size_optimal: 4096,
            features,
        };
        plan(
            &Request {
                flags,
                command,
                cookie: 0,
                offset,
                len,
            },
            &geometry,
            Spoken {
                structured: true,
                allocation: true,
            },
        )
        .map_err(|r| r.errno)
    }

    #[test]
    fn requests_are_refused_with_the_protocols_errors() {
        let all = Features {
            discard: true,
            write_zeroes: true,
            ..Features::default()
        };
        let none = Features::default();
        assert_eq!(check(command::READ, flag::DF, 0, 512, all), Ok(Plan::Read));
        assert_eq!(
            check(command::READ, flag::NO_HOLE, 0, 512, all),
            Err(errno::EINVAL)
        );
        assert_eq!(check(command::READ, 0, 0, 513, all), Err(errno::EINVAL));
        assert_eq!(check(command::READ, 0, 1, 512, all), Err(errno::EINVAL));
        assert_eq!(check(command::READ, 0, 1 << 30, 512, all), Err(errno::EINVAL));
        assert_eq!(
            check(command::READ, 0, 0, REQUEST_BYTES_MAX + 512, all),
            Err(errno::EINVAL)
        );
        assert_eq!(check(command::READ, 0, 1 << 30, 0, all), Ok(Plan::Nothing));
        assert_eq!(check(command::WRITE, 0, 1 << 30, 512, all), Err(errno::ENOSPC));
        assert_eq!(
            check(command::WRITE, 0, u64::MAX - 511, 512, all),
            Err(errno::ENOSPC)
        );
        assert_eq!(check(command::TRIM, 0, 0, 512, none), Err(errno::EINVAL));
        assert_eq!(
            check(command::TRIM, flag::FUA, 0, 1 << 29, all),
            Ok(Plan::Trim { fua: true })
        );
        assert_eq!(
            check(command::WRITE_ZEROES, flag::FAST_ZERO, 0, 512, none),
            Err(errno::ENOTSUP)
        );
        assert!(
            check(
                command::WRITE_ZEROES,
                flag::FAST_ZERO | flag::NO_HOLE,
                0,
                512,
                all
            )
            .is_ok()
        );
        let frozen = Features {
            read_only: true,
            ..all
        };
        assert_eq!(check(command::WRITE_ZEROES, 0, 0, 512, frozen), Err(errno::EPERM));
        assert_eq!(check(command::FLUSH, 0, 3, 7, frozen), Ok(Plan::Flush));
        assert_eq!(check(99, 0, 0, 512, all), Err(errno::EINVAL));
        assert_eq!(
            check(command::BLOCK_STATUS, flag::REQ_ONE, 0, 1 << 30, frozen),
            Ok(Plan::Status { one: true })
        );
        assert_eq!(
            check(command::BLOCK_STATUS, flag::DF, 0, 512, all),
            Err(errno::EINVAL)
        );
        assert_eq!(check(command::BLOCK_STATUS, 0, 0, 0, all), Err(errno::EINVAL));
    }
}
