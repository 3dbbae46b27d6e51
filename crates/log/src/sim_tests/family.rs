//! A volume, what is cloned from it and from its clones, and the end of each.

use super::ground::{BLOCK, BLOCKS, Contents, Ground, contents, ms};
use super::volume::Volume;
use crate::ancestors::Ancestor;
use crate::check::{How, Teller, check};
use crate::core::Which;
use crate::shelf::{Series, Shelf};
use crate::{LogError, LogVolume, create, destroy, table};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use restblk_format::log::{Kind, Pointer};
use restblk_store::faulty::{Fault, Operation};
use restblk_types::{ErrorKind, VolumeId};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

/// Volumes at once, but for those whose creation comes late.
const VOLUMES: usize = 4;

/// What can happen to clones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Cloned,
    ClonedAgain,
    CutOffAndMade,
    CutOffAndNotMade,
    LateAndMade,
    LateAndGivenUp,
    Hidden,
    Reaped,
    Moved,
    Flattened,
    FlattenRefused,
    Destroyed,
    DestroyRefused,
}

impl Event {
    pub(super) const ALL: [Self; 13] = [
        Self::Cloned,
        Self::ClonedAgain,
        Self::CutOffAndMade,
        Self::CutOffAndNotMade,
        Self::LateAndMade,
        Self::LateAndGivenUp,
        Self::Hidden,
        Self::Reaped,
        Self::Moved,
        Self::Flattened,
        Self::FlattenRefused,
        Self::Destroyed,
        Self::DestroyRefused,
    ];
}

/// How often each has happened.
pub(super) type Tally = BTreeMap<Event, u32>;

/// A clone of which it is not known whether it was made.
struct Doubtful {
    id: VolumeId,
    begins: Contents,
}

/// A clone whose creator is slow.
struct Late {
    clone: Doubtful,
    creator: JoinHandle<Result<(), LogError>>,
}

/// See the module.
pub(super) struct World {
    ground: Ground,
    volumes: Vec<Volume>,
    doubtful: Vec<Doubtful>,
    late: Vec<Late>,
    /// How often the removal of each volume was begun.
    removals: BTreeMap<VolumeId, usize>,
    tally: Tally,
}

impl World {
    pub(super) async fn new(seed: u64) -> Self {
        let mut ground = Ground::new(seed, StdRng::seed_from_u64(seed));
        let (store, writer) = ground.host();
        let (id, size) = (ground.id(), BLOCKS as u64 * BLOCK);
        while let Err(error) = create(store.clone(), id, size, &writer).await {
            assert!(error.kind().is_transient(), "{error}");
        }
        let mut first = Volume::new(&ground, id, vec![0; BLOCKS]);
        first.open(&mut ground).await;
        Self {
            ground,
            volumes: vec![first],
            doubtful: Vec::new(),
            late: Vec::new(),
            removals: BTreeMap::new(),
            tally: Tally::new(),
        }
    }

    fn happened(&mut self, event: Event) {
        *self.tally.entry(event).or_default() += 1;
    }

    /// What can be seen of a volume.
    fn note(&mut self, at: usize) {
        let core = &self.volumes[at].device().core;
        if core.ancestors.iter().any(Ancestor::was_looked_at) {
            self.happened(Event::Moved);
        }
        let snapshots = self.volumes[at].device().core.state().head.snapshots.clone();
        if snapshots.iter().any(|snapshot| snapshot.name.is_none()) {
            self.happened(Event::Hidden);
        }
    }

    fn any(&mut self) -> usize {
        self.ground.chance.random_range(0..self.volumes.len())
    }

    pub(super) async fn step(&mut self) {
        self.note_late().await;
        let at = self.any();
        self.note(at);
        let volume = &mut self.volumes[at];
        match self.ground.chance.random_range(0..1000) {
            0..20 => self.clone(at).await,
            20..26 => self.clone_cut_off(at).await,
            26..32 => self.clone_late(at).await,
            32..37 => self.settle().await,
            37..42 => self.flatten(at).await,
            42..46 => self.flatten_cut_off(at).await,
            46..52 => volume.delete_snapshot_cut_off(&mut self.ground).await,
            52..58 => self.read_while_collected(at).await,
            58..62 => {
                if volume.device().reap().await.unwrap() > 0 {
                    self.happened(Event::Reaped);
                }
            }
            62..67 => self.destroy(at).await,
            _ => volume.step(&mut self.ground).await,
        }
    }

