//! Reads a stream as its bytes come, in whatever pieces.
//!
//! Nothing is given out before its checksums were compared. Of bytes that are no stream, no more than one record is ever kept.

use super::encode::sum;
use super::{
    BEGIN_MAX, Begin, DATA_MAX, INCOMPAT, MAGIC, PRELUDE_LEN, REASON_MAX, RECORD_HEADER_LEN, StreamError,
    UNIT, VERSION,
};
use crate::record::crc32c;
use crc_fast::{CrcAlgorithm, Digest};
use std::ops::Range;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    Data,
    Zeros,
    End,
    GivenUp,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Begin, Self::Data, Self::Zeros, Self::End, Self::GivenUp];

    pub(super) const fn letter(self) -> u8 {
        match self {
            Self::Begin => b'B',
            Self::Data => b'D',
            Self::Zeros => b'Z',
            Self::End => b'E',
            Self::GivenUp => b'X',
        }
    }

    /// Bytes that a payload can have.
    const fn payload_max(self) -> usize {
        match self {
            Self::Begin => BEGIN_MAX,
            Self::Data => DATA_MAX,
            Self::Zeros | Self::End => 0,
            Self::GivenUp => REASON_MAX,
        }
    }
}

/// What comes next in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What it has, and from which byte of the volume on.
    Begin {
        /// The snapshot.
        begin: Box<Begin>,
        /// All that follows lies behind it.
        start: u64,
    },
    /// Bytes of the volume.
    Data {
        /// Of the first one.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Bytes that are zero.
    Zeros {
        /// Of the first one.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// All was there.
    End,
}

/// A record's header that was read and believed.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    payload: usize,
    offset: u64,
    length: u64,
    crc: u32,
}

#[derive(Debug)]
enum Phase {
    Prelude,
    Header,
    Payload(Header),
    Ended,
}

/// See the module. Push bytes, then take events until there is none, so that little is kept.
#[derive(Debug)]
pub struct Decoder {
    pending: Vec<u8>,
    /// Bytes of `pending` that were read.
    read: usize,
    /// Bytes of the stream that were read.
    at: u64,
    phase: Phase,
    headers: Digest,
    /// Bytes of the volume, once it is known.
    size: Option<u64>,
    /// Where the next record may begin.
    position: u64,
    records: u64,
    bytes: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            read: 0,
            at: 0,
            phase: Phase::Prelude,
            headers: Digest::new(CrcAlgorithm::Crc32Iscsi),
            size: None,
            position: 0,
            records: 0,
            bytes: 0,
        }
    }
}

