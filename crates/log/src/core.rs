//! What all parts of an attached volume share: the state, the store, and the ways to what is not in memory.

use crate::ancestors::{self, Ancestor};
use crate::frames::{Frames, Place};
use crate::journal::Journal;
use crate::local::Birth;
use crate::memory::Member;
use crate::pages;
use crate::runs::Reading;
use crate::shelf::{Series, Shelf};
use crate::state::{Source, State};
use crate::table::{self, Line};
use crate::tree::{NeedsPage, Radix};
use crate::whole::Whole;
use crate::{Durability, LogError, Options};
use futures_util::future::try_join_all;
use restblk_format::log::{
    Codec, Frame, FrameKind, Kind, PAGE_FAN_OUT, Pointer, SealKey, SegmentBuilder, SegmentNumber,
};
use restblk_types::VolumeId;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Segments of the table that are looked at in one go.
const CHUNK: u32 = 4096;
/// Pages of the table that are loaded at once.
const LOADS: usize = 32;

/// Looks for a frame that is moved again and again, before it is held to be lost.
const LOOKS: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) shelf: Shelf,
    pub(crate) epoch: u32,
    pub(crate) nonce: [u8; 16],
    pub(crate) options: Options,
    state: Mutex<State>,
    pub(crate) frames: Frames,
    /// Those that are being read.
    pub(crate) reading: Reading<Pointer>,
    pub(crate) whole: Whole,
    /// The volumes that this one was cloned from, in the order of the lineage.
    pub(crate) ancestors: Vec<Ancestor>,
    pub(crate) journal: Option<Journal>,
    /// A flush waits for the store.
    remote: AtomicBool,
    pub(crate) memory: Arc<Member>,
    /// Sequences on the store, without a hole.
    pub(crate) stored: watch::Sender<u32>,
    /// Something is there to be put into the map.
    pub(crate) arrived: Notify,
    /// Capacity in bytes.
    pub(crate) size: watch::Sender<u64>,
    failed: OnceLock<LogError>,
    /// Those who read by an older head: objects are not removed meanwhile.
    holds: AtomicUsize,
    /// Frames that users wrote last and that did not pack.
    pub(crate) misses: AtomicUsize,
    /// Uploads under way: they end with the attachment.
    tasks: Mutex<JoinSet<()>>,
}

/// One of the two trees.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Map,
    Table,
}

impl State {
    pub(crate) fn tree(&mut self, which: Which) -> &mut Radix {
        match which {
            Which::Map => &mut self.map,
            Which::Table => &mut self.table,
        }
    }
}

impl Core {
    pub(crate) fn new(
        shelf: Shelf,
        epoch: u32,
        nonce: [u8; 16],
        options: Options,
        state: State,
        journal: Option<Journal>,
        frames: Frames,
    ) -> Self {
        Self {
            epoch,
            nonce,
            stored: watch::Sender::new(state.stored()),
            size: watch::Sender::new(state.head.size),
            ancestors: ancestors::of(&shelf, &state.head),
            shelf,
            remote: AtomicBool::new(options.durability == Durability::Remote),
            options,
            state: Mutex::new(state),
            memory: frames.member(),
            frames,
            reading: Reading::default(),
            whole: Whole::default(),
            journal,
            arrived: Notify::new(),
            failed: OnceLock::new(),
            holds: AtomicUsize::new(0),
            misses: AtomicUsize::new(0),
            tasks: Mutex::new(JoinSet::new()),
        }
    }

    pub(crate) fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the volume's service: every request from now on fails with this.
    pub(crate) fn fail(&self, error: LogError) {
        if self.end(error.clone()) {
            tracing::error!(volume = %self.shelf.volume, epoch = self.epoch, %error, "the volume has failed");
        }
    }

    /// The same, where that is nothing to tell; false where it has ended already.
    pub(crate) fn end(&self, error: LogError) -> bool {
        let is_first = self.failed.set(error).is_ok();
        self.memory.unsent.close();
        if let Some(journal) = &self.journal {
            journal.freed.notify_waiters();
        }
        self.arrived.notify_one();
        self.stored.send_modify(|_| {});
        is_first
    }

    /// Somebody reads by an older head.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    /// The journal, where a flush waits for that alone.
    pub(crate) fn journal_to_sync(&self) -> Option<&Journal> {
        let journal = self.journal.as_ref();
        journal.filter(|_| !self.remote.load(Ordering::Relaxed))
    }

    pub(crate) fn set_durability(&self, durability: Durability) {
        self.remote
            .store(durability == Durability::Remote, Ordering::Relaxed);
    }

