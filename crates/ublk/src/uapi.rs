//! The kernel's ublk interface as bytes: command numbers, flags, and the structures that cross the boundary.
//!
//! Owns the layout (linux/ublk_cmd.h, stable user API, checked by the sizes below) and nothing of its use.
//! Only the ioctl-encoded commands are here: the older ones are compiled out of newer kernels.

/// Bytes in the unit of the block layer's addresses and lengths, whatever the device's block size.
pub(crate) const SECTOR: u64 = 512;

const DIR_READ: u32 = 2;
const DIR_READ_WRITE: u32 = 3;

const fn encode(dir: u32, number: u32, size: u32) -> u32 {
    dir << 30 | size << 16 | (b'u' as u32) << 8 | number
}

/// A control command: its encoded number and its name for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    pub(crate) code: u32,
    pub(crate) name: &'static str,
}

const fn control(dir: u32, number: u32, name: &'static str) -> Command {
    Command {
        code: encode(dir, number, 32),
        name,
    }
}

pub(crate) const GET_DEV_INFO: Command = control(DIR_READ, 0x02, "GET_DEV_INFO");
pub(crate) const ADD_DEV: Command = control(DIR_READ_WRITE, 0x04, "ADD_DEV");
pub(crate) const DEL_DEV: Command = control(DIR_READ_WRITE, 0x05, "DEL_DEV");
pub(crate) const START_DEV: Command = control(DIR_READ_WRITE, 0x06, "START_DEV");
pub(crate) const STOP_DEV: Command = control(DIR_READ_WRITE, 0x07, "STOP_DEV");
pub(crate) const SET_PARAMS: Command = control(DIR_READ_WRITE, 0x08, "SET_PARAMS");
pub(crate) const GET_PARAMS: Command = control(DIR_READ, 0x09, "GET_PARAMS");
pub(crate) const START_USER_RECOVERY: Command = control(DIR_READ_WRITE, 0x10, "START_USER_RECOVERY");
pub(crate) const END_USER_RECOVERY: Command = control(DIR_READ_WRITE, 0x11, "END_USER_RECOVERY");
pub(crate) const GET_FEATURES: Command = control(DIR_READ, 0x13, "GET_FEATURES");
pub(crate) const UPDATE_SIZE: Command = control(DIR_READ_WRITE, 0x15, "UPDATE_SIZE");
pub(crate) const TRY_STOP_DEV: Command = control(DIR_READ_WRITE, 0x17, "TRY_STOP_DEV");

/// Commands on a queue: wait for the tag's first request; answer the tag's request and wait for its next.
pub(crate) const IO_FETCH: u32 = encode(DIR_READ_WRITE, 0x20, 16);
pub(crate) const IO_COMMIT_AND_FETCH: u32 = encode(DIR_READ_WRITE, 0x21, 16);

/// Device flags, also the bits of GET_FEATURES.
pub(crate) const F_USER_RECOVERY: u64 = 1 << 3;
pub(crate) const F_USER_RECOVERY_REISSUE: u64 = 1 << 4;
pub(crate) const F_CMD_IOCTL_ENCODE: u64 = 1 << 6;
pub(crate) const F_UPDATE_SIZE: u64 = 1 << 10;
pub(crate) const F_SAFE_STOP: u64 = 1 << 17;

/// States of a device.
pub(crate) const STATE_DEAD: u16 = 0;
pub(crate) const STATE_LIVE: u16 = 1;
pub(crate) const STATE_QUIESCED: u16 = 2;

/// `DevInfo::dev_id` in ADD_DEV: the kernel chooses.
pub(crate) const ANY_ID: u32 = u32::MAX;

/// Operations in a descriptor, bits 0 to 7 of `op_flags`.
pub(crate) const OP_READ: u32 = 0;
pub(crate) const OP_WRITE: u32 = 1;
pub(crate) const OP_FLUSH: u32 = 2;
pub(crate) const OP_DISCARD: u32 = 3;
pub(crate) const OP_WRITE_ZEROES: u32 = 5;
/// Flags in a descriptor, within the same word.
pub(crate) const IO_F_FUA: u32 = 1 << 13;
pub(crate) const IO_F_NOUNMAP: u32 = 1 << 15;

/// Most tags a queue can have: the kernel spaces the queues' descriptor tables for so many.
const QUEUE_DEPTH_MAX: usize = 4096;

/// Where queue `queue`'s descriptors lie in the character device, in bytes.
pub(crate) fn descriptors_offset(queue: u16, page: usize) -> usize {
    usize::from(queue) * (QUEUE_DEPTH_MAX * size_of::<IoDescriptor>()).next_multiple_of(page)
}

