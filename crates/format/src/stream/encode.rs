//! Writes a stream, header by header: payloads are sent as they are, and not copied.

use super::{
    Begin, DATA_MAX, INCOMPAT, MAGIC, PRELUDE_LEN, REASON_MAX, RECORD_HEADER_LEN, UNIT, VERSION, decode::Kind,
};
use crate::record::crc32c;
use crc_fast::{CrcAlgorithm, Digest};

/// See the module.
#[derive(Debug)]
pub struct Encoder {
    headers: Digest,
    records: u64,
    bytes: u64,
}

/// What a record's header says.
struct Told {
    kind: Kind,
    offset: u64,
    length: u64,
}

impl Encoder {
    /// A stream, and its first bytes. `start` is where it goes on: 0, or where an earlier one broke.
    #[must_use]
    pub fn begin(begin: &Begin, start: u64) -> (Self, Vec<u8>) {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&INCOMPAT.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        debug_assert_eq!(out.len(), PRELUDE_LEN);
        let mut encoder = Self {
            headers: Digest::new(CrcAlgorithm::Crc32Iscsi),
            records: 0,
            bytes: 0,
        };
        encoder.headers.update(&out);
        // Ids, numbers and names always have a JSON.
        let json = serde_json::to_vec(begin).unwrap_or_default();
        let told = Told {
            kind: Kind::Begin,
            offset: start,
            length: begin.size,
        };
        out.extend_from_slice(&encoder.header(&told, &json));
        out.extend_from_slice(&json);
        (encoder, out)
    }

    /// The header of so many bytes, at most [`DATA_MAX`], which follow it.
    pub fn data(&mut self, offset: u64, data: &[u8]) -> [u8; RECORD_HEADER_LEN] {
        debug_assert!(data.len() <= DATA_MAX && (data.len() as u64).is_multiple_of(UNIT));
        self.records += 1;
        self.bytes += data.len() as u64;
        let told = Told {
            kind: Kind::Data,
            offset,
            length: data.len() as u64,
        };
        self.header(&told, data)
    }

    /// A record of zeros.
    pub fn zeros(&mut self, offset: u64, length: u64) -> [u8; RECORD_HEADER_LEN] {
        self.records += 1;
        let told = Told {
            kind: Kind::Zeros,
            offset,
            length,
        };
        self.header(&told, &[])
    }

    /// The end.
    pub fn end(&mut self) -> [u8; RECORD_HEADER_LEN] {
        let told = Told {
            kind: Kind::End,
            offset: self.records,
            length: self.bytes,
        };
        self.header(&told, &[])
    }

    /// The end of a stream that cannot go on.
    pub fn give_up(&mut self, why: &str) -> Vec<u8> {
        let why = &why.as_bytes()[..why.floor_char_boundary(REASON_MAX)];
        let told = Told {
            kind: Kind::GivenUp,
            offset: 0,
            length: 0,
        };
        [&self.header(&told, why), why].concat()
    }

    fn header(&mut self, told: &Told, payload: &[u8]) -> [u8; RECORD_HEADER_LEN] {
        let mut header = [0; RECORD_HEADER_LEN];
        header[0] = told.kind.letter();
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        header[4..8].copy_from_slice(&len.to_le_bytes());
        header[8..16].copy_from_slice(&told.offset.to_le_bytes());
        header[16..24].copy_from_slice(&told.length.to_le_bytes());
        header[24..28].copy_from_slice(&crc32c(payload).to_le_bytes());
        self.headers.update(&header[..28]);
        header[28..].copy_from_slice(&sum(&self.headers).to_le_bytes());
        header
    }
}

/// The CRC so far.
pub(super) fn sum(headers: &Digest) -> u32 {
    u32::try_from(headers.finalize()).unwrap_or(u32::MAX)
}
