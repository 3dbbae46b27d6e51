//! Cuts a request into parts that the store takes, along multiples of the part's length, so that the parts of
//! neighbouring requests meet at the same places.

use restblk_types::Extent;

/// The parts of `len` bytes at `offset`, each within one multiple of `part_len`.
pub(crate) fn parts(offset: u64, len: u64, part_len: u64) -> impl Iterator<Item = Extent> {
    let end = offset + len;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let stop = (at - at % part_len).saturating_add(part_len).min(end);
        let part = Extent::new(at, stop - at);
        at = stop;
        part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(offset: u64, len: u64, part_len: u64) -> Vec<(u64, u64)> {
        parts(offset, len, part_len)
            .map(|e| (e.offset(), e.len()))
            .collect()
    }

    #[test]
    fn parts_end_at_multiples() {
        assert_eq!(cut(0, 0, 8), []);
        assert_eq!(cut(3, 2, 8), [(3, 2)]);
        assert_eq!(cut(3, 20, 8), [(3, 5), (8, 8), (16, 7)]);
        assert_eq!(cut(8, 16, 8), [(8, 8), (16, 8)]);
    }

    proptest::proptest! {
        #[test]
        fn parts_cover_the_request_exactly(offset in 0u64..1 << 40, len in 0u64..1 << 16, shift in 9u32..20) {
            let mut at = offset;
            for part in parts(offset, len, 1 << shift) {
                assert_eq!(part.offset(), at);
                assert!(!part.is_empty() && part.offset() >> shift == (part.end() - 1) >> shift);
                at = part.end();
            }
            assert_eq!(at, offset + len);
        }
    }
}
