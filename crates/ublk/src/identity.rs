//! The mark by which a device is known again: which volume it was made for, kept by the kernel itself.
//!
//! Every ublk device carries 64 bits for its server (`ublksrv_flags`). Ours hold a magic number and a hash of the
//! label, so the mark lives exactly as long as the device, needs no file, and cannot outlive a reboot.
//! Its form is stable: the next version of the daemon has to recognise the devices of this one.

/// The upper 16 bits of our marks ("rb").
const MAGIC: u64 = 0x7262;
const HASH_BITS: u32 = 48;

/// The mark of the volume `label`: the magic number and the low 48 bits of the label's FNV-1a hash.
pub(crate) fn mark(label: &str) -> u64 {
    let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    MAGIC << HASH_BITS | hash & ((1 << HASH_BITS) - 1)
}

/// True for a device that some restblk made.
pub(crate) fn is_ours(ublksrv_flags: u64) -> bool {
    ublksrv_flags >> HASH_BITS == MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_stable_and_tell_volumes_apart() {
        assert_eq!(mark("main/disk1"), 0x7262_f456_d72f_ecef);
        assert_ne!(mark("main/disk1"), mark("main/disk2"));
        assert!(is_ours(mark("main/disk1")) && is_ours(mark("")));
        assert!(!is_ours(0) && !is_ours(u64::MAX));
    }
}
