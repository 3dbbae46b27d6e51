//! Garbage collection: what lives in mostly dead segments is moved together into new ones, and the old ones go.
//!
//! A moved frame keeps its address, so the map is not touched: the table's line of each segment tells where its frames
//! are now, all of them in one object. A block that dies while its frame is on the way is counted like any other.
//!
//! Done by the task that changes the trees, and committed by its next head; the objects go with the head after that.

use crate::LogError;
use crate::checkpoint::{checkpoint, held};
use crate::core::{Core, Which};
use crate::defect::Defect;
use crate::frames::Place;
use crate::table::{Held, Line, is_held};
use crate::tree::page_of_id;
use crate::upload::store;
use bytes::Bytes;
use restblk_format::log::{
    BLOCK, Codec, Entry, EntryKind, FRAME_ROOM, FrameKind, Kind, Pointer, SegmentBuilder, SegmentNumber,
};
use restblk_types::ErrorKind;
use std::collections::hash_map::Entry::Vacant;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Lines of a segment of moved frames.
const LINES: usize = 8192;

/// Segments emptied in one go: the reads and writes of a go are bounded by it, and so is its stall. The task that has the trees counts on
/// its being twice what it lets others write meanwhile.
const AT_ONCE: usize = 16;

/// A segment less of which lives than this part is worth moving.
const LIVE_MAX: f64 = 0.5;

/// What a go came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    /// Segments that were emptied.
    pub(crate) emptied: u64,
    /// Segments that there were before.
    pub(crate) objects: usize,
}

/// Right after a checkpoint: a go, where more of what is on the store is dead than the options allow.
pub(crate) async fn sweep_if_due(core: &Core) -> Result<Swept, LogError> {
    let Objects {
        objects,
        live,
        total,
        worth,
    } = objects(core).await?;
    let is_due = total > 0 && (live as f64) < total as f64 * core.options.live_min;
    let emptied = if is_due { sweep(core, worth).await? } else { 0 };
    Ok(Swept { emptied, objects })
}

/// What is an object of its own now: nothing that was moved.
#[derive(Debug, Default)]
struct Objects {
    objects: usize,
    /// Blocks.
    live: u64,
    total: u64,
    /// Those that are most worth moving, [`AT_ONCE`] of them, with the part that lives.
    worth: Vec<(SegmentNumber, f64)>,
}

/// Looks at the whole table, a chunk after the other, so that it takes no memory.
async fn objects(core: &Core) -> Result<Objects, LogError> {
    let mut found = Objects::default();
    for kind in Kind::ALL {
        for chunk in core.chunks(kind) {
            for (segment, line) in core.lines(chunk).await? {
                if line.moved.is_none() && line.total > 0 {
                    found.add(segment, &line);
                }
            }
            found.keep_best();
        }
    }
    Ok(found)
}

impl Objects {
    fn add(&mut self, segment: SegmentNumber, line: &Line) {
        self.objects += 1;
        self.live += u64::from(line.live);
        self.total += u64::from(line.total);
        let part = f64::from(line.live) / f64::from(line.total);
        if line.live > 0 && part < LIVE_MAX {
            self.worth.push((segment, part));
        }
    }

    fn keep_best(&mut self) {
        self.worth.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        self.worth.truncate(AT_ONCE);
    }
}

/// Empties the segments that are worth it, a bounded number of them; answers how many.
pub(crate) async fn collect(core: &Core) -> Result<u64, LogError> {
    // Lists are complete as of a checkpoint.
    checkpoint(core, |_| {}).await?;
    let found = objects(core).await?;
    sweep(core, found.worth).await
}

/// A go over these.
async fn sweep(core: &Core, worth: Vec<(SegmentNumber, f64)>) -> Result<u64, LogError> {
    if worth.is_empty() {
        return Ok(0);
    }
    let mut mover = Mover::new(core)?;
    let mut emptied = 0;
    for (segment, _) in &worth {
        match mover.empty(*segment).await {
            Ok(()) => emptied += 1,
            // What cannot be read stays where it is; all else goes on.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%segment, %error, "garbage is not collected of a segment that is damaged: see restblk check");
            }
            Err(error) => return Err(error),
        }
    }
    mover.finish().await?;
    checkpoint(core, |_| {}).await?;
    Ok(emptied)
}