    pub(crate) fn alive(&self) -> Result<(), LogError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Does `work` on the state, loading the pages of a tree that it needs.
    pub(crate) async fn with<T>(
        &self,
        which: Which,
        mut work: impl FnMut(&mut State) -> Result<T, NeedsPage>,
    ) -> Result<T, LogError> {
        loop {
            let page = match work(&mut self.state()) {
                Ok(done) => return Ok(done),
                Err(page) => page,
            };
            self.load(which, &[page]).await?;
        }
    }

    /// Loads all pages of a tree for these ranges of indexes.
    pub(crate) async fn load_ranges(&self, which: Which, ranges: &[Range<u64>]) -> Result<(), LogError> {
        loop {
            let mut missing = Vec::new();
            {
                let mut state = self.state();
                for range in ranges {
                    state.tree(which).missing(range.clone(), &mut missing);
                }
            }
            missing.sort_unstable();
            missing.dedup();
            if missing.is_empty() {
                return Ok(());
            }
            self.load(which, &missing).await?;
        }
    }

    /// Does `work` on the state while all pages of the map for these blocks are in memory.
    pub(crate) async fn with_pages<T>(
        &self,
        blocks: &Range<u64>,
        work: impl Fn(&mut State) -> T,
    ) -> Result<T, LogError> {
        loop {
            {
                let mut state = self.state();
                let mut missing = Vec::new();
                state.map.missing(blocks.clone(), &mut missing);
                if missing.is_empty() {
                    return Ok(work(&mut state));
                }
            }
            self.load_ranges(Which::Map, std::slice::from_ref(blocks)).await?;
        }
    }

    /// Loads pages of a tree.
    pub(crate) async fn load(&self, which: Which, pages: &[NeedsPage]) -> Result<(), LogError> {
        if let Which::Map = which {
            return self.load_map(pages).await;
        }
        for some in pages.chunks(LOADS) {
            try_join_all(some.iter().map(|page| self.load_book(*page))).await?;
        }
        Ok(())
    }

    /// Loads pages of the map, and those beside them.
    async fn load_map(&self, wanted: &[NeedsPage]) -> Result<(), LogError> {
        let pages = {
            let state = self.state();
            let is_cached = |pointer| self.is_cached(&state, pointer);
            if self.has_room_for_pages(&state) {
                pages::with_neighbours(&state.map, wanted, is_cached)
            } else {
                wanted.to_vec()
            }
        };
        for (page, numbers) in pages::read(self, pages, wanted).await? {
            let mut state = self.state();
            match numbers {
                Some(numbers) => self.install(&mut state, Which::Map, page, &numbers),
                // A checkpoint may have stored the page elsewhere since it was asked for.
                None if wanted.contains(&page) && state.map.wants(page) => return Err(lost(page.pointer)),
                None => {}
            }
        }
        Ok(())
    }

    /// Loads a page of the table.
    async fn load_book(&self, page: NeedsPage) -> Result<(), LogError> {
        // Whoever comes second finds it kept, or there.
        let frame = page.pointer.frame();
        let mut claim = self.reading.claim(&[frame]);
        while claim.frames.is_empty() {
            self.reading.wait(&frame).await;
            if !self.state().table.wants(page) {
                return Ok(());
            }
            claim = self.reading.claim(&[frame]);
        }
        let Some(frame) = self.book(page.pointer).await? else {
            let still = self.state().table.wants(page);
            return if still { Err(lost(page.pointer)) } else { Ok(()) };
        };
        let numbers = page_numbers(&frame, page)?;
        self.install(&mut self.state(), Which::Table, page, &numbers);
        Ok(())
    }

    fn install(&self, state: &mut State, which: Which, page: NeedsPage, numbers: &[u64; PAGE_FAN_OUT]) {
        state.tree(which).install(page, numbers);
        if self.pages_beyond(state).is_some() {
            // The task that changes the trees lets some go.
            self.arrived.notify_one();
        }
    }

    /// A frame of the books (pages of the table, lists), which are never moved.
    pub(crate) async fn book_frame(&self, pointer: Pointer) -> Result<Arc<Frame>, LogError> {
        self.book(pointer).await?.ok_or_else(|| lost(pointer))
    }

    async fn book(&self, pointer: Pointer) -> Result<Option<Arc<Frame>>, LogError> {
        if let Some(frame) = self.frames.kept(pointer) {
            return Ok(Some(frame));
        }
        let birth = self.birth(pointer.segment());
        if let Some(frame) = self.frames.cached(pointer, birth.as_ref()).await {
            return Ok(Some(frame));
        }
        let place = self.born_at(pointer.segment())?;
        let read = self.frames.fetch(&[pointer], &place, birth.as_ref()).await?;
        Ok(read.and_then(|mut frames| frames.pop()))
    }

