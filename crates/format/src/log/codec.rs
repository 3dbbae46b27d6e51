//! How the bytes of a frame are packed.
//!
//! Whatever a volume chose, what does not get at least an eighth shorter is stored as it is, which costs a reader nothing. Zstandard needs no
//! look by LZ4 before it: noise takes it less time than what packs (`examples/codecs.rs` measures both).

use super::FrameError;
use restblk_types::Compression;
use std::cell::RefCell;

/// Zstandard's fastest level but for the negative ones: on frames of 4 to 32 KiB the next ones gain a few percent for half the speed.
const ZSTD_LEVEL: i32 = 1;

/// How a payload is packed. The number is what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    None = 0,
    /// LZ4 block, without a length before it.
    #[default]
    Lz4 = 1,
    /// A Zstandard frame.
    Zstd = 2,
}

impl From<Compression> for Codec {
    fn from(chosen: Compression) -> Self {
        match chosen {
            Compression::None => Self::None,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

thread_local! {
    // Their tables are large, and a frame is small: made once a thread.
    static ZSTD: RefCell<Zstd> = RefCell::new(Zstd::default());
}

#[derive(Default)]
struct Zstd {
    packs: Option<zstd::bulk::Compressor<'static>>,
    unpacks: Option<zstd::bulk::Decompressor<'static>>,
}

/// `None` where it does not fit `to`, or there is no memory for it.
fn zstd_pack(plain: &[u8], to: &mut [u8]) -> Option<usize> {
    ZSTD.with_borrow_mut(|zstd| {
        if zstd.packs.is_none() {
            zstd.packs = Some(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok()?);
        }
        zstd.packs.as_mut()?.compress_to_buffer(plain, to).ok()
    })
}

fn zstd_unpack(packed: &[u8], to: &mut [u8]) -> Option<usize> {
    ZSTD.with_borrow_mut(|zstd| {
        if zstd.unpacks.is_none() {
            zstd.unpacks = Some(zstd::bulk::Decompressor::new().ok()?);
        }
        zstd.unpacks.as_mut()?.decompress_to_buffer(packed, to).ok()
    })
}

impl Codec {
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        [Self::None, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| *codec as u8 == bits)
    }

    /// Appends `plain`, packed, to `out`; returns the codec that it was packed by.
    pub(super) fn pack(self, plain: &[u8], out: &mut Vec<u8>) -> Self {
        let (start, most) = (out.len(), plain.len() - plain.len() / 8);
        let packed = match self {
            Self::None => None,
            Self::Lz4 => {
                out.resize(start + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
                lz4_flex::block::compress_into(plain, &mut out[start..]).ok()
            }
            Self::Zstd => {
                out.resize(start + most, 0);
                zstd_pack(plain, &mut out[start..])
            }
        };
        if let Some(packed) = packed.filter(|packed| *packed <= most) {
            out.truncate(start + packed);
            return self;
        }
        out.truncate(start);
        out.extend_from_slice(plain);
        Self::None
    }

    /// The plain bytes, `len` of them.
    pub(super) fn unpack(self, packed: &[u8], len: usize) -> Result<Vec<u8>, FrameError> {
        let into = |unpack: &dyn Fn(&mut [u8]) -> Option<usize>| {
            let mut plain = vec![0; len];
            let got = unpack(&mut plain).ok_or(FrameError::Unpack)?;
            plain.truncate(got);
            Ok(plain)
        };
        let plain = match self {
            Self::None => packed.to_vec(),
            Self::Lz4 => into(&|plain| lz4_flex::block::decompress_into(packed, plain).ok())?,
            Self::Zstd => into(&|plain| zstd_unpack(packed, plain))?,
        };
        if plain.len() != len {
            return Err(FrameError::Unpack);
        }
        Ok(plain)
    }
}