    /// A snapshot of a volume, and a clone that does not exist yet.
    fn a_clone(&mut self, at: usize) -> Option<(u64, Doubtful)> {
        let volume = &self.volumes[at];
        let snapshot = volume.a_snapshot(&mut self.ground)?;
        let begins = volume.snapshots[&snapshot].clone();
        let id = self.ground.id();
        Some((snapshot, Doubtful { id, begins }))
    }

    async fn clone(&mut self, at: usize) {
        if self.volumes.len() >= VOLUMES {
            return;
        }
        let Some((snapshot, clone)) = self.a_clone(at) else {
            return;
        };
        let (_, writer) = self.ground.host();
        let device = self.volumes[at].device();
        while let Err(error) = device.clone_snapshot(snapshot, clone.id, &writer).await {
            assert!(error.kind().is_transient(), "{error}");
        }
        let is_clone = !device.ancestors().is_empty();
        assert!(self.adopt(clone).await, "seed {}: no clone", self.ground.seed);
        self.happened(if is_clone {
            Event::ClonedAgain
        } else {
            Event::Cloned
        });
    }

    /// Attaches a clone; false where it was not made.
    async fn adopt(&mut self, clone: Doubtful) -> bool {
        let mut volume = Volume::new(&self.ground, clone.id, clone.begins);
        let is_there = volume.try_open(&mut self.ground).await;
        if is_there {
            volume.check_recovered(&self.ground, 0).await;
            self.volumes.push(volume);
        }
        is_there
    }

    /// The host ends in the midst of it.
    async fn clone_cut_off(&mut self, at: usize) {
        let Some((snapshot, clone)) = self.a_clone(at) else {
            return;
        };
        let (_, writer) = self.ground.host();
        let pause = ms(self.ground.chance.random_range(0..60));
        let volume = &mut self.volumes[at];
        let cloning = volume.device().clone_snapshot(snapshot, clone.id, &writer);
        drop(tokio::time::timeout(pause, cloning).await);
        volume.crash(&mut self.ground).await;
        self.doubtful.push(clone);
    }

    /// The host stalls in the midst of it, and goes on when another one has the volume.
    async fn clone_late(&mut self, at: usize) {
        let Some((snapshot, clone)) = self.a_clone(at) else {
            return;
        };
        let (_, writer) = self.ground.host();
        let volume = &mut self.volumes[at];
        // Nothing else is on its way.
        volume.device().checkpoint().await.unwrap();
        volume.is_stored();
        let store = volume.store.clone().unwrap();
        for _ in 0..self.ground.chance.random_range(1..=2) {
            store.next(Some(Operation::Put), Fault::Delay(ms(1)));
        }
        let pause = ms(self.ground.chance.random_range(0..40_000));
        store.next(Some(Operation::Put), Fault::Delay(pause));
        let (device, id) = (volume.device.clone().unwrap(), clone.id);
        let creator = tokio::spawn(async move { device.clone_snapshot(snapshot, id, &writer).await });
        tokio::time::sleep(ms(50)).await;
        store.forget_script();
        volume.takeover(&mut self.ground).await;
        if self.ground.chance.random_bool(0.7) && volume.snapshots.contains_key(&snapshot) {
            volume.delete_snapshot(snapshot).await;
            for _ in 0..5 {
                volume.write(&mut self.ground).await;
            }
            volume.device().collect().await.unwrap();
            volume.is_stored();
        }
        self.late.push(Late { clone, creator });
    }

    /// Creators that have ended.
    async fn note_late(&mut self) {
        for late in std::mem::take(&mut self.late) {
            if !late.creator.is_finished() {
                self.late.push(late);
                continue;
            }
            match late.creator.await.unwrap() {
                Ok(()) => {
                    let seed = self.ground.seed;
                    let is_there = self.adopt(late.clone).await;
                    assert!(is_there, "seed {seed}: it was made, and is not there");
                    self.happened(Event::LateAndMade);
                }
                Err(error) => {
                    if error.kind() == ErrorKind::Conflict {
                        self.happened(Event::LateAndGivenUp);
                    }
                    self.doubtful.push(late.clone);
                }
            }
        }
    }

    /// Looks whether the clones were made of which that is not known.
    async fn settle(&mut self) {
        for clone in std::mem::take(&mut self.doubtful) {
            let made = self.adopt(clone).await;
            self.happened(if made {
                Event::CutOffAndMade
            } else {
                Event::CutOffAndNotMade
            });
        }
    }

