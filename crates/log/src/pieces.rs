//! The bytes of blocks, in the pieces that they are in: nobody copies them who passes them on.

use crate::LogError;
use crate::batch::Known;
use crate::core::Core;
use crate::runs;
use crate::state::Source;
use bytes::Bytes;
use restblk_format::log::{BLOCK, Frame, FrameKind, Pointer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Blocks that read as zeros.
static ZEROS: [u8; 16 * BLOCK] = [0; 16 * BLOCK];

/// A frame whose bytes are lent: it stays in memory as long as they are used.
struct Lent(Arc<Frame>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0.plain
    }
}

/// The bytes of blocks, one after the other; `None` where some of them are nowhere any more: look again.
pub(crate) async fn of(
    core: &Core,
    sources: &[Source],
    blocks: impl Iterator<Item = u64>,
) -> Result<Option<Vec<Bytes>>, LogError> {
    let mut wanted: BTreeMap<Pointer, Option<Arc<Frame>>> = BTreeMap::new();
    for source in sources {
        if let Source::Stored(pointer) = source {
            wanted
                .entry(pointer.frame())
                .or_insert_with(|| core.frames.kept(*pointer));
        }
    }
    let missing = wanted.iter().filter(|(_, frame)| frame.is_none());
    let missing: Vec<Pointer> = missing.map(|(pointer, _)| *pointer).collect();
    let fetched = runs::frames(core, &missing).await?;
    for (pointer, frame) in missing.into_iter().zip(fetched) {
        let Some(frame) = frame else { return Ok(None) };
        wanted.insert(pointer, Some(frame));
    }
    let mut pieces = Vec::new();
    let mut lent: Option<Piece> = None;
    for (block, source) in blocks.zip(sources) {
        let Source::Stored(pointer) = source else {
            pieces.extend(lent.take().map(Piece::bytes));
            match source {
                Source::Known(Known::Data(data)) => pieces.push(data.clone()),
                _ => push_zeros(&mut pieces),
            }
            continue;
        };
        if lent.as_mut().is_some_and(|piece| piece.goes_on(*pointer, block)) {
            continue;
        }
        pieces.extend(lent.take().map(Piece::bytes));
        let Some(Some(frame)) = wanted.get(&pointer.frame()) else {
            return Ok(None);
        };
        lent = Some(Piece::begin(frame, *pointer, block)?);
    }
    pieces.extend(lent.map(Piece::bytes));
    Ok(Some(pieces))
}

/// Blocks that lie side by side in a frame.
struct Piece {
    frame: Arc<Frame>,
    /// Within the frame.
    first: usize,
    count: usize,
}

impl Piece {
    fn begin(frame: &Arc<Frame>, pointer: Pointer, block: u64) -> Result<Self, LogError> {
        let first = usize::from(pointer.index());
        let has = frame.kind == FrameKind::Data
            && frame.first + first as u64 == block
            && frame.plain.len() >= (first + 1) * BLOCK;
        if !has {
            let message = format!("it does not hold block {block}");
            return Err(LogError::corrupt(pointer, message));
        }
        Ok(Self {
            frame: Arc::clone(frame),
            first,
            count: 1,
        })
    }

    /// Takes the next block, where that is the next one of the frame.
    fn goes_on(&mut self, pointer: Pointer, block: u64) -> bool {
        let next = self.first + self.count;
        let goes_on = pointer.frame() == self.frame.origin
            && usize::from(pointer.index()) == next
            && self.frame.first + next as u64 == block
            && self.frame.plain.len() >= (next + 1) * BLOCK;
        self.count += usize::from(goes_on);
        goes_on
    }

    fn bytes(self) -> Bytes {
        let range = self.first * BLOCK..(self.first + self.count) * BLOCK;
        Bytes::from_owner(Lent(self.frame)).slice(range)
    }
}

/// One block of zeros more.
fn push_zeros(pieces: &mut Vec<Bytes>) {
    let before = pieces.last_mut().filter(|last| last.as_ptr() == ZEROS.as_ptr());
    match before.and_then(|last| Some((ZEROS.get(..last.len() + BLOCK)?, last))) {
        Some((longer, last)) => *last = Bytes::from_static(longer),
        None => pieces.push(Bytes::from_static(&ZEROS[..BLOCK])),
    }
}

/// Fills `buf` with the bytes of blocks; false where some of them are nowhere any more: look again.
pub(crate) async fn fill(
    core: &Core,
    sources: &[Source],
    blocks: impl Iterator<Item = u64>,
    buf: &mut [u8],
) -> Result<bool, LogError> {
    let pieces = of(core, sources, blocks).await?;
    Ok(pieces.map(|pieces| copy(&pieces, buf)).is_some())
}

/// Copies pieces into a buffer that is as long as they are together.
pub(crate) fn copy(pieces: &[Bytes], buf: &mut [u8]) {
    let mut rest = buf;
    for piece in pieces {
        let (here, after) = rest.split_at_mut(piece.len());
        here.copy_from_slice(piece);
        rest = after;
    }
}