    /// The frame of a block or of a page of the map; `None` where nothing reaches it any more.
    pub(crate) async fn frame(&self, pointer: Pointer) -> Result<Option<Arc<Frame>>, LogError> {
        if let Some(frame) = self.frames.kept(pointer) {
            return Ok(Some(frame));
        }
        let birth = self.birth(pointer.segment());
        if let Some(frame) = self.frames.cached(pointer, birth.as_ref()).await {
            return Ok(Some(frame));
        }
        self.stored_frame(pointer).await
    }

    /// The same, from the store.
    pub(crate) async fn stored_frame(&self, pointer: Pointer) -> Result<Option<Arc<Frame>>, LogError> {
        let read = self.stored(&[pointer]).await?;
        Ok(read.and_then(|mut frames| frames.pop()))
    }

    /// Frames that were born side by side in one segment, from the store; `None` where something of them is nowhere any more.
    pub(crate) async fn stored(&self, run: &[Pointer]) -> Result<Option<Vec<Arc<Frame>>>, LogError> {
        let Some(first) = run.first().copied() else {
            return Ok(Some(Vec::new()));
        };
        let segment = first.segment();
        let birth = self.birth(segment);
        if !self.state().is_own(segment) {
            return ancestors::frames(self, run, birth.as_ref()).await;
        }
        for _ in 0..LOOKS {
            let place = self.place(segment).await?;
            if let Some(frames) = self.frames.fetch(run, &place, birth.as_ref()).await? {
                return Ok(Some(frames));
            }
            if place.key == self.place(segment).await?.key {
                return Ok(None);
            }
        }
        Err(lost(first))
    }

    /// The frame, where the host's cache has it.
    pub(crate) async fn cached(&self, pointer: Pointer) -> Option<Arc<Frame>> {
        self.frames
            .cached(pointer, self.birth(pointer.segment()).as_ref())
            .await
    }

    /// Whether the host's cache has the frame, most probably.
    pub(crate) fn is_cached(&self, state: &State, pointer: Pointer) -> bool {
        let birth = || self.born(state, pointer.segment());
        let cache = self.frames.cache.as_ref();
        cache.is_some_and(|cache| birth().is_some_and(|birth| cache.has(&birth.key(pointer))))
    }

    /// Where a segment was written first, for this host's cache; `None` where it has none, or no epoch has the segment.
    pub(crate) fn birth(&self, segment: SegmentNumber) -> Option<Birth> {
        self.frames.cache.as_ref()?;
        self.born(&self.state(), segment)
    }

    fn born(&self, state: &State, segment: SegmentNumber) -> Option<Birth> {
        let (span, sequence) = state.head.place(segment)?;
        let volume = state.head.lineage.get(usize::from(span.volume))?.volume;
        Some(Birth {
            shelf: self.shelf.of(volume),
            epoch: span.epoch,
            segment,
            sequence,
        })
    }

    /// The line of a segment in the table.
    pub(crate) async fn line(&self, segment: SegmentNumber) -> Result<Line, LogError> {
        self.with(Which::Table, |state| table::line(&state.table, segment))
            .await
    }

    /// Writes a segment's line.
    pub(crate) async fn set_line(&self, segment: SegmentNumber, line: Line) -> Result<(), LogError> {
        self.with(Which::Table, |state| {
            table::set_line(&mut state.table, segment, line)
        })
        .await
    }

    /// Where a segment's frames are now.
    pub(crate) async fn place(&self, segment: SegmentNumber) -> Result<Place, LogError> {
        let (line, born) = (self.line(segment).await?, self.born_at(segment)?);
        let Some(moved) = line.moved else {
            return Ok(born);
        };
        Ok(Place {
            key: self.born_at(moved)?.key,
            moved: Some(moved),
            ..born
        })
    }

    /// All numbers of a kind that segments of the volume's own can have, as far as the head knows.
    pub(crate) fn numbers(&self, kind: Kind) -> Range<u32> {
        let state = self.state();
        let head = &state.head;
        let next = match kind {
            Kind::Log => head.log_next,
            Kind::Map => head.map_next,
            Kind::Gc => head.gc_next,
        };
        let own = head.epochs.iter().find(|span| span.volume == 0);
        let last = head.epochs.last().map_or(1, |span| span.first(kind));
        own.map_or(1, |span| span.first(kind))..last.saturating_add(next).min(SegmentNumber::MAX)
    }

