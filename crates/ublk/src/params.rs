//! What the kernel is told of a device: Geometry and Features as ublk parameters, and the limits of one request.
//!
//! Invariant: nothing is announced that the device does not do. A size that changes later is `resize`'s work.

use crate::uapi::{self, BasicParams, DevInfo, DiscardParams, Params, SECTOR};
use restblk_block::{Features, Geometry};

/// Bytes of one request's buffer, and so the largest read or write. 512 KiB carries sequential work at the
/// bandwidth of a store over HTTP, and 128 of them (two queues of 64) keep 64 MiB of memory locked.
pub(crate) const BUFFER_BYTES: u32 = 512 << 10;

/// Requests in flight per queue where the caller does not say.
pub(crate) const QUEUE_DEPTH: u16 = 64;

/// Queues where the caller does not say; never more than processors.
pub(crate) const QUEUES_MAX: u16 = 2;

/// One discard at most, in bytes: the discard of a whole volume by mkfs becomes a sequence that can be
/// interrupted, and none waits behind a single request of minutes.
const DISCARD_BYTES: u32 = 128 << 20;

/// One write of zeros at most, in bytes: a store without holes has to be sent them.
const ZEROES_BYTES: u32 = 16 << 20;

/// Physical block announced for volumes of 512-byte blocks ("512e"): the page cache and every engine work in 4 KiB.
const PHYSICAL_BYTES: u32 = 4096;

const fn sectors(bytes: u32) -> u32 {
    bytes / 512
}

/// log2 of a power of two, as the kernel wants block sizes.
fn shift(bytes: u32) -> u8 {
    u8::try_from(bytes.max(1).ilog2()).unwrap_or(u8::MAX)
}

/// The parameters of a disk of this geometry, its requests at most `buffer_bytes` long.
pub(crate) fn params(geometry: &Geometry, buffer_bytes: u32) -> Params {
    let Geometry {
        size,
        block_size,
        io_size_optimal,
        features,
    } = *geometry;
    let physical = block_size.bytes().max(PHYSICAL_BYTES);
    let basic = BasicParams {
        attrs: attributes(features),
        logical_bs_shift: shift(block_size.bytes()),
        physical_bs_shift: shift(physical),
        io_opt_shift: shift(io_size_optimal.max(physical)),
        io_min_shift: shift(physical),
        max_sectors: sectors(buffer_bytes),
        dev_sectors: size / SECTOR,
        ..BasicParams::default()
    };
    let mut params = Params {
        len: Params::LEN,
        types: uapi::PARAM_BASIC,
        basic,
        ..Params::default()
    };
    if !features.read_only && (features.discard || features.write_zeroes) {
        params.types |= uapi::PARAM_DISCARD;
        params.discard = DiscardParams {
            discard_granularity: physical,
            max_discard_sectors: if features.discard {
                sectors(DISCARD_BYTES)
            } else {
                0
            },
            max_write_zeroes_sectors: if features.write_zeroes {
                sectors(ZEROES_BYTES)
            } else {
                0
            },
            max_discard_segments: 1,
            ..DiscardParams::default()
        };
    }
    params
}

fn attributes(features: Features) -> u32 {
    let mut attrs = 0;
    if features.volatile_cache {
        attrs |= uapi::ATTR_VOLATILE_CACHE;
        // Without a volatile cache every write is durable, and the block layer would never ask.
        if features.fua {
            attrs |= uapi::ATTR_FUA;
        }
    }
    if features.read_only {
        attrs |= uapi::ATTR_READ_ONLY;
    }
    attrs
}

/// Why a device that was started with `kernel`'s parameters cannot be served by a volume of this geometry, if so.
/// A kernel that thinks the volume smaller is no reason: the size is brought up afterwards.
pub(crate) fn mismatch(kernel: &Params, geometry: &Geometry, can_resize: bool) -> Option<String> {
    let now = params(geometry, kernel.basic.max_sectors.saturating_mul(512)).basic;
    let was = &kernel.basic;
    if was.logical_bs_shift != now.logical_bs_shift {
        return Some(format!(
            "the kernel has blocks of {} bytes, the volume {}",
            1_u64 << was.logical_bs_shift,
            geometry.block_size.bytes()
        ));
    }
    let lost = |bit| was.attrs & bit == 0 && now.attrs & bit != 0;
    if lost(uapi::ATTR_VOLATILE_CACHE) {
        return Some("the kernel takes the volume for write-through and would never flush it".to_owned());
    }
    if lost(uapi::ATTR_READ_ONLY) {
        return Some("the volume has become read-only under a writable device".to_owned());
    }
    if was.dev_sectors > now.dev_sectors && !can_resize {
        return Some(format!(
            "the volume is of {} bytes, the device of {}, and this kernel cannot shrink it",
            geometry.size,
            was.dev_sectors * SECTOR
        ));
    }
    None
}

