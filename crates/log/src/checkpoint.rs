//! A checkpoint: the map and the segment table go to the store, and a head that names them.
//!
//! Done by the one task that also puts segments into the map, so nothing changes the trees meanwhile.
//!
//! 1. the dirty pages of the map are packed into map segments, the lower ones first;
//! 2. the table's lines are brought up to date: what was born, what died, what snapshots hold;
//! 3. lists and dirty pages of the table (the *books*) are packed into map segments of their own, counted in the head itself;
//! 4. all of them are uploaded at once, then the head;
//! 5. what nothing reaches any more is removed, once the head that says so is there.
//!
//! A crash before 4 has ended leaves objects that no head names; nothing else.

use crate::LogError;
use crate::core::Core;
use crate::defect::Defect;
use crate::shelf::Series;
use crate::state::State;
use crate::table::{self, Held, Line};
use crate::upload::{create, store};
use bytes::Bytes;
use futures_util::future::try_join_all;
use restblk_format::log::{
    Codec, FrameKind, Kind, PAGE_LEN, Pointer, SEGMENT_BLOCKS_MAX, SegmentBuilder, SegmentNumber,
};
use std::collections::{BTreeMap, BTreeSet};

/// The map segments of one checkpoint.
pub(crate) struct Writer<'a> {
    core: &'a Core,
    number: SegmentNumber,
    sequence: u32,
    builder: SegmentBuilder,
    done: Vec<(u32, SegmentBuilder)>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(core: &'a Core, number: SegmentNumber, sequence: u32) -> Self {
        Self {
            core,
            number,
            sequence,
            builder: core.begin(number, SEGMENT_BLOCKS_MAX, Codec::Lz4),
            done: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, kind: FrameKind, first: u64, plain: &[u8]) -> Pointer {
        loop {
            if let Some(pointer) = self.builder.push(kind, first, plain) {
                return pointer;
            }
            self.next();
        }
    }

    /// Ends the segment that is being filled.
    fn next(&mut self) {
        self.sequence += 1;
        let number = SegmentNumber::new(Kind::Map, self.number.number() + 1);
        // 2^30 map segments are more than 2^41 pages.
        self.number = number.unwrap_or(self.number);
        let next = self.core.begin(self.number, SEGMENT_BLOCKS_MAX, Codec::Lz4);
        let full = std::mem::replace(&mut self.builder, next);
        self.done.push((self.sequence - 1, full));
    }

    fn cut(&mut self) {
        if !self.builder.is_empty() {
            self.next();
        }
    }

    /// The next sequence, and all that were filled, with theirs.
    pub(crate) fn end(mut self) -> (u32, Vec<(u32, SegmentBuilder)>) {
        self.cut();
        (self.sequence, self.done)
    }
}

/// Writes a checkpoint. `change` makes the head's own changes (a snapshot, a size), on what the last segment left.
pub(crate) async fn checkpoint(core: &Core, change: impl FnOnce(&mut State)) -> Result<(), LogError> {
    core.alive()?;
    // 1
    let (mut writer, map_segments) = {
        let mut state = core.state();
        let state = &mut *state;
        let sequence = state.head.map_next;
        let mut writer = Writer::new(core, state.number(Kind::Map, sequence)?, sequence);
        let mut retired = Vec::new();
        let put = &mut |id, page: &[u8; PAGE_LEN]| writer.put(FrameKind::Page, id, page);
        state.head.map = state.map.flush(put, &mut |pointer| retired.push(pointer));
        let died = writer.number.number();
        for pointer in retired {
            state.die(pointer.to_bits(), died);
        }
        writer.cut();
        let frames = |builder: &SegmentBuilder| u32::try_from(builder.entries().len()).unwrap_or(u32::MAX);
        let segments: Vec<_> = writer
            .done
            .iter()
            .map(|(_, builder)| (builder.number(), frames(builder)))
            .collect();
        (writer, segments)
    };
    // 2
    let (mut born, died, held, mut gone) = {
        let mut state = core.state();
        let state = &mut *state;
        let (born, died) = (std::mem::take(&mut state.born), std::mem::take(&mut state.died));
        (
            born,
            died,
            std::mem::take(&mut state.held),
            std::mem::take(&mut state.emptied),
        )
    };
    born.extend(map_segments);
    for (segment, blocks) in born {
        let mut line = core.line(segment).await?;
        line.total = u16::try_from(blocks).unwrap_or(u16::MAX);
        line.live = line.total;
        core.set_line(segment, line).await?;
        if blocks == 0 {
            gone.push(segment);
        }
    }
    let died: BTreeMap<_, _> = died.into_iter().collect();
    for (segment, blocks) in died {
        bury(core, segment, blocks, &mut gone).await?;
    }
    // 3
    let lists = lists(core, held).await?;
    let books = {
        let mut state = core.state();
        let state = &mut *state;
        let mut retired = std::mem::take(&mut state.retired_books);
        for (segment, list, before) in lists {
            retired.extend(before);
            let pointer = writer.put(
                FrameKind::List,
                segment.to_bits().into(),
                &table::encode_held(&list),
            );
            let mut line = table::line(&state.table, segment).unwrap_or_default();
            line.held = Some(pointer);
            // The page is in memory: `lists` has read its line.
            let _ = table::set_line(&mut state.table, segment, line);
        }
        let put = &mut |id, page: &[u8; PAGE_LEN]| writer.put(FrameKind::Page, id, page);
        state.head.segments = state.table.flush(put, &mut |pointer| retired.push(pointer));
        let first_book = writer.done.len();
        writer.cut();
        for (_, builder) in &writer.done[first_book..] {
            let frames = u32::try_from(builder.entries().len()).unwrap_or(u32::MAX);
            state.head.books.insert(builder.number().to_bits(), frames);
        }
        for pointer in retired {
            let bits = pointer.segment().to_bits();
            if let Some(used) = state.head.books.get_mut(&bits) {
                *used = used.saturating_sub(1);
                if *used == 0 {
                    state.head.books.remove(&bits);
                    gone.push(pointer.segment());
                }
            }
        }
        state.head.map_next = writer.sequence;
        writer.done
    };
    // 4
    let upload = |(sequence, builder)| store(core, builder, sequence);
    try_join_all(books.into_iter().map(upload)).await?;
    let mut removed = std::mem::replace(&mut core.state().head.deletions, gone);
    if Defect::RemovedBeforeHead.is_made() {
        removed.append(&mut core.state().head.deletions);
        remove(core, removed.clone()).await;
    }
    commit(core, |state| {
        state.head.log_next = state.applied;
        if Defect::HeadAheadOfMap.is_made() {
            state.head.log_next = state.next_sequence();
        }
        change(state);
    })
    .await?;
    // 5
    remove(core, removed).await;
    core.shrink();
    Ok(())
}