/// A frame that goes elsewhere.
enum Moving {
    /// As it is stored.
    Stored(Bytes),
    /// With zeros for what is dead of it.
    Thinned(Vec<u8>),
}

/// Frames that go together: all that live of one segment, by where they were born, and their live blocks.
type Group = (SegmentNumber, Vec<(Entry, Moving)>, u32);

fn thin(stored: Bytes, place: &Place, origin: Pointer, dead: &[u32]) -> Result<Moving, LogError> {
    if dead.is_empty() {
        return Ok(Moving::Stored(stored));
    }
    let opened = place.open([(origin, &stored[..])])?.pop();
    let mut frame = opened.ok_or_else(|| LogError::bug(format!("open the frame of {origin}")))?;
    for at in dead {
        frame.plain[*at as usize * BLOCK..][..BLOCK].fill(0);
    }
    Ok(Moving::Thinned(frame.plain))
}

struct Mover<'a> {
    core: &'a Core,
    sequence: u32,
    builder: SegmentBuilder,
    /// What was moved into it, with live blocks.
    moved: Vec<(SegmentNumber, u32)>,
    gone: Vec<SegmentNumber>,
}

impl<'a> Mover<'a> {
    fn new(core: &'a Core) -> Result<Self, LogError> {
        let state = core.state();
        let sequence = state.head.gc_next;
        let number = state.number(Kind::Gc, sequence)?;
        drop(state);
        Ok(Self {
            core,
            sequence,
            builder: core.begin(number, LINES, Codec::Lz4),
            moved: Vec::new(),
            gone: Vec::new(),
        })
    }

    /// Moves what lives out of one object.
    async fn empty(&mut self, object: SegmentNumber) -> Result<(), LogError> {
        let place = self.core.born_at(object)?;
        for group in self.groups(object, &place).await? {
            self.take(group).await?;
        }
        self.gone.push(object);
        Ok(())
    }

    /// What lives in an object, by where it was born.
    async fn groups(&self, object: SegmentNumber, place: &Place) -> Result<Vec<Group>, LogError> {
        let lost = || LogError::corrupt(&place.key, "it is not on the store");
        let bytes = place.shelf.whole(&place.key).await?.ok_or_else(lost)?;
        let head = place.shelf.read_index(&place.key, &bytes)?;
        if head.header.segment != Some(object) || bytes.len() != head.object_len as usize {
            return Err(LogError::corrupt(
                &place.key,
                "it is not the segment that it should be, or cut off",
            ));
        }
        let mut lists = HashMap::new();
        let mut groups: BTreeMap<SegmentNumber, Group> = BTreeMap::new();
        for entry in head.entries {
            let EntryKind::Frame {
                origin, offset, len, ..
            } = entry.kind
            else {
                continue;
            };
            let born = origin.segment();
            if let Vacant(place) = lists.entry(born) {
                place.insert(self.held(born).await?);
            }
            let dead = self.dead(&entry, &lists[&born]).await?;
            let live = entry.count - u32::try_from(dead.len()).unwrap_or(entry.count);
            if live > 0 {
                let stored = bytes.slice(offset as usize..(offset + len) as usize);
                let group = groups.entry(born).or_insert_with(|| (born, Vec::new(), 0));
                let place = Place {
                    key: place.key.clone(),
                    ..self.core.born_at(born)?
                };
                group.1.push((entry, thin(stored, &place, origin, &dead)?));
                group.2 += live;
            }
        }
        Ok(groups.into_values().collect())
    }

    async fn held(&self, segment: SegmentNumber) -> Result<HashSet<u32>, LogError> {
        let line = self.core.line(segment).await?;
        let list = match line.held {
            Some(_) if Defect::CollectedWithoutLists.is_made() => Vec::new(),
            Some(at) => held(self.core, segment, at).await?,
            None => Vec::new(),
        };
        let cuts = self.core.state().cuts(segment.kind());
        let alive = |held: &Held| is_held(&cuts, segment.number(), held.died);
        Ok(list.into_iter().filter(alive).map(|held| held.block).collect())
    }