/// What ADD_DEV is asked for.
pub(crate) fn device(dev_id: u32, queues: u16, queue_depth: u16, mark: u64, kernel_features: u64) -> DevInfo {
    let processors =
        std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX));
    let wish = if queues == 0 { QUEUES_MAX } else { queues };
    DevInfo {
        nr_hw_queues: wish.clamp(1, processors),
        queue_depth: if queue_depth == 0 {
            QUEUE_DEPTH
        } else {
            queue_depth.clamp(1, 4096)
        },
        max_io_buf_bytes: BUFFER_BYTES,
        dev_id,
        ublksrv_pid: i32::try_from(std::process::id()).unwrap_or(0),
        flags: uapi::F_USER_RECOVERY
            | uapi::F_USER_RECOVERY_REISSUE
            | uapi::F_CMD_IOCTL_ENCODE
            | (kernel_features & uapi::F_UPDATE_SIZE),
        ublksrv_flags: mark,
        ..DevInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_types::BlockSize;

    fn geometry(block_size: BlockSize, features: Features) -> Geometry {
        Geometry {
            size: 10 << 20,
            block_size,
            io_size_optimal: 1 << 20,
            features,
        }
    }

    #[test]
    fn a_plain_volume_announces_nothing() {
        let p = params(&geometry(BlockSize::B512, Features::default()), 512 << 10);
        assert_eq!(p.types, uapi::PARAM_BASIC);
        assert_eq!(p.discard, DiscardParams::default());
        assert_eq!(p.basic.attrs, 0);
        assert_eq!((p.basic.logical_bs_shift, p.basic.physical_bs_shift), (9, 12));
        assert_eq!((p.basic.io_min_shift, p.basic.io_opt_shift), (12, 20));
        assert_eq!((p.basic.dev_sectors, p.basic.max_sectors), (20480, 1024));
    }

    #[test]
    fn features_become_attributes_and_limits() {
        let all = Features {
            volatile_cache: true,
            fua: true,
            discard: true,
            write_zeroes: true,
            read_only: false,
        };
        let p = params(&geometry(BlockSize::B4096, all), 512 << 10);
        assert_eq!(p.basic.attrs, uapi::ATTR_VOLATILE_CACHE | uapi::ATTR_FUA);
        assert_eq!(p.types, uapi::PARAM_BASIC | uapi::PARAM_DISCARD);
        assert_eq!(
            (p.discard.max_discard_sectors, p.discard.max_write_zeroes_sectors),
            (262_144, 32_768)
        );
        assert_eq!(
            (p.discard.discard_granularity, p.discard.max_discard_segments),
            (4096, 1)
        );
        let zeroes = params(
            &geometry(
                BlockSize::B4096,
                Features {
                    discard: false,
                    ..all
                },
            ),
            512 << 10,
        );
        assert_eq!(
            (
                zeroes.discard.max_discard_sectors,
                zeroes.discard.max_write_zeroes_sectors
            ),
            (0, 32_768)
        );
        let through = params(
            &geometry(
                BlockSize::B4096,
                Features {
                    volatile_cache: false,
                    ..all
                },
            ),
            512 << 10,
        );
        assert_eq!(through.basic.attrs, 0);
        let read_only = params(
            &geometry(
                BlockSize::B4096,
                Features {
                    read_only: true,
                    ..all
                },
            ),
            512 << 10,
        );
        assert_eq!(read_only.types, uapi::PARAM_BASIC);
        assert_ne!(read_only.basic.attrs & uapi::ATTR_READ_ONLY, 0);
    }

    #[test]
    fn a_device_of_other_parameters_is_not_taken_over() {
        let cached = Features {
            volatile_cache: true,
            ..Features::default()
        };
        let volume = geometry(BlockSize::B4096, cached);
        let same = params(&volume, 512 << 10);
        assert_eq!(mismatch(&same, &volume, false), None);
        let grown = Geometry {
            size: volume.size * 2,
            ..volume
        };
        assert_eq!(mismatch(&same, &grown, false), None);
        let shrunk = Geometry {
            size: volume.size / 2,
            ..volume
        };
        assert!(mismatch(&same, &shrunk, false).is_some());
        assert_eq!(mismatch(&same, &shrunk, true), None);
        assert!(mismatch(&same, &geometry(BlockSize::B512, cached), true).is_some());
        let through = params(&geometry(BlockSize::B4096, Features::default()), 512 << 10);
        assert!(mismatch(&through, &volume, true).is_some_and(|why| why.contains("flush")));
        let read_only = geometry(
            BlockSize::B4096,
            Features {
                read_only: true,
                ..cached
            },
        );
        assert!(mismatch(&same, &read_only, true).is_some());
    }
}
