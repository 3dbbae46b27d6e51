//! Attaching: the right to write is claimed, whoever had it is fenced, and what was written is found.
//!
//! The protocol is that of docs/decisions/0008, model-checked in crates/model:
//! 1. *claim* the first free epoch;
//! 2. *fence* the epochs below, the newest first, until one that was live is found: a tombstone ends its heads, and the one before
//!    it is where the recovery starts; a tombstone in the first hole of its log ends what it will ever have acknowledged;
//! 3. *recover*: put what is in the log and not in that head into the map;
//! 4. *go live*: the first head of our epoch.

use crate::core::{Core, Which};
use crate::defect::Defect;
use crate::frames::{Frames, segment_head};
use crate::journal::{Journal, Left as JournalLeft};
use crate::local::Local;
use crate::look::{self, Heads, last_head};
use crate::series::{self, Ended, entomb};
use crate::shelf::{Created, Series, Shelf};
use crate::state::State;
use crate::{LogError, Options, Writer, checkpoint};
use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};
use restblk_format::log::{BLOCK, Entry, Epoch, FEATURE_SEALED, Head, Kind, ObjectType, SegmentNumber, Span};
use restblk_format::stream::Receiving;
use restblk_store::Store;
use restblk_types::{ErrorKind, VolumeId};
use std::sync::Arc;

/// Segments looked for at once.
const WINDOW: u32 = 16;

/// Makes an empty volume of `size` bytes: its first epoch, and that one's first head.
pub async fn create(
    store: Arc<dyn Store>,
    volume: VolumeId,
    size: u64,
    writer: &Writer,
) -> Result<(), LogError> {
    create_half(store, volume, size, writer, None).await
}

/// The same; it has a part of a snapshot from its first moment on, although nothing of it yet.
pub async fn create_half(
    store: Arc<dyn Store>,
    volume: VolumeId,
    size: u64,
    writer: &Writer,
    receiving: Option<Receiving>,
) -> Result<(), LogError> {
    check_size(size)?;
    let head = Head {
        epochs: vec![Span {
            volume: 0,
            epoch: 1,
            log: 1,
            map: 1,
            gc: 1,
        }],
        receiving,
        features: if writer.key.is_some() { FEATURE_SEALED } else { 0 },
        ..Head::empty(volume, size)
    };
    let shelf = Shelf::new(store, volume).with_key(writer.key.clone());
    begin(&shelf, &head, writer).await
}

/// Makes a volume: its first epoch, and that one's first head. Again by the same writer, it goes on where it was cut off.
pub(crate) async fn begin(shelf: &Shelf, head: &Head, writer: &Writer) -> Result<(), LogError> {
    let volume = shelf.volume;
    let epoch = (
        Series::Epochs,
        1,
        epoch_of(writer).encode(volume, 1, 0, writer.nonce),
    );
    let head = head.encode(volume, 1, 0, writer.nonce, shelf.heads_key().as_ref());
    let head = (Series::Heads(1), 0, head);
    for (series, number, bytes) in [epoch, head] {
        let key = shelf.key(series, number);
        match shelf.create(&key, Bytes::from(bytes), &writer.nonce).await? {
            Created::Ours => {}
            Created::Theirs(header) if header.object == ObjectType::Tombstone => {
                let message = format!(
                    "create the volume {volume}: it took so long that it was given up, or it was deleted; create it with another id"
                );
                return Err(LogError::new(ErrorKind::Conflict, message));
            }
            Created::Theirs(_) => {
                let message = format!("create the volume {volume}: it exists");
                return Err(LogError::new(ErrorKind::Exists, message));
            }
        }
    }
    Ok(())
}

pub(crate) fn epoch_of(writer: &Writer) -> Epoch {
    Epoch {
        hostname: writer.hostname.clone(),
        since: writer.since.clone(),
    }
}

