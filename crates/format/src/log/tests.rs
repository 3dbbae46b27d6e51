//! Golden bytes, round trips, and bytes that nobody wrote.

use super::*;
use crate::stream::{Moment, Origin, Receiving};
use proptest::prelude::*;
use restblk_types::VolumeId;
use zeroize::Zeroizing;

const VOLUME: [u8; 16] = [7; 16];
const NONCE: [u8; 16] = [9; 16];

fn volume() -> VolumeId {
    VolumeId::from_bytes(VOLUME)
}

fn number(kind: Kind, number: u32) -> SegmentNumber {
    SegmentNumber::new(kind, number).unwrap()
}

fn block(byte: u8) -> Vec<u8> {
    vec![byte; BLOCK]
}

/// Bytes that no codec packs.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn a_segment() -> (Vec<u8>, Vec<Entry>) {
    let mut builder = SegmentBuilder::new(number(Kind::Log, 3), 4, Codec::Lz4);
    builder
        .push(FrameKind::Data, 40, &[block(1), block(2)].concat())
        .unwrap();
    builder.push(FrameKind::Data, 7, &noise(BLOCK, 5)).unwrap();
    assert!(builder.push_hole(100, 1 << 20));
    builder.finish(volume(), 2, 1, NONCE)
}

#[test]
fn most_of_what_follows_frames_that_do_not_pack_is_not_tried() {
    let mut builder = SegmentBuilder::new(number(Kind::Log, 3), 64, Codec::Lz4);
    for at in 0..20 {
        builder.push(FrameKind::Data, at, &noise(BLOCK, at + 1)).unwrap();
    }
    for at in 20..40 {
        builder.push(FrameKind::Data, at, &block(1)).unwrap();
    }
    let is_packed =
        |entry: &&Entry| matches!(entry.kind, EntryKind::Frame { len, .. } if (len as usize) < BLOCK);
    let packed = builder.entries().iter().filter(is_packed).count();
    assert_eq!(packed, 16, "one of the next eight is tried, and then all");
}

fn a_head() -> Head {
    let tree = Tree {
        root: Pointer::new(number(Kind::Map, 2), 160, 500, 0),
        levels: 3,
    };
    Head {
        size: 10 << 30,
        block_size: 512,
        lineage: vec![
            Lineage {
                volume: volume(),
                snapshot: None,
            },
            Lineage {
                volume: VolumeId::from_bytes([1; 16]),
                snapshot: Some(4),
            },
        ],
        epochs: vec![
            Span {
                volume: 1,
                epoch: 1,
                log: 1,
                map: 1,
                gc: 1,
            },
            Span {
                volume: 0,
                epoch: 2,
                log: 30,
                map: 4,
                gc: 1,
            },
        ],
        log_next: 12,
        journal: 0,
        map_next: 3,
        gc_next: 0,
        map: tree,
        segments: Tree::default(),
        books: [(number(Kind::Map, 6).to_bits(), 12)].into(),
        snapshots: vec![Snapshot {
            id: 1,
            name: Some("before-upgrade".to_owned()),
            created_at: "2026-11-25T07:00:00Z".to_owned(),
            size: 5 << 30,
            log: 33,
            map_cut: 5,
            map: tree,
            protected: true,
            children: Vec::new(),
            origin: None,
        }],
        snapshot_next: 2,
        receiving: None,
        features: 0,
        deletions: vec![number(Kind::Gc, 8)],
    }
}

/// The head of a volume with clones: of a snapshot, and of one that is deleted for users.
fn a_parent() -> Head {
    let mut head = a_head();
    head.snapshots[0].children = vec![VolumeId::from_bytes([2; 16])];
    let hidden = Snapshot {
        id: 0,
        name: None,
        protected: false,
        children: vec![VolumeId::from_bytes([3; 16]), VolumeId::from_bytes([4; 16])],
        ..head.snapshots[0].clone()
    };
    head.snapshots.insert(0, hidden);
    head
}

