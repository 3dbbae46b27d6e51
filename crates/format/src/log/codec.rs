//! How the bytes of a frame are packed.

use super::FrameError;

/// How a payload is packed. The number is what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    None = 0,
    /// LZ4 block, without a length before it.
    #[default]
    Lz4 = 1,
}

impl Codec {
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }

    /// Appends `plain`, packed, to `out`; returns the codec that it was packed by: what does not get at least an eighth
    /// shorter is stored as it is, which costs a reader nothing.
    pub(super) fn pack(self, plain: &[u8], out: &mut Vec<u8>) -> Self {
        let start = out.len();
        if self == Self::Lz4 {
            out.resize(start + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
            let packed = lz4_flex::block::compress_into(plain, &mut out[start..]).unwrap_or(usize::MAX);
            if packed <= plain.len() - plain.len() / 8 {
                out.truncate(start + packed);
                return Self::Lz4;
            }
            out.truncate(start);
        }
        out.extend_from_slice(plain);
        Self::None
    }

    /// The plain bytes, `len` of them.
    pub(super) fn unpack(self, packed: &[u8], len: usize) -> Result<Vec<u8>, FrameError> {
        let plain = match self {
            Self::None => packed.to_vec(),
            Self::Lz4 => {
                let mut plain = vec![0; len];
                let got =
                    lz4_flex::block::decompress_into(packed, &mut plain).map_err(|_| FrameError::Unpack)?;
                plain.truncate(got);
                plain
            }
        };
        if plain.len() != len {
            return Err(FrameError::Unpack);
        }
        Ok(plain)
    }
}
