//! Heads, epochs and tombstones of a log volume.
#![no_main]

use libfuzzer_sys::fuzz_target;
use restblk_format::log::{Epoch, Head, Header, Tombstone};
use restblk_fuzz::changed;

const WHOLE: [&[u8]; 5] = [
    include_bytes!("../../../crates/format/golden/head.log"),
    include_bytes!("../../../crates/format/golden/parent.log"),
    include_bytes!("../../../crates/format/golden/sealed-head.log"),
    include_bytes!("../../../crates/format/golden/epoch.log"),
    include_bytes!("../../../crates/format/golden/tombstone.log"),
];

fuzz_target!(|input: &[u8]| {
    let bytes = changed(input, &WHOLE);
    let whose = Header::peek(&bytes);
    for header in [
        Head::decode(&bytes).map(|(header, _)| header),
        Epoch::decode(&bytes).map(|(header, _)| header),
        Tombstone::decode(&bytes).map(|(header, _)| header),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(Ok(header), whose);
    }
});