    /// While somebody writes.
    async fn flatten(&mut self, at: usize) {
        let clones = self
            .volumes
            .iter()
            .rposition(|volume| !volume.device().ancestors().is_empty());
        let at = clones.unwrap_or(at);
        let volume = &mut self.volumes[at];
        let device = volume.device.clone().unwrap();
        // Before: clones that are gone may be taken off their lists meanwhile.
        let is_held = !volume.snapshots.is_empty() || !device.children().is_empty();
        let mut passed = 0;
        let mut told = |progress: crate::Progress| passed = progress.done;
        let writes = async {
            for _ in 0..self.ground.chance.random_range(0..40) {
                volume.write(&mut self.ground).await;
                tokio::time::sleep(ms(5)).await;
            }
        };
        let (flattened, ()) = tokio::join!(device.flatten(&mut told), writes);
        match flattened {
            Ok(()) => {
                assert!(device.ancestors().is_empty());
                assert!(passed == 0 || passed == BLOCKS as u64);
                if passed > 0 {
                    self.happened(Event::Flattened);
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                assert!(is_held, "{error}");
                self.happened(Event::FlattenRefused);
            }
        }
        self.volumes[at].check_now(&self.ground).await;
    }

    /// The host ends in the midst of it.
    async fn flatten_cut_off(&mut self, at: usize) {
        let volume = &mut self.volumes[at];
        let pause = ms(self.ground.chance.random_range(0..400));
        let mut told = |_| ();
        let flatten = volume.device().flatten(&mut told);
        drop(tokio::time::timeout(pause, flatten).await);
        if self.ground.chance.random_bool(0.5) {
            volume.crash(&mut self.ground).await;
        }
    }

    /// A volume is read while another one of the family moves what it reads.
    async fn read_while_collected(&mut self, at: usize) {
        let other = self.any();
        let (reader, collector) = (
            self.volumes[at].device.clone(),
            self.volumes[other].device.clone(),
        );
        let (reader, collector) = (reader.unwrap(), collector.unwrap());
        let collect = async {
            for _ in 0..3 {
                collector.collect().await.unwrap();
            }
        };
        let (found, ()) = tokio::join!(contents(reader.as_ref(), BLOCKS), collect);
        assert!(
            found == *self.volumes[at].now(),
            "seed {}: while it is collected",
            self.ground.seed
        );
        self.volumes[other].is_stored();
    }

    /// Whether a volume is read by clones: by those that were made, and as far as is known.
    fn is_read(&self, at: usize) -> bool {
        let id = self.volumes[at].id;
        let mut devices = self.volumes.iter().filter_map(|volume| volume.device.as_ref());
        devices.any(|device| device.ancestors().first() == Some(&id))
    }

    async fn destroy(&mut self, at: usize) {
        if self.volumes.len() < 2 {
            return;
        }
        let volume = &mut self.volumes[at];
        volume.device().stop().await.unwrap();
        volume.is_stored();
        volume.device = None;
        // What lands late has landed.
        tokio::time::sleep(ms(45_000)).await;
        if self.ground.chance.random_bool(0.3) && !self.is_read(at) {
            *self.removals.entry(self.volumes[at].id).or_default() += 1;
            let (store, _) = self.ground.host();
            let pause = ms(self.ground.chance.random_range(0..300));
            drop(tokio::time::timeout(pause, destroy(store, self.volumes[at].id)).await);
        }
        let gone = self.destroyed(self.volumes[at].id).await;
        if gone {
            // Looked at afterwards: a flatten whose caller has gone may have ended meanwhile.
            assert!(
                !self.is_read(at),
                "seed {}: it is destroyed, and has clones",
                self.ground.seed
            );
            drop(self.volumes.remove(at));
            self.happened(Event::Destroyed);
            return;
        }
        self.happened(Event::DestroyRefused);
        let volume = &mut self.volumes[at];
        volume.open(&mut self.ground).await;
        let least = volume.history.len() - 1;
        volume.check_recovered(&self.ground, least).await;
    }

    async fn destroyed(&mut self, id: VolumeId) -> bool {
        loop {
            *self.removals.entry(id).or_default() += 1;
            let (store, _) = self.ground.host();
            match destroy(store, id).await {
                Ok(()) => return true,
                Err(error) if error.kind() == ErrorKind::Busy => return false,
                Err(error) => assert!(error.kind().is_transient(), "{error}"),
            }
        }
    }

    /// Looks at everything once more, and deletes all of it in any order.
    pub(super) async fn end(mut self) -> Tally {
        tokio::time::sleep(ms(60_000)).await;
        self.note_late().await;
        assert!(self.late.is_empty());
        self.settle().await;
        for volume in &mut self.volumes {
            volume.check_now(&self.ground).await;
            volume.check_snapshots(&self.ground).await;
        }
        for volume in &self.volumes {
            look_through(&self.ground, volume.id).await;
        }
        while self.volumes.len() > 1 {
            let at = self.any();
            let volume = &mut self.volumes[at];
            match volume.a_snapshot(&mut self.ground) {
                Some(id) if self.ground.chance.random_bool(0.5) => volume.delete_snapshot(id).await,
                _ => self.destroy(at).await,
            }
            for volume in &mut self.volumes {
                volume.check_now(&self.ground).await;
            }
        }
        if let Some(mut last) = self.volumes.pop() {
            for id in last.snapshots.clone().into_keys() {
                last.delete_snapshot(id).await;
            }
            last.device().reap().await.unwrap();
            last.device().checkpoint().await.unwrap();
            let seed = self.ground.seed;
            let left = last.device().core.state().head.snapshots.clone();
            assert!(left.is_empty(), "seed {seed}: {left:?} stay for nobody");
            if last.device().ancestors().is_empty() {
                let (live, mapped) = accounts(last.device()).await;
                assert_eq!(live, mapped, "seed {seed}: blocks that are held, and mapped ones");
            }
            last.device().stop().await.unwrap();
        }
        tokio::time::sleep(ms(60_000)).await;
        for id in self.ground.ids() {
            assert!(
                self.destroyed(id).await,
                "seed {}: the last ones",
                self.ground.seed
            );
        }
        for id in self.ground.ids() {
            only_tombstones(&self.ground, id, self.removals[&id]).await;
        }
        self.tally
    }
}

/// A check finds nothing wrong with a volume, whatever has happened to it.
async fn look_through(ground: &Ground, id: VolumeId) {
    let how = How {
        deep: true,
        garbage: true,
    };
    let report = check(
        ground.disk.clone(),
        id,
        ground.key.clone(),
        how,
        Teller::new(&|_| {}),
    )
    .await
    .unwrap();
    let (findings, lost) = (&report.findings, &report.lost);
    assert!(
        report.is_clean() && lost.is_empty(),
        "seed {}: {findings:?} {lost:?}",
        ground.seed
    );
}

/// Blocks of data that count as alive in a volume without snapshots, and those that its map has.
async fn accounts(device: &LogVolume) -> (u64, u64) {
    let core = &device.core;
    let range = table::indexes(Kind::Log, 1..1 << 20);
    core.load_ranges(Which::Table, std::slice::from_ref(&range))
        .await
        .unwrap();
    let lines = table::lines(&core.state().table, range);
    let live = lines.iter().map(|(_, line)| u64::from(line.live)).sum();
    let blocks = 0..BLOCKS as u64;
    let mut mapped = 0;
    for block in blocks {
        let bits = core.with(Which::Map, |state| state.map.get(block)).await.unwrap();
        mapped += u64::from(Pointer::from_bits(bits).unwrap().is_some());
    }
    (live, mapped)
}

/// What stays of a volume: a tombstone at its first epoch, and those of the heads of each epoch: one by its next epoch or by the
/// removal, and one for each time that this was begun again.
async fn only_tombstones(ground: &Ground, id: VolumeId, removals: usize) {
    let shelf = Shelf::new(ground.disk.clone(), id);
    let list = async |series| shelf.list(series, None).await.unwrap().entries;
    assert!(
        list(Series::Epochs).await.len() <= 1,
        "seed {}: epochs",
        ground.seed
    );
    for epoch in 1..100 {
        for kind in Kind::ALL {
            let left = list(Series::Segments(kind, epoch)).await;
            assert!(left.is_empty(), "seed {}: {left:?}", ground.seed);
        }
        let heads = list(Series::Heads(epoch)).await;
        assert!(heads.len() <= removals + 1, "seed {}: {heads:?}", ground.seed);
        for head in heads {
            let header = shelf.header(&head.key).await.unwrap().unwrap();
            assert_eq!(header.object, restblk_format::log::ObjectType::Tombstone);
        }
    }
}
