//! The journal: its labels, and its records wherever they are looked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use restblk_format::log::{JournalRecord, Label};
use restblk_fuzz::changed;
use restblk_types::VolumeId;
use std::sync::LazyLock;

const SEALED: &[u8] = include_bytes!("../../../crates/format/golden/sealed-record.journal");

/// A journal's first label, and a record of a write and one of a hole.
static WHOLE: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let label = Label {
        count: 1,
        volume: VolumeId::from_bytes([7; 16]),
        capacity: 1 << 25,
        epochs: [1, 2],
        tail: 64,
        joined: 128,
    };
    let data = [5; 4096];
    let record = |data| JournalRecord {
        position: 64,
        epoch: 1,
        first: 3,
        blocks: 1,
        data,
    };
    [
        label.encode().to_vec(),
        [&record(&data).header()[..], &data].concat(),
        record(&[]).header().to_vec(),
    ]
});

fuzz_target!(|input: &[u8]| {
    let [label, write, hole] = &*WHOLE;
    let mut bytes = changed(input, &[SEALED, label, write, hole]);
    let _ = Label::choose(&bytes);
    if let Some(label) = Label::decode(&bytes) {
        assert_eq!(Label::decode(&label.encode()), Some(label));
    }
    // The position that the record itself tells, which a reader would have come to.
    let told = bytes
        .get(8..16)
        .and_then(|told| told.try_into().ok())
        .map_or(0, u64::from_le_bytes);
    for position in [0, told] {
        let Some(len) = JournalRecord::len_at(&bytes, position) else {
            continue;
        };
        if let Some(record) = JournalRecord::decode(&mut bytes, position, None) {
            assert!(record.data.len() <= len);
        }
    }
});