/// The head of a volume that has received one snapshot and a part of the next.
fn a_copy() -> Head {
    let mut head = a_head();
    let volume = VolumeId::from_bytes([5; 16]);
    let origin = |snapshot| Origin { volume, snapshot };
    head.snapshots[0].origin = Some(origin(12));
    head.receiving = Some(Receiving {
        to: Moment {
            origin: origin(13),
            name: "tuesday".to_owned(),
            created_at: "2026-11-26T07:00:00Z".to_owned(),
        },
        from: head.snapshots[0].moment(head.lineage[0].volume),
        position: 512 << 20,
        since: "2026-11-26T08:00:00Z".to_owned(),
    });
    head
}

/// The file's bytes never change: what one version wrote, every later one reads.
fn golden(name: &str, bytes: &[u8]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name);
    if std::env::var_os("RESTBLK_GOLDEN_WRITE").is_some() && !path.exists() {
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(
        std::fs::read(&path).unwrap() == bytes,
        "{} is not what is written now",
        path.display()
    );
}

#[test]
fn golden_bytes_are_written_and_read() {
    let (segment, entries) = a_segment();
    golden("segment.log", &segment);
    assert_eq!(SegmentHead::decode(&segment).unwrap().entries, entries);
    let head = a_head().encode(volume(), 2, 41, NONCE, None);
    golden("head.log", &head);
    assert_eq!(Head::decode(&head).unwrap().1, a_head());
    let copy = a_copy().encode(volume(), 2, 41, NONCE, None);
    golden("receiving.log", &copy);
    let (header, read) = Head::decode(&copy).unwrap();
    assert_eq!((header.incompat, read), (FEATURE_RECEIVING, a_copy()));
    let parent = a_parent().encode(volume(), 2, 42, NONCE, None);
    golden("parent.log", &parent);
    assert_eq!(Head::decode(&parent).unwrap().1, a_parent());
    let epoch = Epoch {
        hostname: "host1".to_owned(),
        since: "2026-11-25T07:00:00Z".to_owned(),
    };
    golden("epoch.log", &epoch.encode(volume(), 2, 0, NONCE));
    golden(
        "tombstone.log",
        &Tombstone { by: 3 }.encode(volume(), 2, 42, NONCE),
    );
}

#[test]
fn a_segment_gives_back_its_blocks() {
    let (bytes, entries) = a_segment();
    let head = SegmentHead::decode(&bytes[..SegmentHead::len(&bytes).unwrap()]).unwrap();
    assert_eq!(head.entries, entries);
    assert_eq!(
        (head.header.epoch, head.header.sequence, head.object_len as usize),
        (2, 1, bytes.len())
    );
    let wanted = [[block(1), block(2)].concat(), noise(BLOCK, 5)];
    for (entry, wanted) in entries.iter().zip(wanted) {
        let pointer = entry.pointer(0).unwrap();
        assert_eq!(pointer.segment(), number(Kind::Log, 3));
        let start = pointer.offset() as usize;
        let end = bytes.len().min(start + pointer.len() as usize);
        let frame = Frame::decode(&bytes[start..end], pointer, None).unwrap();
        assert_eq!((frame.first, frame.plain), (entry.first, wanted));
    }
    assert_eq!(
        entries[2],
        Entry {
            first: 100,
            count: 1 << 20,
            kind: EntryKind::Hole
        }
    );
    assert_eq!(entries[2].pointer(0), None);
}

#[test]
fn what_packs_gets_shorter_and_what_does_not_is_stored() {
    let (_, entries) = a_segment();
    let len = |entry: &Entry| match entry.kind {
        EntryKind::Frame { len, .. } => len as usize,
        EntryKind::Hole => 0,
    };
    assert!(len(&entries[0]) < 200, "{entries:?}");
    assert_eq!(len(&entries[1]), BLOCK + 40);
}