/// What the kernel keeps of a device (`ublksrv_ctrl_dev_info`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DevInfo {
    pub(crate) nr_hw_queues: u16,
    pub(crate) queue_depth: u16,
    pub(crate) state: u16,
    pub(crate) pad0: u16,
    pub(crate) max_io_buf_bytes: u32,
    pub(crate) dev_id: u32,
    pub(crate) ublksrv_pid: i32,
    pub(crate) pad1: u32,
    pub(crate) flags: u64,
    /// The server's own; the kernel keeps it and never reads it.
    pub(crate) ublksrv_flags: u64,
    pub(crate) owner_uid: u32,
    pub(crate) owner_gid: u32,
    pub(crate) reserved: [u64; 2],
}

pub(crate) const ATTR_READ_ONLY: u32 = 1 << 0;
pub(crate) const ATTR_VOLATILE_CACHE: u32 = 1 << 2;
pub(crate) const ATTR_FUA: u32 = 1 << 3;

/// `ublk_param_basic`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BasicParams {
    pub(crate) attrs: u32,
    pub(crate) logical_bs_shift: u8,
    pub(crate) physical_bs_shift: u8,
    pub(crate) io_opt_shift: u8,
    pub(crate) io_min_shift: u8,
    pub(crate) max_sectors: u32,
    pub(crate) chunk_sectors: u32,
    pub(crate) dev_sectors: u64,
    pub(crate) virt_boundary_mask: u64,
}

/// `ublk_param_discard`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiscardParams {
    pub(crate) discard_alignment: u32,
    pub(crate) discard_granularity: u32,
    pub(crate) max_discard_sectors: u32,
    pub(crate) max_write_zeroes_sectors: u32,
    pub(crate) max_discard_segments: u16,
    pub(crate) reserved: u16,
}

pub(crate) const PARAM_BASIC: u32 = 1 << 0;
pub(crate) const PARAM_DISCARD: u32 = 1 << 1;

/// The head of `ublk_params`: the kernel takes as many bytes as `len` says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) len: u32,
    pub(crate) types: u32,
    pub(crate) basic: BasicParams,
    pub(crate) discard: DiscardParams,
    /// Keeps the size a multiple of eight, as the kernel's own has it; the next structure is not read.
    pub(crate) rest: u32,
}

impl Params {
    /// Its size on the wire.
    #[expect(clippy::cast_possible_truncation, reason = "64 bytes")]
    pub(crate) const LEN: u32 = size_of::<Self>() as u32;
}

/// A request, as the kernel writes it into the shared table (`ublksrv_io_desc`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IoDescriptor {
    pub(crate) op_flags: u32,
    pub(crate) nr_sectors: u32,
    pub(crate) start_sector: u64,
    pub(crate) addr: u64,
}

/// A control command's argument (`ublksrv_ctrl_cmd`) in the command area of a 128-byte submission.
pub(crate) fn control_argument(dev_id: u32, address: u64, len: u16, data: u64) -> [u8; 80] {
    let mut bytes = [0; 80];
    bytes[0..4].copy_from_slice(&dev_id.to_ne_bytes());
    bytes[4..6].copy_from_slice(&u16::MAX.to_ne_bytes()); // queue: none
    bytes[6..8].copy_from_slice(&len.to_ne_bytes());
    bytes[8..16].copy_from_slice(&address.to_ne_bytes());
    bytes[16..24].copy_from_slice(&data.to_ne_bytes());
    bytes
}

/// A queue command's argument (`ublksrv_io_cmd`): the answer to the tag's request and the buffer for its next.
pub(crate) fn queue_argument(queue: u16, tag: u16, result: i32, buffer: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0..2].copy_from_slice(&queue.to_ne_bytes());
    bytes[2..4].copy_from_slice(&tag.to_ne_bytes());
    bytes[4..8].copy_from_slice(&result.to_ne_bytes());
    bytes[8..16].copy_from_slice(&buffer.to_ne_bytes());
    bytes
}

const _: () = assert!(size_of::<DevInfo>() == 64);
const _: () = assert!(size_of::<BasicParams>() == 32);
const _: () = assert!(size_of::<DiscardParams>() == 20);
const _: () = assert!(size_of::<Params>() == 64);
const _: () = assert!(size_of::<IoDescriptor>() == 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_numbers_of_the_kernels_header() {
        assert_eq!(ADD_DEV.code, 0xc020_7504);
        assert_eq!(GET_FEATURES.code, 0x8020_7513);
        assert_eq!(GET_DEV_INFO.code, 0x8020_7502);
        assert_eq!(UPDATE_SIZE.code, 0xc020_7515);
        assert_eq!(TRY_STOP_DEV.code, 0xc020_7517);
        assert_eq!(IO_FETCH, 0xc010_7520);
        assert_eq!(IO_COMMIT_AND_FETCH, 0xc010_7521);
    }

    #[test]
    fn queues_are_spaced_for_the_deepest_queue() {
        assert_eq!(descriptors_offset(0, 4096), 0);
        assert_eq!(descriptors_offset(2, 4096), 2 * 98304);
        assert_eq!(descriptors_offset(1, 65536), 131_072);
    }
}
