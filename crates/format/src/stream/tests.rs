//! Streams: the bytes that never change, and what becomes of any others.

use super::*;
use proptest::prelude::*;
use restblk_types::ErrorKind;

const BLOCK: usize = 4096;

fn volume() -> VolumeId {
    VolumeId::from_bytes([7; 16])
}

fn moment(snapshot: u64, name: &str) -> Moment {
    Moment {
        origin: Origin {
            volume: volume(),
            snapshot,
        },
        name: name.to_owned(),
        created_at: "2026-11-25T07:00:00Z".to_owned(),
    }
}

fn begin() -> Begin {
    Begin {
        volume: volume(),
        name: "main/disk1".to_owned(),
        size: 1 << 30,
        block_size: 4096,
        to: moment(12, "tuesday"),
        from: Some(moment(11, "monday")),
        encrypted: false,
    }
}

/// A stream of two records, and what it says.
fn a_stream() -> (Vec<u8>, Vec<Event>) {
    let (mut encoder, mut bytes) = Encoder::begin(&begin(), 8192);
    let data = [[1; BLOCK], [2; BLOCK]].concat();
    bytes.extend_from_slice(&encoder.data(8192, &data));
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(&encoder.zeros(1 << 20, 1 << 29));
    bytes.extend_from_slice(&encoder.end());
    let events = vec![
        Event::Begin {
            begin: Box::new(begin()),
            start: 8192,
        },
        Event::Data { offset: 8192, data },
        Event::Zeros {
            offset: 1 << 20,
            length: 1 << 29,
        },
        Event::End,
    ];
    (bytes, events)
}

/// What a decoder makes of bytes that come in pieces.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Result<(), StreamError>) {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, decoder.finish())
}

fn begin_of(change: impl FnOnce(&mut Begin), start: u64) -> Vec<u8> {
    let mut begin = begin();
    change(&mut begin);
    Encoder::begin(&begin, start).1
}

#[test]
fn golden_bytes_are_written_and_read() {
    let (bytes, events) = a_stream();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/incremental.stream");
    if std::env::var_os("RESTBLK_GOLDEN_WRITE").is_some() && !path.exists() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(
        std::fs::read(&path).unwrap() == bytes,
        "{} is not what is written now",
        path.display()
    );
    assert_eq!(decode([&bytes[..]]), (events, Ok(())));
}

#[test]
fn the_pieces_do_not_matter() {
    let (bytes, events) = a_stream();
    for len in [1, 7, 31, 4096, 5000] {
        assert_eq!(decode(bytes.chunks(len)), (events.clone(), Ok(())), "{len}");
    }
}

#[test]
fn a_cut_stream_is_told_from_a_whole_one_wherever_it_is_cut() {
    let (bytes, events) = a_stream();
    for len in 0..bytes.len() {
        let (found, result) = decode([&bytes[..len]]);
        assert!(events.starts_with(&found), "{len}");
        let wanted = match len {
            0 => StreamError::NotAStream,
            _ => StreamError::Cut { at: len as u64 },
        };
        assert_eq!(result, Err(wanted), "{len}");
    }
}

#[test]
fn no_changed_bit_is_believed() {
    let (bytes, events) = a_stream();
    for bit in 0..bytes.len() * 8 {
        // Of the payloads that are alike all over, some.
        if (700..bytes.len() - 200).contains(&(bit / 8)) && bit % 997 != 0 {
            continue;
        }
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (found, result) = decode([&changed[..]]);
        assert!(events.starts_with(&found), "bit {bit}: {found:?}");
        assert!(result.is_err(), "bit {bit}");
    }
}

#[test]
fn a_record_that_is_missing_or_doubled_or_moved_is_noticed() {
    let (mut encoder, begun) = Encoder::begin(&begin(), 0);
    let zeros: Vec<_> = (0..4_u64)
        .map(|at| encoder.zeros(at * UNIT, UNIT).to_vec())
        .collect();
    let end = encoder.end().to_vec();
    for order in [&[0, 1, 3][..], &[0, 1, 1, 2, 3], &[1, 0, 2, 3], &[0, 1, 2]] {
        let parts = order.iter().map(|at| zeros[*at].clone());
        let bytes: Vec<u8> = std::iter::once(begun.clone())
            .chain(parts)
            .chain([end.clone()])
            .flatten()
            .collect();
        let (_, result) = decode([&bytes[..]]);
        assert!(
            matches!(result, Err(StreamError::Damaged { .. })),
            "{order:?}: {result:?}"
        );
    }
}