#[test]
fn a_moved_frame_keeps_its_address() {
    let (bytes, entries) = a_segment();
    let mut moved = SegmentBuilder::new(number(Kind::Gc, 1), 1, Codec::Lz4);
    let EntryKind::Frame { offset, len, .. } = entries[1].kind else {
        unreachable!()
    };
    let stored = &bytes[offset as usize..][..len as usize];
    assert!(moved.push_moved(&entries[1], stored).unwrap());
    assert!(
        !moved.push_moved(&entries[1], stored).unwrap(),
        "there was room for one line"
    );
    let (bytes, moved) = moved.finish(volume(), 2, 0, NONCE);
    assert_eq!(moved[0].pointer(0), entries[1].pointer(0));
    let EntryKind::Frame { offset, .. } = moved[0].kind else {
        unreachable!()
    };
    let frame = Frame::decode(&bytes[offset as usize..], entries[1].pointer(0).unwrap(), None).unwrap();
    assert_eq!(frame.plain, noise(BLOCK, 5));
}

#[test]
fn another_frame_is_told() {
    let (bytes, entries) = a_segment();
    let (asked, other) = (entries[1].pointer(0).unwrap(), entries[0].pointer(0).unwrap());
    assert_eq!(
        Frame::decode(&bytes[other.offset() as usize..], asked, None),
        Err(FrameError::Another)
    );
}

#[test]
fn a_full_segment_takes_no_more() {
    let mut builder = SegmentBuilder::new(number(Kind::Log, 1), 10_000, Codec::None);
    let data = noise(MAX_BLOCKS * BLOCK, 1);
    let mut frames = 0;
    while builder.push(FrameKind::Data, frames * 8, &data).is_some() {
        frames += 1;
    }
    assert!(builder.len() <= SEGMENT_LEN_MAX && frames > 240, "{frames}");
    let (bytes, entries) = builder.finish(volume(), 1, 0, NONCE);
    assert_eq!(SegmentHead::decode(&bytes).unwrap().entries, entries);
}

#[test]
fn every_flipped_bit_is_found() {
    let (bytes, entries) = a_segment();
    let frame = |bytes: &[u8], entry: &Entry| {
        let pointer = entry.pointer(0).unwrap();
        Frame::decode(&bytes[pointer.offset() as usize..], pointer, None).map(|frame| frame.plain)
    };
    let good: Vec<_> = entries[..2].iter().map(|entry| frame(&bytes, entry)).collect();
    for bit in (0..bytes.len() * 8).step_by(7) {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let same_head = SegmentHead::decode(&bad) == SegmentHead::decode(&bytes);
        let same_frames = entries[..2]
            .iter()
            .zip(&good)
            .all(|(entry, good)| frame(&bad, entry) == *good);
        // Between the frames, and where the index has room that was not used, there is nothing to damage.
        let padding = |at: usize| {
            let unused = HEADER_LEN + 3 * INDEX_ENTRY_LEN..HEADER_LEN + 4 * INDEX_ENTRY_LEN;
            let within = entries[..2].iter().any(|entry| {
                let EntryKind::Frame { offset, len, .. } = entry.kind else {
                    return false;
                };
                (offset as usize..(offset + len) as usize).contains(&at)
            });
            unused.contains(&at) || (at >= unused.end && !within)
        };
        assert!(
            !same_head || !same_frames || padding(bit / 8),
            "bit {bit} is not missed"
        );
    }
    let head = a_head().encode(volume(), 2, 41, NONCE, None);
    for bit in 0..(head.len() - 1) * 8 {
        let mut bad = head.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Head::decode(&bad).is_err(), "bit {bit} of a head is not missed");
    }
    for end in 0..head.len() - 1 {
        assert!(
            Head::decode(&head[..end]).is_err(),
            "{end} bytes of a head are not missed"
        );
    }
}

#[test]
fn one_type_is_not_taken_for_another() {
    let tombstone = Tombstone { by: 3 }.encode(volume(), 2, 42, NONCE);
    let error = Head::decode(&tombstone).unwrap_err().to_string();
    assert!(error.contains("tombstone"), "{error}");
    assert_eq!(Header::peek(&tombstone).unwrap().object, ObjectType::Tombstone);
    assert!(SegmentHead::decode(&tombstone).is_err());
}