/// `Invalid` for a size that no volume can have.
pub fn check_size(size: u64) -> Result<(), LogError> {
    // Five levels of the map: 128 TiB.
    if size == 0 || !size.is_multiple_of(BLOCK as u64) || size > (BLOCK as u64) << 35 {
        let message = format!("use {size} bytes as a size: it must be a multiple of 4096, up to 128 TiB");
        return Err(LogError::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

/// Claims the first free epoch from `from` on.
pub(crate) async fn claim(shelf: &Shelf, from: u32, writer: &Writer) -> Result<u32, LogError> {
    let mut epoch = from;
    let body = epoch_of(writer);
    loop {
        let bytes = Bytes::from(body.encode(shelf.volume, epoch, 0, writer.nonce));
        match shelf
            .create(&shelf.key(Series::Epochs, epoch), bytes, &writer.nonce)
            .await?
        {
            Created::Ours => return Ok(epoch),
            Created::Theirs(_) => epoch += 1,
        }
    }
}

/// Segments and what is in them, in order.
type Segments = Vec<(SegmentNumber, Vec<Entry>)>;

/// What the writers before left behind.
struct Left {
    head: Head,
    /// The segments that are not in it, in order.
    segments: Segments,
    /// The position in their writer's journal after the last write that is in them.
    journal: u64,
}

/// Attaches a volume: see the module. Whoever had it is fenced.
pub(crate) async fn open(
    store: Arc<dyn Store>,
    volume: VolumeId,
    writer: Writer,
    options: Options,
    local: Local,
) -> Result<(Core, Option<JournalLeft>), LogError> {
    let shelf = Shelf::new(store, volume).with_key(writer.key.clone());
    let (free, has_begun) = try_join(series::end(&shelf, Series::Epochs, 1), look::has_begun(&shelf)).await?;
    if !has_begun {
        return Err(LogError::new(
            ErrorKind::NotFound,
            format!("attach the volume {volume}: there is none, or it was deleted"),
        ));
    }
    let epoch = claim(&shelf, free, &writer).await?;
    let Left {
        mut head,
        segments,
        journal: covered,
    } = fence(&shelf, epoch, &writer).await?;
    let last = *head
        .epochs
        .last()
        .ok_or_else(|| LogError::corrupt("the last head", "it names no epoch"))?;
    let recovered = u32::try_from(segments.len()).unwrap_or(u32::MAX);
    head.epochs.push(Span {
        volume: 0,
        epoch,
        log: last.log + head.log_next + recovered,
        map: last.map + head.map_next,
        gc: last.gc + head.gc_next,
    });
    (head.log_next, head.map_next, head.gc_next) = (0, 0, 0);
    let (journal, left) = match local.journal {
        Some(disk) => {
            let (epochs, key) = ([last.epoch, epoch], writer.key.as_ref());
            let (journal, left) = Journal::open(disk, volume, epochs, covered, key).await?;
            head.journal = journal.begins();
            (Some(journal), Some(left))
        }
        None => {
            head.journal = 0;
            (None, None)
        }
    };
    let state = State::new(head, 0, options.codec);
    let frames = Frames::new(local.cache, local.memory);
    let core = Core::new(shelf, epoch, writer.nonce, options, state, journal, frames);
    for (segment, entries) in &segments {
        let ranges: Vec<_> = State::blocks_of(entries).collect();
        core.load_ranges(Which::Map, &ranges).await?;
        let applied = core.state().apply(*segment, entries);
        applied.map_err(|page| LogError::bug(format!("apply {segment}: page {page:?} is missing")))?;
    }
    checkpoint::checkpoint(&core, |_| {}).await?;
    Ok((core, left))
}

async fn fence(shelf: &Shelf, epoch: u32, writer: &Writer) -> Result<Left, LogError> {
    for before in (1..epoch).rev() {
        let heads = Series::Heads(before);
        let Heads { mut end, entombed } = last_head(shelf, before).await?;
        if !entombed {
            while let Ended::Taken = entomb(shelf, heads, end, before, epoch, &writer.nonce).await? {
                end += 1;
            }
        }
        let Some(last) = end.checked_sub(1) else { continue };
        let (head, may_write) = look::head(shelf, before, last).await?;
        if !may_write {
            let message = format!(
                "attach the volume {}: it has features that this version cannot write; use a newer restblk",
                shelf.volume
            );
            return Err(LogError::new(ErrorKind::Unsupported, message));
        }
        if (head.features & FEATURE_SEALED != 0) != writer.key.is_some() {
            let is = if writer.key.is_some() {
                "not encrypted, and a key was given"
            } else {
                "encrypted, and no key was given"
            };
            let message = format!(
                "attach the volume {}: its last head says that it is {is}",
                shelf.volume
            );
            return Err(LogError::new(ErrorKind::Denied, message));
        }
        let (segments, journal) = walk(shelf, before, &head, epoch, writer).await?;
        return Ok(Left {
            head,
            segments,
            journal,
        });
    }
    Err(LogError::new(
        ErrorKind::NotFound,
        format!(
            "attach the volume {}: none of its epochs has a head: its creation was cut off",
            shelf.volume
        ),
    ))
}

/// The segments of an epoch that are not in its last head, up to the first hole, which gets a tombstone.
async fn walk(
    shelf: &Shelf,
    before: u32,
    head: &Head,
    epoch: u32,
    writer: &Writer,
) -> Result<(Segments, u64), LogError> {
    let (log, mut next, mut found) = (Series::Segments(Kind::Log, before), head.log_next, Vec::new());
    let mut journal = head.journal;
    let first = head.epochs.last().map_or(1, |span| span.log);
    loop {
        let look = async |sequence: u32| {
            let key = shelf.key(log, sequence);
            segment_head(shelf, &key).await
        };
        for segment in try_join_all((next..next + WINDOW).map(look)).await? {
            let Some(segment) = segment else {
                if Defect::RecoveredPastHole.is_made() {
                    next += 1;
                    continue;
                }
                break;
            };
            let number = SegmentNumber::new(Kind::Log, first + next);
            if segment.header.segment != number
                || segment.header.sequence != next
                || segment.header.epoch != before
            {
                return Err(LogError::corrupt(
                    shelf.key(log, next),
                    "it says that it is another segment",
                ));
            }
            journal = journal.max(segment.header.journal);
            found.extend(number.map(|number| (number, segment.entries)));
            next += 1;
        }
        if Defect::NoTombstone.is_made() {
            return Ok((found, journal));
        }
        if let Ended::Here = entomb(shelf, log, next, before, epoch, &writer.nonce).await? {
            return Ok((found, journal));
        }
    }
}