    /// The blocks of a frame that neither the volume nor a snapshot can reach.
    async fn dead(&self, entry: &Entry, held: &HashSet<u32>) -> Result<Vec<u32>, LogError> {
        let EntryKind::Frame { kind, .. } = entry.kind else {
            return Ok(Vec::new());
        };
        let mut dead = Vec::new();
        for at in 0..entry.count {
            let Some(pointer) = entry.pointer(at) else {
                continue;
            };
            let reached = match kind {
                FrameKind::Data => {
                    let block = entry.first + u64::from(at);
                    let bits = self.core.with(Which::Map, |state| state.map.get(block)).await?;
                    bits == pointer.to_bits()
                }
                FrameKind::Page => {
                    let (level, first) = page_of_id(entry.first);
                    let stored = self
                        .core
                        .with(Which::Map, |state| state.map.stored_page(level, first))
                        .await?;
                    stored == Some(pointer)
                }
                // Books are not collected.
                FrameKind::List => false,
            };
            let reached = reached && !Defect::CollectedWithoutMap.is_made();
            if !reached && !held.contains(&pointer.low()) {
                dead.push(at);
            }
        }
        Ok(dead)
    }

    async fn take(&mut self, (born, frames, live): Group) -> Result<(), LogError> {
        let room = |moving: &Moving| match moving {
            Moving::Stored(stored) => stored.len(),
            Moving::Thinned(plain) => plain.len() + FRAME_ROOM,
        };
        let len: usize = frames
            .iter()
            .map(|(_, moving)| room(moving) + Pointer::PLACE_UNIT as usize)
            .sum();
        if self.builder.entries().len() + frames.len() > LINES
            || self.builder.len() + len > restblk_format::log::SEGMENT_LEN_MAX
        {
            self.finish().await?;
        }
        let key = self.core.born_at(born)?.seal_key(born);
        for (entry, moving) in &frames {
            let fits = match moving {
                Moving::Stored(stored) => self.builder.push_moved(entry, stored),
                Moving::Thinned(plain) => Ok(self.builder.push_thinned(entry, plain, key.as_ref())),
            };
            let fits = fits.map_err(|error| LogError::corrupt(born, error))?;
            if !fits {
                return Err(LogError::bug(format!(
                    "move the frames of {born}: they do not fit a segment"
                )));
            }
        }
        self.moved.push((born, live));
        Ok(())
    }

    /// Uploads what was moved, and writes down where it is.
    async fn finish(&mut self) -> Result<(), LogError> {
        let number = self.builder.number();
        if !self.builder.is_empty() {
            let next = SegmentNumber::new(Kind::Gc, number.number() + 1)
                .ok_or_else(|| LogError::bug("move frames: the volume has used all its gc numbers"))?;
            let core = self.core;
            let full = std::mem::replace(&mut self.builder, core.begin(next, LINES, Codec::Lz4));
            store(core, full, self.sequence).await?;
            self.sequence += 1;
            core.state().head.gc_next = self.sequence;
        }
        self.note(number).await
    }

    async fn note(&mut self, to: SegmentNumber) -> Result<(), LogError> {
        let blocks: u32 = self.moved.iter().map(|(_, live)| live).sum();
        let most = |blocks: u32| u16::try_from(blocks).unwrap_or(u16::MAX);
        if blocks > 0 {
            let line = Line {
                live: most(blocks),
                total: most(blocks),
                ..Line::default()
            };
            self.core.set_line(to, line).await?;
        }
        for (born, live) in std::mem::take(&mut self.moved) {
            let mut line = self.core.line(born).await?;
            line.live = most(live);
            line.moved = Some(to);
            self.core.set_line(born, line).await?;
        }
        for object in std::mem::take(&mut self.gone) {
            // Where nothing of it lived after all, its line still says that it is an object.
            let line = self.core.line(object).await?;
            if line.moved.is_none() {
                self.core.set_line(object, Line::default()).await?;
            }
            self.core.state().emptied.push(object);
        }
        Ok(())
    }
}