#[test]
fn what_a_sender_must_not_write_is_refused() {
    type Write = fn(&mut Encoder) -> Vec<u8>;
    let wrong: [(&str, Write); 6] = [
        ("backwards", |to| {
            [to.zeros(UNIT, UNIT), to.zeros(0, UNIT)].concat()
        }),
        ("overlapping", |to| {
            [to.zeros(0, 2 * UNIT), to.zeros(UNIT, UNIT)].concat()
        }),
        ("beyond the end", |to| to.zeros(1 << 30, UNIT).to_vec()),
        ("round the end", |to| to.zeros(u64::MAX - 4095, UNIT).to_vec()),
        ("between blocks", |to| to.zeros(512, UNIT).to_vec()),
        ("nothing", |to| to.zeros(0, 0).to_vec()),
    ];
    for (what, write) in wrong {
        let (mut encoder, mut bytes) = Encoder::begin(&begin(), 0);
        bytes.extend(write(&mut encoder));
        let (_, result) = decode([&bytes[..]]);
        assert!(
            matches!(result, Err(StreamError::Damaged { .. })),
            "{what}: {result:?}"
        );
    }
    for bytes in [
        begin_of(|begin| begin.size = 4095, 0),
        begin_of(|begin| begin.size = 0, 0),
        begin_of(|_| {}, (1 << 30) + UNIT),
        begin_of(|_| {}, 1),
        begin_of(|begin| begin.name = "x".repeat(BEGIN_MAX), 0),
    ] {
        assert!(matches!(decode([&bytes[..]]).1, Err(StreamError::Damaged { .. })));
    }
    let (mut whole, _) = a_stream();
    whole.push(0);
    assert!(matches!(decode([&whole[..]]).1, Err(StreamError::Damaged { .. })));
}

#[test]
fn a_later_version_says_so() {
    let (bytes, _) = a_stream();
    let mut later = bytes.clone();
    later[8] = 2;
    assert_eq!(decode([&later[..]]).1.unwrap_err().kind(), ErrorKind::Unsupported);
    let mut feature = bytes;
    feature[12] = 1;
    let crc = crate::record::crc32c(&feature[..20]).to_le_bytes();
    feature[20..24].copy_from_slice(&crc);
    assert_eq!(
        decode([&feature[..]]).1.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn a_sender_that_gives_up_says_why() {
    let (mut encoder, mut bytes) = Encoder::begin(&begin(), 0);
    let why = "ü".repeat(3000);
    bytes.extend(encoder.give_up(&why));
    let (_, result) = decode([&bytes[..]]);
    let Err(StreamError::GivenUp(found)) = result else {
        panic!("{result:?}");
    };
    assert!(why.starts_with(&found) && found.len() == REASON_MAX);
}

#[test]
fn a_token_comes_back_and_no_other_word_does() {
    let mut receiving = Receiving {
        to: moment(12, "tuesday"),
        from: Some(moment(11, "monday")),
        position: 536_870_912,
        since: String::new(),
    };
    for _ in 0..2 {
        let token = receiving.token();
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token));
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            assert_eq!(
                String::from_utf8(other).unwrap().parse::<Token>(),
                Err(TokenError)
            );
            assert_eq!(text[..at].parse::<Token>(), Err(TokenError));
        }
        receiving.from = None;
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 1..300), cut in 0_usize..9000, with in any::<bool>()) {
        let (stream, events) = a_stream();
        let mut found = if with { stream[..cut.min(stream.len())].to_vec() } else { Vec::new() };
        found.extend(&bytes);
        if !stream.starts_with(&found) {
            let (some, result) = decode(found.chunks(100));
            prop_assert!(result.is_err() && events.starts_with(&some));
        }
    }
}
