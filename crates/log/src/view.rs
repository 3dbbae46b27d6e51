//! A snapshot, read beside its volume.

use crate::LogError;
use crate::batch::Known;
use crate::core::Core;
use crate::device::{blocks, blocks_to_look_at};
use crate::pages;
use crate::pieces;
use crate::snapshot;
use crate::state::{Source, written};
use crate::tree::{NeedsPage, Radix};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_block::{BlockDevice, BlockError, Features, Geometry, Span, WriteFlags, spans_of};
use restblk_format::log::{BLOCK, Pointer};
use restblk_types::{BlockSize, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Pages of its map in memory: 8 MiB.
const PAGES: usize = 8 << 10;

/// A snapshot as a device that is only read.
#[derive(Debug)]
pub struct SnapshotView {
    core: Arc<Core>,
    id: u64,
    map: Mutex<Radix>,
    size: watch::Sender<u64>,
}

impl SnapshotView {
    pub(crate) fn open(core: Arc<Core>, id: u64) -> Result<Self, LogError> {
        let (map, size) = {
            let state = core.state();
            let found = snapshot::visible(&state, id)?;
            (Radix::open(found.map), found.size)
        };
        Ok(Self {
            core,
            id,
            map: Mutex::new(map),
            size: watch::Sender::new(size),
        })
    }

    fn map(&self) -> MutexGuard<'_, Radix> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses once the snapshot is deleted: what it held may be gone, or be another's.
    fn alive(&self) -> Result<(), LogError> {
        self.core.alive()?;
        let state = self.core.state();
        snapshot::visible(&state, self.id).map(drop)
    }

    /// Looks at the map while all its pages for these blocks are in memory: another reader may let them go again at any time.
    async fn with_pages<T>(&self, range: &Range<u64>, look: impl Fn(&Radix) -> T) -> Result<T, LogError> {
        loop {
            let mut missing = Vec::new();
            let pages = {
                let mut map = self.map();
                map.missing(range.clone(), &mut missing);
                if missing.is_empty() {
                    let seen = look(&map);
                    map.shrink(PAGES);
                    return Ok(seen);
                }
                let state = self.core.state();
                pages::with_neighbours(&map, &missing, |pointer| self.core.is_cached(&state, pointer))
            };
            let pages = pages::of_snapshot(&self.core, pages, &missing).await?;
            let mut map = self.map();
            for (page, numbers) in pages {
                map.install(page, &numbers);
            }
        }
    }

    async fn read_blocks(&self, range: Range<u64>) -> Result<Vec<Bytes>, LogError> {
        self.alive()?;
        let sources: Result<Vec<Source>, NeedsPage> = self
            .with_pages(&range, |map| {
                let source = |block| {
                    let pointer = Pointer::from_bits(map.get(block)?).ok().flatten();
                    Ok(pointer.map_or(Source::Known(Known::Hole), Source::Stored))
                };
                range.clone().map(source).collect()
            })
            .await?;
        let sources = sources.map_err(|page| LogError::bug(format!("{page:?} was there, and is not")))?;
        if let Some(pieces) = pieces::of(&self.core, &sources, range).await? {
            return Ok(pieces);
        }
        self.alive()?;
        Err(LogError::corrupt(
            format!("snapshot {}", self.id),
            "a segment of it is gone",
        ))
    }
}

fn read_only() -> BlockError {
    BlockError::new(ErrorKind::Denied, "write: a snapshot is only read")
}

#[async_trait]
impl BlockDevice for SnapshotView {
    fn geometry(&self) -> Geometry {
        Geometry {
            size: *self.size.borrow(),
            block_size: BlockSize::B4096,
            io_size_optimal: 32 << 10,
            features: Features {
                read_only: true,
                ..Features::default()
            },
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let pieces = self.read_blocks(blocks(offset, buf.len() as u64)).await?;
        pieces::copy(&pieces, buf);
        Ok(())
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        Ok(self.read_blocks(blocks(offset, len as u64)).await?)
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        self.alive()?;
        let range = blocks_to_look_at(offset, len);
        let written = self.with_pages(&range, |map| written(map, &range)).await?;
        Ok(spans_of(&written, BLOCK as u64))
    }

    async fn write(&self, _: u64, _: &[u8], _: WriteFlags) -> Result<(), BlockError> {
        Err(read_only())
    }

    async fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }

    async fn discard(&self, _: u64, _: u64) -> Result<(), BlockError> {
        Err(read_only())
    }

    async fn write_zeroes(&self, _: u64, _: u64, _: WriteFlags) -> Result<(), BlockError> {
        Err(read_only())
    }
}
