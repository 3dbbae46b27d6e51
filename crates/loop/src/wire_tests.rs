//! Tests of the FUSE protocol's bytes.

use super::*;

fn request(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER_LEN + body.len()).unwrap();
    Encoder::default()
        .u32(len)
        .u32(opcode)
        .u64(99)
        .u64(node)
        .zeros(16)
        .bytes(body)
        .0
}

#[test]
fn replies_have_the_lengths_of_the_kernels_structs() {
    let attributes = Attributes {
        node: 2,
        size: 4096,
        is_file: true,
        block_size: 512,
    };
    assert_eq!(attributes.entry().len(), 128);
    assert_eq!(attributes.attributes().len(), 104);
    assert_eq!(
        (opened().len(), written(1).len(), statistics(0, 512).len()),
        (16, 8, 80)
    );
    let init = Request::Init {
        major: 7,
        minor: 45,
        readahead_max: 1 << 30,
        flags: u64::MAX,
    };
    assert_eq!(negotiate(&init, 128).unwrap().reply.len(), 64);
}

#[test]
fn a_write_names_its_data() {
    let body = Encoder::default()
        .u64(0)
        .u64(8192)
        .u32(3)
        .zeros(20)
        .bytes(b"abc")
        .0;
    let bytes = request(16, 2, &body);
    let (unique, parsed) = parse(&bytes).unwrap();
    let Request::Write { offset: 8192, data } = parsed else {
        panic!("{parsed:?}")
    };
    assert_eq!((unique, &bytes[data]), (99, &b"abc"[..]));
}

#[test]
fn what_is_cut_short_or_lies_about_its_length_is_refused() {
    let whole = request(
        16,
        2,
        &Encoder::default().u64(0).u64(0).u32(3).zeros(20).bytes(b"abc").0,
    );
    for len in 0..whole.len() {
        assert_eq!(parse(&whole[..len]), None);
    }
    let body = Encoder::default()
        .u64(0)
        .u64(0)
        .u32(u32::MAX)
        .zeros(20)
        .bytes(b"abc")
        .0;
    assert_eq!(
        parse(&request(16, 2, &body)),
        None,
        "more data announced than there are"
    );
    for opcode in [15, 26, 43] {
        assert_eq!(parse(&request(opcode, 2, &[0; 4])), None, "opcode {opcode}");
    }
}

#[test]
fn only_what_both_sides_know_is_agreed() {
    let init = |minor, flags| Request::Init {
        major: 7,
        minor,
        readahead_max: 4096,
        flags,
    };
    assert!(!negotiate(&init(38, WANTED & !HAS_RESEND), 1).unwrap().resend);
    assert!(negotiate(&init(40, WANTED), 1).unwrap().resend);
    let reply = negotiate(&init(40, ASYNC_DIO | 1 << 1), 1).unwrap().reply;
    assert_eq!(u32_at(&reply, 12), Some(low_half(ASYNC_DIO)));
    assert_eq!(negotiate(&init(30, WANTED), 1), None);
}

#[test]
fn the_length_of_an_old_init_is_enough() {
    let body = Encoder::default()
        .u32(7)
        .u32(35)
        .u32(4096)
        .u32(low_half(ASYNC_DIO))
        .0;
    let expected = Request::Init {
        major: 7,
        minor: 35,
        readahead_max: 4096,
        flags: ASYNC_DIO,
    };
    assert_eq!(parse(&request(26, 0, &body)), Some((99, expected)));
}
