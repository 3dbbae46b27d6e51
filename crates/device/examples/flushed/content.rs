//! What a sector holds: a pure function of the seed, the sector and the version, so that nothing written needs to be kept.
//!
//! ```text
//! 0..8 magic   8..16 version   16..24 sector   24..512 noise of all three
//! ```

pub(crate) const SECTOR: usize = 512;
const MAGIC: &[u8; 8] = b"flushed1";

/// splitmix64: the next number of a sequence.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The bytes of a version of a sector; version 0 is what nobody has written to: zeros.
pub(crate) fn sector(seed: u64, number: u64, version: u64) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    if version == 0 {
        return bytes;
    }
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&version.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    let mut state = seed ^ number.rotate_left(24) ^ version.rotate_left(48);
    for chunk in bytes[24..].chunks_exact_mut(8) {
        chunk.copy_from_slice(&next(&mut state).to_le_bytes());
    }
    bytes
}

/// What a sector seems to hold, for people.
pub(crate) fn describe(bytes: &[u8]) -> String {
    let number = |at: usize| {
        bytes[at..at + 8]
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    if bytes.iter().all(|byte| *byte == 0) {
        "zeros".to_owned()
    } else if &bytes[..8] == MAGIC {
        format!("version {} of sector {}", number(8), number(16))
    } else {
        "something else".to_owned()
    }
}
