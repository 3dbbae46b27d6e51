//! Records: what is read is written again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use restblk_format::{AttachmentRecord, PoolRecord, Record, TrashEnd, VolumeRecord};
use restblk_fuzz::changed;

const WHOLE: [&[u8]; 4] = [
    include_bytes!("../../../crates/format/golden/volume.record"),
    include_bytes!("../../../crates/format/golden/encrypted.record"),
    include_bytes!("../../../crates/format/golden/attachment.record"),
    include_bytes!("../../../crates/format/golden/pool.record"),
];

fn again<R: Record + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(read) = R::decode(bytes) else { return };
    // One with much in it may not fit a record, and that is said.
    if let Ok(written) = read.record.encode() {
        assert_eq!(R::decode(&written).map(|read| read.record), Ok(read.record));
    }
}

fuzz_target!(|input: &[u8]| {
    let bytes = changed(input, &WHOLE);
    again::<VolumeRecord>(&bytes);
    again::<AttachmentRecord>(&bytes);
    again::<PoolRecord>(&bytes);
    again::<TrashEnd>(&bytes);
});
