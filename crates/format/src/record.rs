//! The frame of a record.
//!
//! ```text
//! restblk 1 volume 231 1c291ca3\n     magic, frame's version, type, bytes of JSON, their CRC32C in hex
//! {"id":"…",…}                        the JSON, as many bytes as announced
//! \n                                  spaces up to 4095 bytes, and a newline: RECORD_LEN in all
//! ```
//! All records have one length, so that replacing one never changes an object's size: on a store that writes
//! in place and cannot replace atomically, one ranged write does it, and the checksum tells a torn one.
//!
//! Unknown fields are ignored. What a reader must not ignore is named in two lists of the JSON: `incompat` (refuse) and
//! `ro_compat` (read, do not write).

use crate::FormatError;
use crc_fast::{CrcAlgorithm, checksum};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Length of every record, in bytes: one block of every disk and file system we know.
pub const RECORD_LEN: usize = 4096;

const MAGIC: &str = "restblk";
const FRAME_VERSION: &str = "1";

/// A type of record.
pub trait Record: Serialize + DeserializeOwned {
    /// The word in the frame.
    const TYPE: &'static str;
    /// Features that this version knows, of either list.
    const FEATURES: &'static [&'static str] = &[];

    /// The record's bytes, [`RECORD_LEN`] of them.
    fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let json = serde_json::to_string(self).map_err(|e| FormatError::Damaged(e.to_string()))?;
        let crc = crc32c(json.as_bytes());
        let mut bytes = format!(
            "{MAGIC} {FRAME_VERSION} {} {} {crc:08x}\n{json}",
            Self::TYPE,
            json.len()
        )
        .into_bytes();
        if bytes.len() >= RECORD_LEN {
            return Err(FormatError::TooLarge(bytes.len()));
        }
        bytes.resize(RECORD_LEN - 1, b' ');
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a record; trailing padding is not looked at.
    fn decode(bytes: &[u8]) -> Result<Decoded<Self>, FormatError> {
        let json = unframe(Self::TYPE, bytes)?;
        let features: Features =
            serde_json::from_slice(json).map_err(|e| FormatError::Damaged(e.to_string()))?;
        let unknown = |names: Vec<String>| -> Vec<String> {
            names
                .into_iter()
                .filter(|name| !Self::FEATURES.contains(&name.as_str()))
                .collect()
        };
        let incompat = unknown(features.incompat);
        if !incompat.is_empty() {
            return Err(FormatError::Incompatible(incompat));
        }
        let record = serde_json::from_slice(json).map_err(|e| FormatError::Damaged(e.to_string()))?;
        Ok(Decoded {
            record,
            read_only_because: unknown(features.ro_compat),
        })
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<R> {
    /// What it says.
    pub record: R,
    /// Features that this version does not know and that forbid it to write; empty is the normal case.
    pub read_only_because: Vec<String>,
}

#[derive(Deserialize)]
struct Features {
    #[serde(default)]
    incompat: Vec<String>,
    #[serde(default)]
    ro_compat: Vec<String>,
}

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(u32::MAX)
}

/// Whether bytes have this checksum; a fuzzer's need not, so that it comes past the check.
pub(crate) fn has_crc32c(bytes: &[u8], crc: u32) -> bool {
    cfg!(fuzzing) || crc32c(bytes) == crc
}

fn unframe<'a>(expected: &'static str, bytes: &'a [u8]) -> Result<&'a [u8], FormatError> {
    let damaged = |what: &str| FormatError::Damaged(what.to_owned());
    let end = bytes
        .iter()
        .take(128)
        .position(|b| *b == b'\n')
        .ok_or(FormatError::NotARecord)?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| FormatError::NotARecord)?;
    let mut words = line.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(FormatError::NotARecord);
    }
    let version = words.next().ok_or(FormatError::NotARecord)?;
    if version != FRAME_VERSION {
        return Err(FormatError::Incompatible(vec![format!("record frame {version}")]));
    }
    let found = words.next().ok_or(FormatError::NotARecord)?;
    if found != expected {
        return Err(FormatError::WrongType {
            expected,
            found: found.to_owned(),
        });
    }
    let len: usize = words
        .next()
        .and_then(|w| w.parse().ok())
        .ok_or_else(|| damaged("its length is no number"))?;
    let crc = words
        .next()
        .and_then(|w| u32::from_str_radix(w, 16).ok())
        .ok_or_else(|| damaged("its checksum is no number"))?;
    let rest = &bytes[end + 1..];
    let json = rest
        .get(..len)
        .ok_or_else(|| damaged(&format!("{} of {len} bytes are there", rest.len())))?;
    if !has_crc32c(json, crc) {
        return Err(damaged("its checksum does not match"));
    }
    Ok(json)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
