//! Segments: the index, and each frame that it tells of, unpacked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use restblk_format::log::{EntryKind, Frame, SegmentHead};
use restblk_fuzz::changed;

const WHOLE: [&[u8]; 2] = [
    include_bytes!("../../../crates/format/golden/segment.log"),
    include_bytes!("../../../crates/format/golden/sealed-segment.log"),
];

/// The most that a frame unpacks to, in bytes.
const PLAIN_MAX: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let bytes = changed(input, &WHOLE);
    let Ok(head) = SegmentHead::decode(&bytes) else {
        return;
    };
    for entry in &head.entries {
        let EntryKind::Frame { offset, len, .. } = entry.kind else {
            continue;
        };
        let (Some(pointer), Some(stored)) = (entry.pointer(0), bytes.get(offset as usize..)) else {
            continue;
        };
        let _ = Frame::check_stored(stored, pointer);
        let _ = Frame::check_stored(&stored[..stored.len().min(len as usize)], pointer);
        if let Ok(frame) = Frame::decode(stored, pointer, None) {
            assert!(frame.plain.len() <= PLAIN_MAX, "{}", frame.plain.len());
        }
    }
});
