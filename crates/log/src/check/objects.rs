//! One segment's object, looked at: by its header and length alone, or with every frame of it.
//!
//! Frames that a collector of another volume moved here from an epoch that we do not know are checked by the checksums of what is stored
//! alone: their key is not known, and nothing of ours reads them.

use super::Problem;
use crate::LogError;
use crate::core::Core;
use crate::frames::Place;
use futures_util::future::join;
use restblk_format::log::{
    Entry, EntryKind, Frame, FrameError, HEADER_LEN, Header, ObjectType, Pointer, SealKey, SegmentNumber,
};
use restblk_types::ErrorKind;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Damaged frames that are told one by one.
const FRAMES_TOLD: usize = 3;

/// Which blocks a segment's frames are of: by where a frame was born, its first block and how many.
pub(super) type Index = HashMap<Pointer, (u64, u32)>;

/// What cannot be read of an object.
#[derive(Clone, Debug)]
pub(super) enum Bad {
    Whole,
    /// Its header or its index; frames that have not been moved there are found without.
    Index,
    Frames(HashSet<Pointer>),
}

/// What was seen of an object.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    pub(super) trouble: Vec<(Problem, String)>,
    pub(super) bad: Option<Bad>,
    pub(super) index: Option<Arc<Index>>,
}

impl Seen {
    fn whole(problem: Problem, why: impl ToString) -> Self {
        Self {
            trouble: vec![(problem, why.to_string())],
            bad: Some(Bad::Whole),
            ..Self::default()
        }
    }

    fn index(why: impl ToString) -> Self {
        Self {
            bad: Some(Bad::Index),
            ..Self::whole(Problem::Damaged, why)
        }
    }
}

/// Where a segment's object should be, and what it should say of itself.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) number: SegmentNumber,
    pub(super) epoch: u32,
    pub(super) sequence: u32,
}

/// Looks at an object. Errors are those of the store's service alone.
pub(super) async fn look(core: &Core, wanted: &Wanted, deep: bool) -> Result<Seen, LogError> {
    if deep {
        return look_deep(core, wanted).await;
    }
    let Place { key, shelf, .. } = &wanted.place;
    let (len, start) = join(shelf.len(key), shelf.range(key, 0, HEADER_LEN as u64)).await;
    let Some(len) = len? else {
        return Ok(Seen::whole(Problem::Missing, "it is not on the store"));
    };
    let start = match start {
        Ok(Some(start)) => start,
        Ok(None) => return Ok(Seen::whole(Problem::Missing, "it is not on the store")),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            let why = format!("it has {len} bytes, fewer than its header");
            return Ok(Seen::whole(Problem::Length, why));
        }
        Err(error) => return Err(error),
    };
    Ok(check_header(wanted, &start, len).err().unwrap_or_default())
}

fn check_header(wanted: &Wanted, start: &[u8], len: u64) -> Result<(), Seen> {
    let told = Header::peek_with_len(start);
    let (header, should) = told.map_err(Seen::index)?;
    if header.volume != wanted.place.shelf.volume {
        let why = format!("it is an object of the volume {}", header.volume);
        return Err(Seen::whole(Problem::Foreign, why));
    }
    let as_it_should = header.object == ObjectType::Segment
        && header.segment == Some(wanted.number)
        && (header.epoch, header.sequence) == (wanted.epoch, wanted.sequence);
    if !as_it_should {
        let says = match header.segment {
            Some(segment) => format!("{segment}, epoch {}, sequence {}", header.epoch, header.sequence),
            None => "a tombstone, or no segment".to_owned(),
        };
        let why = format!(
            "it says that it is {says}, and should be {}, epoch {}, sequence {}",
            wanted.number, wanted.epoch, wanted.sequence
        );
        return Err(Seen::whole(Problem::Misplaced, why));
    }
    if len != should {
        let why = format!("it has {len} bytes, and should have {should}");
        // Frames that are there still can be read.
        let bad = if len < should { Some(Bad::Whole) } else { None };
        return Err(Seen {
            bad,
            ..Seen::whole(Problem::Length, why)
        });
    }
    Ok(())
}

async fn look_deep(core: &Core, wanted: &Wanted) -> Result<Seen, LogError> {
    let Some(bytes) = wanted.place.shelf.whole(&wanted.place.key).await? else {
        return Ok(Seen::whole(Problem::Missing, "it is not on the store"));
    };
    let len = bytes.len() as u64;
    let mut seen = check_header(wanted, &bytes, len).err().unwrap_or_default();
    seen.bytes = len;
    let only_length = seen
        .trouble
        .iter()
        .all(|(problem, _)| *problem == Problem::Length);
    if !only_length {
        return Ok(seen);
    }
    let shelf = &wanted.place.shelf;
    let head = match shelf.read_index(&wanted.place.key, &bytes) {
        Ok(head) => head,
        Err(error) => {
            seen.trouble.push((Problem::Damaged, error.to_string()));
            seen.bad = Some(Bad::Index);
            return Ok(seen);
        }
    };
    let mut bad = HashSet::new();
    let mut told = Vec::new();
    let mut index = Index::with_capacity(head.entries.len());
    let mut openers = HashMap::new();
    for entry in &head.entries {
        let EntryKind::Frame { origin, .. } = entry.kind else {
            continue;
        };
        index.insert(origin, (entry.first, entry.count));
        let born = origin.segment();
        let opener = openers
            .entry(born)
            .or_insert_with(|| core.opener(shelf.volume, born));
        if let Err(why) = frame(&bytes, entry, wanted.number, opener.as_ref()) {
            if told.len() < FRAMES_TOLD {
                told.push(format!("{origin}: {why}"));
            }
            bad.insert(origin);
        }
    }
    if !bad.is_empty() {
        let more = if bad.len() > told.len() { ", …" } else { "" };
        let why = format!(
            "{} of {} frames are damaged: {}{more}",
            bad.len(),
            head.entries.len(),
            told.join(", ")
        );
        seen.trouble.push((Problem::Frame, why));
    }
    seen.bad = (!bad.is_empty()).then_some(Bad::Frames(bad));
    seen.index = Some(Arc::new(index));
    Ok(seen)
}

/// Checks one frame against its line of the index: what is stored, then what it unpacks to.
fn frame(
    object: &[u8],
    entry: &Entry,
    number: SegmentNumber,
    opener: Option<&Option<SealKey>>,
) -> Result<(), String> {
    let EntryKind::Frame {
        kind,
        origin,
        offset,
        len,
    } = entry.kind
    else {
        return Ok(());
    };
    let range = offset as usize..offset as usize + len as usize;
    let stored = object.get(range).ok_or_else(|| FrameError::Short.to_string())?;
    let found = Frame::check_stored(stored, origin).map_err(|error| error.to_string())?;
    if (found.kind, found.first, found.blocks, found.len) != (kind, entry.first, entry.count, stored.len()) {
        return Err("the index says something else of it".to_owned());
    }
    if origin.segment() == number {
        if origin.offset() != offset || origin.len() < len {
            return Err("it is not where its address says".to_owned());
        }
        // It is read as long as its address says.
        if (origin.offset() + origin.len()) as usize > object.len() {
            return Err(FrameError::Short.to_string());
        }
    }
    let Some(key) = opener else { return Ok(()) };
    Frame::decode(stored, origin, key.as_ref())
        .map(drop)
        .map_err(|error| error.to_string())
}
