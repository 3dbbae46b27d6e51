//! Sends a snapshot, or what changed since an earlier one, as a stream (`restblk_format::stream`).
//!
//! Blocks are read [`PIECE`] at a time and [`READ_AHEAD`] pieces ahead of who takes the stream, whose slowness is what holds it back: memory is
//! bounded by both. Blocks that changed far from each other are read together, so that what lies side by side on the store is one request.

use crate::changes::{ChangedBlock, Changes};
use crate::core::Core;
use crate::pieces::fill;
use crate::snapshot;
use crate::state::Source;
use crate::{LogError, LogVolume};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use restblk_format::log::BLOCK;
use restblk_format::stream::{Begin, DATA_MAX, Encoder, Moment, Origin, Token};
use restblk_types::ErrorKind;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Blocks in one piece: a record's most.
const PIECE: usize = DATA_MAX / BLOCK;
/// Pieces that are being read.
const READ_AHEAD: usize = 4;

/// A stream that is to be sent.
#[derive(Debug)]
pub struct Sending {
    core: Arc<Core>,
    changes: Changes,
    begin: Begin,
    start: u64,
}

/// Blocks that are told together: in order, those with data no more than [`PIECE`].
type Piece = Vec<ChangedBlock>;

impl LogVolume {
    /// A snapshot that a token names.
    #[must_use]
    pub fn snapshot_of(&self, origin: Origin) -> Option<u64> {
        let state = self.core.state();
        let mut snapshots = state.head.snapshots.iter();
        let is_it = |moment: Option<Moment>| moment.is_some_and(|moment| moment.origin == origin);
        snapshots
            .find(|snapshot| is_it(snapshot.moment(self.core.shelf.volume)))
            .map(|snapshot| snapshot.id)
    }

    /// Sends a snapshot, all of it or what changed since an earlier one. `name` is what the volume is called, for people; `resumed` is where an earlier
    /// stream broke.
    pub fn sending(
        &self,
        name: String,
        to: u64,
        from: Option<u64>,
        resumed: Option<Token>,
    ) -> Result<Sending, LogError> {
        let core = Arc::clone(&self.core);
        let volume = core.shelf.volume;
        let (begin, start) = {
            let state = core.state();
            let moment = |id| {
                let found = snapshot::visible(&state, id)?;
                let moment = found.moment(volume);
                moment.ok_or_else(|| LogError::bug("a visible snapshot has no name"))
            };
            let begin = Begin {
                volume,
                name,
                size: snapshot::visible(&state, to)?.size,
                block_size: state.head.block_size,
                to: moment(to)?,
                from: from.map(moment).transpose()?,
                encrypted: core.shelf.key_of_data().is_some(),
            };
            let start = resumed.map_or(0, |token| token.position);
            let is_other = resumed.is_some_and(|token| {
                token.to != begin.to.origin || token.from != begin.from.as_ref().map(|from| from.origin)
            });
            if is_other || start > begin.size {
                let message = format!(
                    "go on with {}: the token is of another stream; restblk show tells the receiver's",
                    begin.to.name
                );
                return Err(LogError::new(ErrorKind::Invalid, message));
            }
            if from.is_some_and(|from| from >= to) {
                let message = format!(
                    "send {} from {}: that one is not older",
                    begin.to.name,
                    begin.from.as_ref().map_or("", |from| &from.name)
                );
                return Err(LogError::new(ErrorKind::Invalid, message));
            }
            (begin, start)
        };
        let changes = Changes::new(&core, from, Some(to))?.starting_at(start);
        Ok(Sending {
            core,
            changes,
            begin,
            start,
        })
    }
}

