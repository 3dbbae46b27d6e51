//! Encrypted volumes: golden bytes, and what a store could try that knows the format and no key.

use super::*;
use crate::record::crc32c;
use restblk_types::VolumeId;
use zeroize::Zeroizing;

fn volume() -> VolumeId {
    VolumeId::from_bytes([7; 16])
}

fn data_key() -> DataKey {
    DataKey::new(Zeroizing::new([3; KEY_LEN]))
}

fn born_in() -> SegmentNumber {
    SegmentNumber::new(Kind::Log, 3).unwrap()
}

fn key() -> SealKey {
    data_key().segment(volume(), 2, born_in())
}

/// Blocks of text that cannot be missed.
fn text(blocks: usize, what: u8) -> Vec<u8> {
    let mut bytes = format!("a user's secret number {what}, ")
        .repeat(blocks * 200)
        .into_bytes();
    bytes.truncate(blocks * BLOCK);
    bytes
}

fn a_segment(key: Option<SealKey>) -> (Vec<u8>, Vec<Entry>) {
    let mut builder = SegmentBuilder::new(born_in(), 5, Codec::None).sealed(key);
    for (first, what) in [(40, 1), (42, 2)] {
        builder.push(FrameKind::Data, first, &text(2, what)).unwrap();
    }
    assert!(builder.push_hole(100, 1 << 20));
    builder.finish(volume(), 2, 1, [9; 16])
}

fn head() -> Head {
    Head {
        size: 10 << 30,
        block_size: 4096,
        lineage: Vec::new(),
        epochs: Vec::new(),
        log_next: 12,
        journal: 0,
        map_next: 3,
        gc_next: 0,
        map: Tree::default(),
        segments: Tree::default(),
        books: Default::default(),
        snapshots: Vec::new(),
        snapshot_next: 2,
        receiving: None,
        features: FEATURE_SEALED,
        deletions: Vec::new(),
    }
}

/// Bytes that one version wrote; every later one reads them. Nonces differ each time, so what is written now has other bytes.
fn golden(name: &str, fresh: Vec<u8>) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name);
    if std::env::var_os("RESTBLK_GOLDEN_WRITE").is_some() && !path.exists() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let kept = std::fs::read(&path).unwrap();
    assert_eq!(kept.len(), fresh.len(), "{}", path.display());
    kept
}

/// Offset and length of the frames.
fn places(entries: &[Entry]) -> Vec<(usize, usize)> {
    let place = |entry: &Entry| match entry.kind {
        EntryKind::Frame { offset, len, .. } => Some((offset as usize, len as usize)),
        EntryKind::Hole => None,
    };
    entries.iter().filter_map(place).collect()
}

/// As a store would that knows the format: the checksums fit again.
fn fix_frame(frame: &mut [u8]) {
    let payload = crc32c(&frame[64..]);
    frame[32..36].copy_from_slice(&payload.to_le_bytes());
    let header = crc32c(&frame[4..64]);
    frame[..4].copy_from_slice(&header.to_le_bytes());
}

fn fix_head(object: &mut [u8]) {
    let index_len = u32::from_le_bytes(object[68..72].try_into().unwrap());
    let index = crc32c(&object[HEADER_LEN..][..index_len as usize]);
    object[72..76].copy_from_slice(&index.to_le_bytes());
    object[12..16].fill(0);
    let header = crc32c(&object[..HEADER_LEN]);
    object[12..16].copy_from_slice(&header.to_le_bytes());
}

