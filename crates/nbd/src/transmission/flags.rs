//! What an export says about itself, derived from the device's features and nothing else.

use super::REQUEST_BYTES_MAX;
use crate::proto::transmission_flag as flag;
use restblk_block::Geometry;

/// Transmission flags for clients of the server.
///
/// Flush and FUA are always there: a write-through device answers a flush at once, and FUA without the device's help
/// is a write and a flush. Zeroes are announced even where they are not cheap, because they save the way; who wants
/// only cheap ones asks with the fast-zero flag and gets a true answer. Several connections see one device, so
/// a flush on one covers the writes of all.
pub(crate) fn for_client(geometry: &Geometry, structured: bool) -> u16 {
    let features = geometry.features;
    let mut flags = flag::HAS_FLAGS | flag::SEND_FLUSH | flag::CAN_MULTI_CONN;
    if structured {
        flags |= flag::SEND_DF;
    }
    if features.read_only {
        return flags | flag::READ_ONLY;
    }
    flags |= flag::SEND_FUA | flag::SEND_WRITE_ZEROES | flag::SEND_FAST_ZERO;
    if features.discard {
        flags |= flag::SEND_TRIM;
    }
    flags
}

/// Flags for the kernel's client, which makes queue limits of them: only what is cheaper than what the kernel does
/// in its place (it builds FUA from flushes and zeroes from writes).
pub(crate) fn for_kernel(geometry: &Geometry) -> u16 {
    let features = geometry.features;
    let mut flags = flag::HAS_FLAGS | flag::CAN_MULTI_CONN;
    if features.read_only {
        flags |= flag::READ_ONLY;
    }
    if features.volatile_cache {
        flags |= flag::SEND_FLUSH;
        if features.fua {
            flags |= flag::SEND_FUA;
        }
    }
    if features.discard {
        flags |= flag::SEND_TRIM;
    }
    if features.write_zeroes {
        flags |= flag::SEND_WRITE_ZEROES;
    }
    flags
}

/// Smallest, preferred and largest block of the device, in bytes.
pub(crate) fn block_sizes(geometry: &Geometry) -> [u32; 3] {
    let minimum = geometry.block_size.bytes();
    let preferred = geometry
        .io_size_optimal
        .checked_next_power_of_two()
        .unwrap_or(REQUEST_BYTES_MAX);
    [
        minimum,
        preferred.clamp(minimum.max(512), REQUEST_BYTES_MAX),
        REQUEST_BYTES_MAX,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_block::Features;
    use restblk_types::BlockSize;

    fn geometry(features: Features) -> Geometry {
        Geometry {
            size: 1 << 20,
            block_size: BlockSize::B4096,
            io_size_optimal: 1 << 20,
            features,
        }
    }

    #[test]
    fn nothing_is_announced_that_the_device_cannot_do() {
        let plain = geometry(Features::default());
        assert_eq!(
            for_client(&plain, false) & (flag::SEND_TRIM | flag::SEND_DF | flag::READ_ONLY),
            0
        );
        assert_eq!(for_kernel(&plain), flag::HAS_FLAGS | flag::CAN_MULTI_CONN);
        let frozen = geometry(Features {
            read_only: true,
            discard: true,
            ..Features::default()
        });
        let flags = for_client(&frozen, true);
        assert_ne!(flags & flag::READ_ONLY, 0);
        assert_eq!(
            flags & (flag::SEND_TRIM | flag::SEND_WRITE_ZEROES | flag::SEND_FUA),
            0
        );
    }

    #[test]
    fn the_kernel_gets_fua_only_with_a_cache() {
        let through = geometry(Features {
            fua: true,
            ..Features::default()
        });
        assert_eq!(for_kernel(&through) & (flag::SEND_FUA | flag::SEND_FLUSH), 0);
        let cached = geometry(Features {
            fua: true,
            volatile_cache: true,
            ..Features::default()
        });
        assert_eq!(
            for_kernel(&cached) & (flag::SEND_FUA | flag::SEND_FLUSH),
            flag::SEND_FUA | flag::SEND_FLUSH
        );
    }

    #[test]
    fn block_sizes_are_ordered() {
        assert_eq!(
            block_sizes(&geometry(Features::default())),
            [4096, 1 << 20, 32 << 20]
        );
        let odd = Geometry {
            io_size_optimal: u32::MAX,
            ..geometry(Features::default())
        };
        assert_eq!(block_sizes(&odd)[1], 32 << 20);
    }
}