impl Sending {
    /// Sends it; ends early where nobody takes it any more. What cannot be read ends the stream with the reason, which is returned, too.
    pub async fn run(mut self, out: &mpsc::Sender<Bytes>) -> Result<(), LogError> {
        let (mut encoder, begun) = Encoder::begin(&self.begin, self.start);
        if out.send(begun.into()).await.is_err() {
            return Ok(());
        }
        let sent = self.pieces(&mut encoder, out).await;
        // Of what is missing because its snapshot is deleted, that is what is said.
        let sent = sent.map_err(|error| self.changes.alive().err().unwrap_or(error));
        let last = match &sent {
            Ok(()) => encoder.end().to_vec(),
            Err(error) => encoder.give_up(&error.to_string()),
        };
        // Who took it may have gone.
        let _ = out.send(last.into()).await;
        sent
    }

    async fn pieces(&mut self, encoder: &mut Encoder, out: &mpsc::Sender<Bytes>) -> Result<(), LogError> {
        let mut reading = FuturesOrdered::new();
        let mut zeros = Zeros::default();
        while let Some(blocks) = self.changes.blocks().await? {
            for piece in cut(blocks) {
                while reading.len() >= READ_AHEAD {
                    if let Some(read) = reading.next().await {
                        let bytes = told(encoder, &mut zeros, read?);
                        if out.send(bytes).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                reading.push_back(read(Arc::clone(&self.core), piece));
            }
        }
        while let Some(read) = reading.next().await {
            let bytes = told(encoder, &mut zeros, read?);
            if out.send(bytes).await.is_err() {
                return Ok(());
            }
        }
        let mut rest = Vec::new();
        zeros.tell(encoder, &mut rest);
        // What was read was there then.
        self.changes.alive()?;
        let _ = out.send(rest.into()).await;
        Ok(())
    }
}

/// Cuts blocks into pieces.
fn cut(blocks: Vec<ChangedBlock>) -> Vec<Piece> {
    let (mut pieces, mut data) = (vec![Piece::new()], 0);
    for block in blocks {
        data += usize::from(block.1.is_some());
        if data > PIECE {
            pieces.push(Piece::new());
            data = 1;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(block);
        }
    }
    pieces
}

/// Reads the blocks that have data, one after the other.
async fn read(core: Arc<Core>, piece: Piece) -> Result<(Piece, Vec<u8>), LogError> {
    let stored = |(block, pointer): &ChangedBlock| Some((*block, Source::Stored((*pointer)?)));
    let (blocks, sources): (Vec<u64>, Vec<Source>) = piece.iter().filter_map(stored).unzip();
    let mut data = vec![0; blocks.len() * BLOCK];
    if fill(&core, &sources, blocks.into_iter(), &mut data).await? {
        return Ok((piece, data));
    }
    core.alive()?;
    Err(LogError::corrupt("a snapshot", "a segment of it is gone"))
}

/// Zeros that were not told yet: more may follow.
#[derive(Default)]
struct Zeros {
    first: u64,
    blocks: u64,
}

impl Zeros {
    fn tell(&mut self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let block = BLOCK as u64;
        if self.blocks > 0 {
            out.extend_from_slice(&encoder.zeros(self.first * block, self.blocks * block));
        }
        self.blocks = 0;
    }
}

/// The records of a piece.
fn told(encoder: &mut Encoder, zeros: &mut Zeros, (piece, data): (Piece, Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 4096);
    let mut data = &data[..];
    let follows = |(before, one): &ChangedBlock, (after, other): &ChangedBlock| {
        *after == before + 1 && one.is_none() == other.is_none()
    };
    for run in piece.chunk_by(follows) {
        let Some((first, pointer)) = run.first() else {
            continue;
        };
        if pointer.is_none() {
            if zeros.first + zeros.blocks != *first {
                zeros.tell(encoder, &mut out);
            }
            if zeros.blocks == 0 {
                zeros.first = *first;
            }
            zeros.blocks += run.len() as u64;
            continue;
        }
        zeros.tell(encoder, &mut out);
        let (bytes, rest) = data.split_at(run.len() * BLOCK);
        data = rest;
        out.extend_from_slice(&encoder.data(first * BLOCK as u64, bytes));
        out.extend_from_slice(bytes);
    }
    out.into()
}