impl Decoder {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..std::mem::take(&mut self.read));
        self.pending.extend_from_slice(bytes);
    }

    /// The volume's byte up to which everything was told.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the volume that were in the stream so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next event; none until more was pushed.
    pub fn next_event(&mut self) -> Result<Option<Event>, StreamError> {
        loop {
            match self.phase {
                Phase::Prelude => {
                    // What is no stream is told by its first bytes, not when there are enough of them.
                    if !self.rest().iter().zip(MAGIC).all(|(is, wanted)| *is == wanted) {
                        return Err(StreamError::NotAStream);
                    }
                    let Some(prelude) = self.take::<PRELUDE_LEN>() else {
                        return Ok(None);
                    };
                    check_prelude(&prelude)?;
                    self.headers.update(&prelude);
                    self.phase = Phase::Header;
                }
                Phase::Header => {
                    let Some(header) = self.take::<RECORD_HEADER_LEN>() else {
                        return Ok(None);
                    };
                    self.phase = Phase::Payload(self.header(&header)?);
                }
                Phase::Payload(header) => {
                    let Some(payload) = self.rest().get(..header.payload) else {
                        return Ok(None);
                    };
                    let payload = payload.to_vec();
                    return self.payload(header, payload).map(Some);
                }
                Phase::Ended if self.rest().is_empty() => return Ok(None),
                Phase::Ended => return Err(damaged(self.at, "there is more after its end")),
            }
        }
    }

    /// Whether all was there; asked when nothing more comes.
    pub fn finish(&self) -> Result<(), StreamError> {
        match self.phase {
            Phase::Ended => Ok(()),
            Phase::Prelude if self.rest().is_empty() => Err(StreamError::NotAStream),
            _ => Err(StreamError::Cut {
                at: self.at + self.rest().len() as u64,
            }),
        }
    }

    /// What was pushed and not read.
    fn rest(&self) -> &[u8] {
        self.pending.get(self.read..).unwrap_or_default()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.rest().first_chunk::<N>()?;
        self.skip(N);
        Some(taken)
    }

    fn skip(&mut self, bytes: usize) {
        self.read += bytes;
        self.at += bytes as u64;
    }

    /// Reads a header, and believes it.
    fn header(&mut self, raw: &[u8; RECORD_HEADER_LEN]) -> Result<Header, StreamError> {
        let at = self.at - RECORD_HEADER_LEN as u64;
        self.headers.update(&raw[..28]);
        if sum(&self.headers) != word(raw, 28..32) {
            return Err(damaged(
                at,
                "a record's checksum does not match, or one before it is missing",
            ));
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.letter() == raw[0]);
        let Some(kind) = kind.filter(|_| raw[1..4] == [0; 3]) else {
            let what = format!("records of kind {}", raw[..4].escape_ascii());
            return Err(StreamError::Incompatible(what));
        };
        let header = Header {
            kind,
            payload: usize::try_from(word(raw, 4..8)).unwrap_or(usize::MAX),
            offset: long(raw, 8..16),
            length: long(raw, 16..24),
            crc: word(raw, 24..28),
        };
        self.check(&header).map_err(|why| damaged(at, why))?;
        Ok(header)
    }

    /// What is wrong with a header that was written so.
    fn check(&self, header: &Header) -> Result<(), &'static str> {
        if header.payload > header.kind.payload_max() {
            return Err("a record is longer than one can be");
        }
        match (header.kind, self.size) {
            (Kind::Begin, None) => {
                if header.length == 0 || !header.length.is_multiple_of(UNIT) {
                    return Err("the volume's size is no multiple of 4096");
                }
                if header.offset > header.length || !header.offset.is_multiple_of(UNIT) {
                    return Err("it goes on from where the volume has no block");
                }
            }
            (Kind::Begin, Some(_)) => return Err("it begins twice"),
            (_, None) => return Err("it does not say what it has"),
            (Kind::Data | Kind::Zeros, Some(size)) => {
                let end = header.offset.checked_add(header.length);
                let fits = end.is_some_and(|end| end <= size) && header.length > 0;
                if !fits || !header.offset.is_multiple_of(UNIT) || !header.length.is_multiple_of(UNIT) {
                    return Err("a record lies outside the volume, or between its blocks");
                }
                if header.offset < self.position {
                    return Err("records are not in order");
                }
                if header.kind == Kind::Data && header.payload as u64 != header.length {
                    return Err("a record has fewer bytes than it says");
                }
            }
            (Kind::End, Some(_)) => {
                if (header.offset, header.length) != (self.records, self.bytes) {
                    return Err("its end counts other records than there were");
                }
            }
            (Kind::GivenUp, Some(_)) => {}
        }
        Ok(())
    }

    fn payload(&mut self, header: Header, payload: Vec<u8>) -> Result<Event, StreamError> {
        let at = self.at;
        self.skip(payload.len());
        if crc32c(&payload) != header.crc {
            return Err(damaged(at, "a record's bytes do not match their checksum"));
        }
        let Header { offset, length, .. } = header;
        self.phase = Phase::Header;
        let event = match header.kind {
            Kind::Begin => {
                let begin: Begin =
                    serde_json::from_slice(&payload).map_err(|error| damaged(at, error.to_string()))?;
                if begin.size != length {
                    return Err(damaged(at, "it tells two sizes of the volume"));
                }
                (self.size, self.position) = (Some(length), offset);
                let begin = Box::new(begin);
                return Ok(Event::Begin { begin, start: offset });
            }
            Kind::Data => Event::Data {
                offset,
                data: payload,
            },
            Kind::Zeros => Event::Zeros { offset, length },
            Kind::End => {
                self.phase = Phase::Ended;
                self.position = self.size.unwrap_or(0);
                return Ok(Event::End);
            }
            Kind::GivenUp => {
                let why = String::from_utf8_lossy(&payload).into_owned();
                return Err(StreamError::GivenUp(why));
            }
        };
        self.records += 1;
        self.bytes += header.payload as u64;
        self.position = offset + length;
        Ok(event)
    }
}

fn check_prelude(prelude: &[u8; PRELUDE_LEN]) -> Result<(), StreamError> {
    let version = u16::from_le_bytes([prelude[8], prelude[9]]);
    if version != VERSION {
        return Err(StreamError::Incompatible(format!(
            "version {version} of its format"
        )));
    }
    if crc32c(&prelude[..20]) != word(prelude, 20..24) {
        return Err(damaged(0, "its first bytes do not match their checksum"));
    }
    let unknown = word(prelude, 12..16) & !INCOMPAT;
    if unknown != 0 {
        return Err(StreamError::Incompatible(format!("the features {unknown:#x}")));
    }
    Ok(())
}

fn word(bytes: &[u8], at: Range<usize>) -> u32 {
    let bytes = bytes.get(at).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn long(bytes: &[u8], at: Range<usize>) -> u64 {
    let bytes = bytes.get(at).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn damaged(at: u64, why: impl Into<String>) -> StreamError {
    StreamError::Damaged { at, why: why.into() }
}