#[test]
fn golden_bytes_are_read() {
    let (fresh, entries) = a_segment(Some(key()));
    for bytes in [golden("sealed-segment.log", fresh.clone()), fresh] {
        let index = SegmentHead::decode(&bytes).unwrap();
        assert!(index.is_sealed(&key()));
        assert_eq!(
            (&index.entries, index.header.incompat),
            (&entries, FEATURE_SEALED)
        );
        for (entry, what) in entries[..2].iter().zip([1, 2]) {
            let pointer = entry.pointer(0).unwrap();
            let frame = Frame::decode(&bytes[pointer.offset() as usize..], pointer, Some(&key())).unwrap();
            assert_eq!((frame.first, frame.plain), (entry.first, text(2, what)));
        }
        let secret = b"a user's secret";
        assert!(!bytes.windows(secret.len()).any(|some| some == secret));
    }
    let fresh = head().encode(volume(), 2, 41, [9; 16], Some(&data_key().heads(volume())));
    for bytes in [golden("sealed-head.log", fresh.clone()), fresh] {
        assert_eq!(Head::decode(&bytes).unwrap().1, head());
        assert!(Head::is_sealed(&bytes, &data_key().heads(volume())));
    }
    let record = JournalRecord {
        position: 640,
        epoch: 2,
        first: 40,
        blocks: 1,
        data: &text(1, 1),
    };
    let mut fresh = record.seal(&data_key().journal(volume(), 2));
    fresh.resize(JournalRecord::stored_len(BLOCK), 0);
    let keys = |epoch| data_key().journal(volume(), epoch);
    let mut kept = golden("sealed-record.journal", fresh);
    assert_eq!(JournalRecord::decode(&mut kept, 640, Some(&keys)), Some(record));
}

#[test]
fn what_is_equal_does_not_look_equal() {
    let mut builder = SegmentBuilder::new(born_in(), 2, Codec::None).sealed(Some(key()));
    for first in [40, 42] {
        builder.push(FrameKind::Data, first, &text(2, 1)).unwrap();
    }
    let (bytes, entries) = builder.finish(volume(), 2, 1, [9; 16]);
    let [a, b] = places(&entries)[..] else {
        unreachable!()
    };
    // Kind, codec, blocks, and the lengths are the same; nothing that the text makes is.
    let (a, b) = (&bytes[a.0..][..a.1], &bytes[b.0..][..b.1]);
    assert_eq!(a.len(), b.len());
    let same = a[32..].windows(4).zip(b[32..].windows(4)).filter(|(a, b)| a == b);
    assert!(same.count() < 3);
}

#[test]
fn every_bit_of_a_frame_counts() {
    let (bytes, entries) = a_segment(Some(key()));
    let (pointer, (at, len)) = (entries[0].pointer(0).unwrap(), places(&entries)[0]);
    for bit in (0..len * 8).step_by(5) {
        let mut bad = bytes[at..at + len].to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::decode(&bad, pointer, Some(&key())).is_err(), "bit {bit}");
        // What the checksums do not cover is the checksums.
        if !(0..4).contains(&(bit / 8)) && !(32..36).contains(&(bit / 8)) {
            fix_frame(&mut bad);
            assert!(
                Frame::decode(&bad, pointer, Some(&key())).is_err(),
                "bit {bit}, with good checksums"
            );
        }
    }
}

#[test]
fn a_frame_is_bound_to_its_place_its_blocks_and_its_segment() {
    let (bytes, entries) = a_segment(Some(key()));
    let pointers = [entries[0].pointer(0).unwrap(), entries[1].pointer(0).unwrap()];
    let frame = |at: usize| {
        let (offset, len) = places(&entries)[at];
        bytes[offset..offset + len].to_vec()
    };
    // Two frames of the same length, swapped: as they are, and with the other one's addresses.
    assert_eq!(
        Frame::decode(&frame(1), pointers[0], Some(&key())),
        Err(FrameError::Another)
    );
    let mut swapped = frame(1);
    swapped[8..24].copy_from_slice(&frame(0)[8..24]);
    fix_frame(&mut swapped);
    assert_eq!(
        Frame::decode(&swapped, pointers[0], Some(&key())),
        Err(FrameError::Seal)
    );
    assert!(
        Frame::check_stored(&swapped, pointers[0]).is_ok(),
        "the checksums are good"
    );
    let mut other_block = frame(0);
    other_block[8] ^= 1;
    fix_frame(&mut other_block);
    assert_eq!(
        Frame::decode(&other_block, pointers[0], Some(&key())),
        Err(FrameError::Seal)
    );
    // The same place of another volume, epoch or segment of the family, which has the same data key.
    let gc = SegmentNumber::new(Kind::Gc, 3).unwrap();
    for (volume, epoch, segment) in [
        (VolumeId::from_bytes([8; 16]), 2, born_in()),
        (volume(), 1, born_in()),
        (volume(), 2, gc),
    ] {
        let elsewhere = a_segment(Some(data_key().segment(volume, epoch, segment))).0;
        let (offset, len) = places(&entries)[0];
        let replayed = Frame::decode(&elsewhere[offset..offset + len], pointers[0], Some(&key()));
        assert_eq!(replayed, Err(FrameError::Seal));
    }
}

