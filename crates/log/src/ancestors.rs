//! Segments of the volumes that this one was cloned from.
//!
//! A frame is looked for where it was born, without asking anybody. If it is not there, that volume's collector has moved it: where to,
//! its newest committed head and that one's segment table tell. Both are kept, and looked up again when a place that they told is not
//! there any more. An object is removed only after a head that does not need it is there, so whoever misses one finds a newer head than the
//! one it went by; where there is none, the frame is lost.

use crate::LogError;
use crate::core::{Core, lost, page_numbers};
use crate::frames::{Place, read_frame};
use crate::local::Birth;
use crate::look::{At, newest};
use crate::shelf::{Series, Shelf};
use crate::table;
use crate::tree::{NeedsPage, Radix};
use restblk_format::log::{Frame, Head, Pointer, SegmentNumber};
use restblk_types::VolumeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Looks for a frame that is moved again and again, before it is held to be lost.
const LOOKS: usize = 16;

/// Pages of an ancestor's table in memory, of 1 KiB: 64 segments each.
const PAGES: usize = 4096;

/// A volume that this one reads from.
#[derive(Debug)]
pub(crate) struct Ancestor {
    pub(crate) shelf: Shelf,
    seen: Mutex<Option<Seen>>,
    /// One look for a newer head at a time.
    turn: tokio::sync::Mutex<()>,
}

/// Its newest head, as far as is known.
#[derive(Debug)]
struct Seen {
    at: At,
    head: Head,
    table: Radix,
}

/// A segment's place by one head; none where that head's table is gone itself.
struct Told {
    place: Option<Place>,
    by: Option<At>,
}

impl Ancestor {
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self {
            shelf,
            seen: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Whether something of it had been moved.
    #[cfg(test)]
    pub(crate) fn was_looked_at(&self) -> bool {
        self.seen().is_some()
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a segment is that was born at `born`.
    async fn place(&self, segment: SegmentNumber, born: Place) -> Result<Told, LogError> {
        if let Some(seen) = self.seen().as_mut() {
            seen.table.shrink(PAGES);
        }
        loop {
            let (page, by, place) = {
                let seen = self.seen();
                let Some(seen) = seen.as_ref() else {
                    return Ok(Told {
                        place: Some(born),
                        by: None,
                    });
                };
                let by = Some(seen.at);
                match table::line(&seen.table, segment) {
                    Ok(line) => {
                        let place = match line.moved {
                            Some(moved) => Place {
                                key: self.own(&seen.head, moved)?.key,
                                moved: Some(moved),
                                ..born
                            },
                            None => born,
                        };
                        return Ok(Told {
                            place: Some(place),
                            by,
                        });
                    }
                    Err(page) => (page, by, self.own(&seen.head, page.pointer.segment())?),
                }
            };
            let Some(frame) = read_frame(&place, page.pointer).await? else {
                return Ok(Told { place: None, by });
            };
            self.install(by, page, &frame)?;
        }
    }

    fn install(&self, by: Option<At>, page: NeedsPage, frame: &Frame) -> Result<(), LogError> {
        let numbers = page_numbers(frame, page)?;
        if let Some(seen) = self.seen().as_mut().filter(|seen| Some(seen.at) == by) {
            seen.table.install(page, &numbers);
        }
        Ok(())
    }

    /// The object of a segment that the ancestor wrote itself.
    fn own(&self, head: &Head, segment: SegmentNumber) -> Result<Place, LogError> {
        let found = head.place(segment).filter(|(span, _)| span.volume == 0);
        let (span, sequence) = found.ok_or_else(|| {
            let volume = self.shelf.volume;
            LogError::corrupt(segment, format!("no epoch of the volume {volume} has it"))
        })?;
        Ok(self.born(segment, span.epoch, sequence))
    }

    fn born(&self, segment: SegmentNumber, epoch: u32, sequence: u32) -> Place {
        let series = Series::Segments(segment.kind(), epoch);
        Place {
            key: self.shelf.key(series, sequence),
            moved: None,
            shelf: self.shelf.clone(),
            epoch,
        }
    }

    /// Looks for a newer head than the one that told a place; false where there is none.
    async fn look_again(&self, by: Option<At>) -> Result<bool, LogError> {
        let _turn = self.turn.lock().await;
        if self.seen().as_ref().map(|seen| seen.at) != by {
            return Ok(true);
        }
        match newest(&self.shelf, by).await? {
            Some((at, head)) if Some(at) != by => {
                let table = Radix::open(head.segments);
                *self.seen() = Some(Seen { at, head, table });
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// Frames that were born side by side in a segment of an ancestor; `None` where this volume does not read from there any more.
pub(crate) async fn frames(
    core: &Core,
    run: &[Pointer],
    birth: Option<&Birth>,
) -> Result<Option<Vec<Arc<Frame>>>, LogError> {
    let Some(first) = run.first().copied() else {
        return Ok(Some(Vec::new()));
    };
    let segment = first.segment();
    for _ in 0..LOOKS {
        let Some((ancestor, born)) = find(core, segment) else {
            return Ok(None);
        };
        let told = ancestor.place(segment, born).await?;
        if let Some(place) = told.place
            && let Some(frames) = core.frames.fetch(run, &place, birth).await?
        {
            return Ok(Some(frames));
        }
        if !ancestor.look_again(told.by).await? {
            break;
        }
    }
    if find(core, segment).is_none() {
        return Ok(None);
    }
    Err(lost(first))
}

/// The object that an ancestor's segment is in, as far as is known; `None` where it is nobody's.
pub(crate) async fn place(core: &Core, segment: SegmentNumber) -> Result<Option<Place>, LogError> {
    let Some((ancestor, born)) = find(core, segment) else {
        return Ok(None);
    };
    Ok(ancestor.place(segment, born).await?.place)
}

/// The object that an ancestor's segment is in now, with the number, epoch and sequence that it should tell; `None` where it is nobody's.
pub(crate) async fn object(
    core: &Core,
    segment: SegmentNumber,
) -> Result<Option<(Place, SegmentNumber, u32, u32)>, LogError> {
    for _ in 0..LOOKS {
        let Some((ancestor, born)) = find(core, segment) else {
            return Ok(None);
        };
        let told = ancestor.place(segment, born).await?;
        if let Some(place) = told.place
            && ancestor.shelf.is_there(&place.key).await?
        {
            let number = place.moved.unwrap_or(segment);
            let by_own = ancestor.seen().as_ref().and_then(|seen| seen.head.place(number));
            let placed = by_own.or_else(|| core.state().head.place(number));
            return Ok(placed.map(|(span, sequence)| (place, number, span.epoch, sequence)));
        }
        if !ancestor.look_again(told.by).await? {
            break;
        }
    }
    Err(LogError::corrupt(segment, "its object is not on the store"))
}

/// Whose segment it is, and where it was born; `None` for one of the volume's own.
fn find(core: &Core, segment: SegmentNumber) -> Option<(&Ancestor, Place)> {
    let (span, sequence) = core.state().head.place(segment)?;
    let ancestor = core.ancestors.get(usize::from(span.volume).checked_sub(1)?)?;
    Some((ancestor, ancestor.born(segment, span.epoch, sequence)))
}

/// The volumes that a head's lineage names after the volume itself.
pub(crate) fn of(shelf: &Shelf, head: &Head) -> Vec<Ancestor> {
    let volume = |volume: VolumeId| Ancestor::new(shelf.of(volume));
    head.lineage.iter().skip(1).map(|of| volume(of.volume)).collect()
}