    /// The same as indexes of the table, in pieces that [`Self::lines`] takes one after the other.
    pub(crate) fn chunks(&self, kind: Kind) -> impl Iterator<Item = Range<u64>> + use<> {
        let numbers = self.numbers(kind);
        let end = numbers.end;
        numbers
            .step_by(CHUNK as usize)
            .map(move |first| table::indexes(kind, first..end.min(first.saturating_add(CHUNK))))
    }

    /// The lines of a piece of the table, whose pages may go again. Only the task that changes the trees asks.
    pub(crate) async fn lines(&self, chunk: Range<u64>) -> Result<Vec<(SegmentNumber, Line)>, LogError> {
        self.load_ranges(Which::Table, std::slice::from_ref(&chunk))
            .await?;
        let lines = table::lines(&self.state().table, chunk);
        self.shrink();
        Ok(lines)
    }

    /// The object that a segment of the volume's own was written as.
    pub(crate) fn born_at(&self, segment: SegmentNumber) -> Result<Place, LogError> {
        let found = self.state().head.place(segment);
        let (span, sequence) = found
            .filter(|(span, _)| span.volume == 0)
            .ok_or_else(|| LogError::corrupt(segment, "no epoch of the volume has such a segment"))?;
        let series = Series::Segments(segment.kind(), span.epoch);
        Ok(Place {
            key: self.shelf.key(series, sequence),
            moved: None,
            shelf: self.shelf.clone(),
            epoch: span.epoch,
        })
    }

    /// What opens the frames that were born in a segment of a volume of the family: a key, or none. `None` where the head does not tell in which
    /// epoch that was: another volume's later ones.
    pub(crate) fn opener(&self, volume: VolumeId, segment: SegmentNumber) -> Option<Option<SealKey>> {
        let born = self.born(&self.state(), segment)?;
        (born.shelf.volume == volume).then(|| born.seal_key())
    }

    /// A segment of this epoch, to be filled: sealed where the volume is encrypted.
    pub(crate) fn begin(&self, number: SegmentNumber, lines: usize, codec: Codec) -> SegmentBuilder {
        let key = self.shelf.segment_key(self.epoch, number);
        SegmentBuilder::in_buffer(number, lines, codec, self.memory.spare().take()).sealed(key)
    }

    /// How many pages the trees may have, where they have more.
    fn pages_beyond(&self, state: &State) -> Option<usize> {
        let now = state.map.loaded() + state.table.loaded();
        let most = self.memory.pages(now);
        (now > most).then_some(most)
    }

    /// Whether more pages than those that are needed may come: none has to go for them.
    fn has_room_for_pages(&self, state: &State) -> bool {
        let now = state.map.loaded() + state.table.loaded();
        now + 4 * pages::GROUP <= self.memory.pages(now) / 4 * 3
    }

    /// Lets pages go where there are too many: three quarters of them stay. Only the task that changes the trees does so.
    pub(crate) fn shrink(&self) {
        let mut state = self.state();
        if let Some(most) = self.pages_beyond(&state) {
            state.table.shrink(most / 4);
            state.map.shrink(most / 2);
            self.pages_beyond(&state);
        }
    }

    /// More pages wait to be written than should.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        let state = self.state();
        let now = state.map.loaded() + state.table.loaded();
        state.map.dirty() + state.table.dirty() > self.memory.waiting(self.memory.pages(now))
    }

    /// Where the bytes of these blocks are, with all pages that it takes to tell.
    pub(crate) async fn sources(&self, blocks: Range<u64>) -> Result<Vec<Source>, LogError> {
        loop {
            let found: Result<Vec<Source>, NeedsPage> = {
                let state = self.state();
                blocks.clone().map(|block| state.look(block)).collect()
            };
            match found {
                Ok(sources) => return Ok(sources),
                Err(_) => {
                    self.load_ranges(Which::Map, std::slice::from_ref(&blocks))
                        .await?
                }
            }
        }
    }
}

/// No object of the volume is removed until it is dropped, so that all that its head reaches now can be read.
#[derive(Debug)]
pub struct Hold(Arc<Core>);

impl Hold {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        core.holds.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(core))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The numbers on a page, if it is that one.
pub(crate) fn page_numbers(frame: &Frame, page: NeedsPage) -> Result<[u64; PAGE_FAN_OUT], LogError> {
    if frame.kind != FrameKind::Page || frame.first != page.id() {
        return Err(LogError::corrupt(
            page.pointer,
            "it is not the page of the tree that it should be",
        ));
    }
    let (numbers, _) = frame.plain.as_chunks();
    Ok(std::array::from_fn(|at| {
        numbers.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }))
}

pub(crate) fn lost(pointer: Pointer) -> LogError {
    LogError::corrupt(pointer, "its object is not on the store")
}