#[test]
fn a_segment_is_found_in_its_epoch() {
    let head = a_head();
    let place = |kind, number| {
        let found = head.place(SegmentNumber::new(kind, number).unwrap());
        found.map(|(span, sequence)| (span.volume, span.epoch, sequence))
    };
    assert_eq!(place(Kind::Log, 1), Some((1, 1, 0)));
    assert_eq!(place(Kind::Log, 29), Some((1, 1, 28)));
    assert_eq!(place(Kind::Log, 30), Some((0, 2, 0)));
    // An epoch that wrote nothing of a kind has no number of it.
    assert_eq!(place(Kind::Gc, 1), Some((0, 2, 0)));
    assert_eq!(
        Head {
            epochs: Vec::new(),
            ..head
        }
        .place(number(Kind::Log, 1)),
        None
    );
}

#[test]
fn zstandard_packs_what_it_can_and_says_so() {
    let text: Vec<u8> = (0..2 * BLOCK)
        .map(|at| b"some words of a user, again"[at % 27])
        .collect();
    let (packed, noise) = ([text, noise(BLOCK, 3)].concat(), noise(2 * BLOCK, 5));
    let mut builder = SegmentBuilder::new(number(Kind::Log, 3), 2, Codec::Zstd);
    builder.push(FrameKind::Data, 0, &packed).unwrap();
    builder.push(FrameKind::Data, 9, &noise).unwrap();
    let (bytes, entries) = builder.finish(volume(), 2, 1, NONCE);
    for (entry, (plain, most)) in entries
        .iter()
        .zip([(packed, BLOCK + 400), (noise, 2 * BLOCK + 44)])
    {
        let EntryKind::Frame {
            offset, len, origin, ..
        } = entry.kind
        else {
            unreachable!()
        };
        assert!((len as usize) <= most, "{len}");
        let frame = Frame::decode(&bytes[offset as usize..], origin, None).unwrap();
        assert_eq!(frame.plain, plain);
    }
    assert_eq!(Header::peek(&bytes).unwrap().incompat, FEATURE_ZSTD);
    let EntryKind::Frame { offset, len, .. } = entries[0].kind else {
        unreachable!()
    };
    let stored = &bytes[offset as usize..][..len as usize];
    let mut moved = SegmentBuilder::new(number(Kind::Gc, 1), 1, Codec::Lz4);
    assert!(moved.push_moved(&entries[0], stored).unwrap());
    let (bytes, _) = moved.finish(volume(), 2, 0, NONCE);
    assert_eq!(Header::peek(&bytes).unwrap().incompat, FEATURE_ZSTD);
}

proptest! {
    #[test]
    fn bytes_that_nobody_wrote_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..400_usize) {
        prop_assert!(SegmentHead::decode(&bytes).is_err());
        prop_assert!(Head::decode(&bytes).is_err());
        let pointer = a_segment().1[0].pointer(0).unwrap();
        prop_assert!(Frame::decode(&bytes, pointer, None).is_err());
        let (segment, _) = a_segment();
        let short = &segment[..cut];
        prop_assert!(SegmentHead::decode(short).is_err() || cut >= HEADER_LEN + 3 * INDEX_ENTRY_LEN);
    }

    #[test]
    fn any_blocks_come_back(
        first in any::<u64>(), blocks in 1..=MAX_BLOCKS, fill in any::<u8>(), seed in any::<u64>(), noisy in any::<bool>(), codec in 0..3_usize, sealed in any::<bool>(),
    ) {
        let plain = if noisy { noise(blocks * BLOCK, seed) } else { vec![fill; blocks * BLOCK] };
        let codec = [Codec::None, Codec::Lz4, Codec::Zstd][codec];
        let key = || sealed.then(|| DataKey::new(Zeroizing::new([1; KEY_LEN])).segment(volume(), 1, number(Kind::Log, 1)));
        let mut builder = SegmentBuilder::new(number(Kind::Log, 1), 1, codec).sealed(key());
        let pointer = builder.push(FrameKind::Data, first, &plain).unwrap();
        let (bytes, _) = builder.finish(volume(), 1, 0, NONCE);
        let frame = Frame::decode(&bytes[pointer.offset() as usize..], pointer, key().as_ref()).unwrap();
        prop_assert_eq!((frame.first, frame.plain), (first, plain));
    }
}
