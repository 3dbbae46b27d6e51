//! What the targets share: bytes that begin as something whole, with a few of them changed.
//!
//! Checksums hold no fuzzer up (`restblk_format` does not look at them when it is compiled for one): what is tried is what comes behind
//! them, as if a bug or an enemy had written bytes with good ones.

/// The first byte of `input` chooses one of `whole`, or none; the rest are changes, an offset and a value each. Without one, they are the bytes.
#[must_use]
pub fn changed(input: &[u8], whole: &[&[u8]]) -> Vec<u8> {
    let Some((choice, rest)) = input.split_first() else {
        return Vec::new();
    };
    let Some(base) = whole.get(usize::from(*choice)) else {
        return rest.to_vec();
    };
    let mut bytes = base.to_vec();
    let (changes, cut) = rest.as_chunks::<3>();
    for [low, high, value] in changes {
        let at = usize::from(u16::from_le_bytes([*low, *high]));
        let len = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at % len) {
            *byte = *value;
        }
    }
    // Two bytes that are left over cut the end off.
    if let [low, high] = cut {
        bytes.truncate(usize::from(u16::from_le_bytes([*low, *high])));
    }
    bytes
}
