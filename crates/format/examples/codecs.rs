//! What packing and encrypting costs: MB/s of each codec, with and without encryption, beside a copy of the same bytes.
//!
//! `cargo run --release -p restblk-format --example codecs [FILE]` takes its data from a file (this program by default), and noise besides.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "an example")]

use restblk_format::log::{
    BLOCK, Codec, DataKey, EntryKind, Frame, FrameKind, Kind, Pointer, SealKey, SegmentBuilder, SegmentNumber,
};
use restblk_types::VolumeId;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// As many blocks as a batch has.
const BLOCKS: usize = 1984;
const EACH: Duration = Duration::from_millis(700);

/// Runs it again and again; MB of plain bytes a second.
fn rate(len: usize, mut work: impl FnMut()) -> f64 {
    work();
    let (begun, mut times) = (Instant::now(), 0_u32);
    while begun.elapsed() < EACH {
        work();
        times += 1;
    }
    len as f64 * f64::from(times) / begun.elapsed().as_secs_f64() / 1e6
}

fn number() -> SegmentNumber {
    SegmentNumber::new(Kind::Log, 1).unwrap()
}

fn encode(
    data: &[u8],
    blocks: usize,
    codec: Codec,
    key: Option<SealKey>,
) -> (Vec<u8>, Vec<(usize, Pointer)>) {
    let mut builder = SegmentBuilder::new(number(), data.len() / BLOCK, codec).sealed(key);
    for (first, plain) in (0..).step_by(blocks).zip(data.chunks(blocks * BLOCK)) {
        builder.push(FrameKind::Data, first, plain).unwrap();
    }
    let (bytes, entries) = builder.finish(VolumeId::from_bytes([1; 16]), 1, 0, [2; 16]);
    let place = |kind| match kind {
        EntryKind::Frame { offset, origin, .. } => Some((offset as usize, origin)),
        EntryKind::Hole => None,
    };
    (
        bytes,
        entries.iter().filter_map(|entry| place(entry.kind)).collect(),
    )
}

fn main() {
    let file = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::current_exe().unwrap(), Into::into);
    let mut data = std::fs::read(file).unwrap();
    let len = BLOCKS * BLOCK;
    data = data.iter().copied().cycle().take(len).collect();
    let mut state = 1_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let noise: Vec<u8> = std::iter::repeat_with(next).take(len).collect();
    let mut to = vec![0; len];
    let copied = rate(len, || black_box(&mut to).copy_from_slice(black_box(&data)));
    println!("copy                                {copied:8.0} MB/s");
    let data_key = DataKey::random();
    let key = |sealed: bool| sealed.then(|| data_key.segment(VolumeId::from_bytes([1; 16]), 1, number()));
    println!("data   frame   codec  sealed  of plain   encode   decode MB/s");
    for (name, data) in [("file", &data), ("noise", &noise)] {
        for blocks in [8, 1] {
            for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
                for sealed in [false, true] {
                    let encoded = rate(len, || drop(black_box(encode(data, blocks, codec, key(sealed)))));
                    let (bytes, frames) = encode(data, blocks, codec, key(sealed));
                    let of = key(sealed);
                    let decoded = rate(len, || {
                        for (offset, origin) in &frames {
                            black_box(Frame::decode(&bytes[*offset..], *origin, of.as_ref()).unwrap());
                        }
                    });
                    let part = bytes.len() as f64 / len as f64;
                    println!(
                        "{name:6} {:2} KiB  {:5}  {:6}  {part:8.2} {encoded:8.0} {decoded:8.0}",
                        blocks * 4,
                        format!("{codec:?}").to_lowercase(),
                        if sealed { "yes" } else { "no" }
                    );
                }
            }
        }
    }
}