#[test]
fn a_plain_frame_is_not_taken_for_a_sealed_one_or_the_other_way_round() {
    let (plain, of_plain) = a_segment(None);
    let pointer = of_plain[0].pointer(0).unwrap();
    let at = pointer.offset() as usize;
    assert_eq!(
        Frame::decode(&plain[at..], pointer, Some(&key())),
        Err(FrameError::NotSealed)
    );
    assert!(!SegmentHead::decode(&plain).unwrap().is_sealed(&key()));
    let (sealed, entries) = a_segment(Some(key()));
    let pointer = entries[0].pointer(0).unwrap();
    let at = pointer.offset() as usize;
    assert_eq!(
        Frame::decode(&sealed[at..], pointer, None),
        Err(FrameError::Sealed)
    );
    let head = head().encode(volume(), 2, 41, [9; 16], None);
    assert!(!Head::is_sealed(&head, &data_key().heads(volume())));
}

#[test]
fn an_index_or_a_head_that_a_store_made_up_is_told() {
    let (bytes, entries) = a_segment(Some(key()));
    assert_eq!(entries.len(), 3);
    let forged = |change: &dyn Fn(&mut [u8])| {
        let mut bad = bytes.clone();
        change(&mut bad);
        fix_head(&mut bad);
        SegmentHead::decode(&bad).map(|head| head.is_sealed(&key()))
    };
    assert_eq!(forged(&|_| ()), Ok(true));
    let line = |at: usize| HEADER_LEN + at * INDEX_ENTRY_LEN;
    // A hole over other blocks; a frame of other blocks; an older epoch; another sequence.
    assert_eq!(forged(&|bad| bad[line(2)] = 0), Ok(false));
    assert_eq!(forged(&|bad| bad[line(0)] = 42), Ok(false));
    assert_eq!(forged(&|bad| bad[56] = 1), Ok(false));
    assert_eq!(forged(&|bad| bad[60] = 0), Ok(false));
    // Without the hole's line, and without the seal's.
    let three = 3 * u32::try_from(INDEX_ENTRY_LEN).unwrap();
    let without_hole = forged(&|bad| {
        bad.copy_within(line(3)..line(4), line(2));
        bad[68..72].copy_from_slice(&three.to_le_bytes());
    });
    assert_eq!(without_hole, Ok(false));
    assert_eq!(
        forged(&|bad| bad[68..72].copy_from_slice(&three.to_le_bytes())),
        Ok(false)
    );
    let seal = data_key().heads(volume());
    let good = head().encode(volume(), 2, 41, [9; 16], Some(&seal));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let newline = bit / 8 == good.len() - 1;
        let digit_case = bad[bit / 8].eq_ignore_ascii_case(&good[bit / 8]);
        assert!(
            newline || digit_case || !Head::is_sealed(&bad, &seal),
            "bit {bit}"
        );
    }
    assert!(!Head::is_sealed(&good[..good.len() - 1], &seal));
}

#[test]
fn a_thinned_frame_keeps_its_address_and_its_key() {
    let (bytes, entries) = a_segment(Some(key()));
    let pointer = entries[0].pointer(0).unwrap();
    let mut plain = Frame::decode(&bytes[pointer.offset() as usize..], pointer, Some(&key()))
        .unwrap()
        .plain;
    plain[..BLOCK].fill(0);
    let number = SegmentNumber::new(Kind::Gc, 1).unwrap();
    let mut moved =
        SegmentBuilder::new(number, 2, Codec::None).sealed(Some(data_key().segment(volume(), 3, number)));
    assert!(moved.push_thinned(&entries[0], &plain, Some(&key())));
    let (offset, len) = places(&entries)[1];
    assert!(
        moved
            .push_moved(&entries[1], &bytes[offset..offset + len])
            .unwrap()
    );
    let (bytes, moved) = moved.finish(volume(), 3, 0, [9; 16]);
    let (places, wanted) = (places(&moved), [plain, text(2, 2)]);
    for ((entry, (offset, _)), wanted) in entries.iter().zip(places).zip(wanted) {
        let pointer = entry.pointer(0).unwrap();
        let frame = Frame::decode(&bytes[offset..], pointer, Some(&key())).unwrap();
        assert!(frame.plain == wanted);
    }
}