/// Writes a head. By itself, without a checkpoint: the map and the log's tail are those of the last one, and only what `change` makes
/// differs, in one round trip.
pub(crate) async fn commit(core: &Core, change: impl FnOnce(&mut State)) -> Result<(), LogError> {
    core.alive()?;
    let (bytes, number) = {
        let mut state = core.state();
        change(&mut state);
        let number = state.head_next;
        let (shelf, nonce) = (&core.shelf, core.nonce);
        let key = shelf.heads_key();
        let head = &state.head;
        (
            head.encode(shelf.volume, core.epoch, number, nonce, key.as_ref()),
            number,
        )
    };
    create(core, Series::Heads(core.epoch), number, Bytes::from(bytes)).await?;
    core.state().head_next = number + 1;
    Ok(())
}

/// Takes blocks that died off a segment's line, and off the segment that they were moved to.
pub(crate) async fn bury(
    core: &Core,
    segment: SegmentNumber,
    blocks: u32,
    gone: &mut Vec<SegmentNumber>,
) -> Result<(), LogError> {
    let mut next = Some(segment);
    while let Some(segment) = next {
        let mut line = core.line(segment).await?;
        next = line.moved;
        line.live = line
            .live
            .saturating_sub(u16::try_from(blocks).unwrap_or(u16::MAX));
        if line.live == 0 {
            if line.moved.is_none() {
                gone.push(segment);
            }
            line = Line::default();
        }
        core.set_line(segment, line).await?;
    }
    Ok(())
}

/// The lists of held blocks that have grown, with where each was.
async fn lists(
    core: &Core,
    grown: BTreeMap<SegmentNumber, Vec<Held>>,
) -> Result<Vec<(SegmentNumber, Vec<Held>, Option<Pointer>)>, LogError> {
    let mut lists = Vec::new();
    for (segment, mut list) in grown {
        let line = core.line(segment).await?;
        if line.live == 0 {
            continue;
        }
        if let Some(before) = line.held {
            list.extend(held(core, segment, before).await?);
        }
        list.sort_unstable();
        list.dedup_by_key(|held| held.block);
        lists.push((segment, list, line.held));
    }
    Ok(lists)
}

/// The list of a segment's held blocks.
pub(crate) async fn held(core: &Core, segment: SegmentNumber, at: Pointer) -> Result<Vec<Held>, LogError> {
    let frame = core.book_frame(at).await?;
    if frame.kind != FrameKind::List || frame.first != u64::from(segment.to_bits()) {
        return Err(LogError::corrupt(at, format!("it is not the list of {segment}")));
    }
    Ok(table::decode_held(&frame.plain))
}

/// Removes segments that the committed head does not reach. What cannot be removed now is left to the next head.
async fn remove(core: &Core, segments: Vec<SegmentNumber>) {
    if core.is_held() {
        core.state().head.deletions.extend(segments);
        return;
    }
    let segments: BTreeSet<_> = segments.into_iter().collect();
    for segment in segments {
        let removed = match core.born_at(segment) {
            Ok(place) => place.shelf.remove(&place.key).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(%error, %segment, "a dead segment stays for now");
            core.state().head.deletions.push(segment);
        }
    }
}
