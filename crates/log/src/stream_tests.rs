//! Streams from one volume to another: any history, cut anywhere, and gone on with; and what is refused.

use crate::receive::Receive;
use crate::test_volume::writer;
use crate::{Local, LogError, LogVolume, Options, Receiver, create};
use bytes::Bytes;
use proptest::prelude::*;
use restblk_block::{BlockDevice, WriteFlags};
use restblk_format::log::BLOCK;
use restblk_format::stream::{Decoder, Event, StreamError, Token};
use restblk_store::{MemoryStore, Store};
use restblk_types::{ErrorKind, VolumeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Blocks of a volume that is made: pages of two levels.
const BLOCKS: u64 = 600;

/// What can happen to a volume.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Write(u64, u64),
    Discard(u64, u64),
    Snapshot,
    Resize(u64),
    Rollback(usize),
    DeleteSnapshot(usize),
    Collect,
}

/// Any steps.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..BLOCKS, 1..20_u64).prop_map(|(first, count)| Step::Write(first, count)),
        1 => (0..BLOCKS, 1..400_u64).prop_map(|(first, count)| Step::Write(first, count)),
        4 => (0..BLOCKS, 1..200_u64).prop_map(|(first, count)| Step::Discard(first, count)),
        4 => Just(Step::Snapshot),
        1 => (1..40_000_u64).prop_map(Step::Resize),
        1 => (1..BLOCKS).prop_map(Step::Resize),
        1 => (0..9_usize).prop_map(Step::Rollback),
        1 => (0..9_usize).prop_map(Step::DeleteSnapshot),
        1 => Just(Step::Collect),
    ];
    prop::collection::vec(step, 1..most)
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

async fn open(store: &Arc<dyn Store>, id: u8) -> LogVolume {
    let (volume, options) = (VolumeId::from_bytes([id; 16]), Options::default());
    LogVolume::open(store.clone(), volume, writer(None), options, Local::default())
        .await
        .unwrap()
}

/// A volume, and what it must be: of each block which write it has, 0 for zeros.
pub(crate) struct History {
    id: u8,
    pub(crate) volume: LogVolume,
    pub(crate) now: Vec<u32>,
    pub(crate) snapshots: BTreeMap<u64, Vec<u32>>,
    tag: u32,
}

impl History {
    pub(crate) async fn new(store: &Arc<dyn Store>, id: u8) -> Self {
        Self::sized(store, id, BLOCKS).await
    }

    pub(crate) async fn sized(store: &Arc<dyn Store>, id: u8, blocks: u64) -> Self {
        let volume = VolumeId::from_bytes([id; 16]);
        create(store.clone(), volume, blocks * BLOCK as u64, &writer(None))
            .await
            .unwrap();
        Self {
            id,
            volume: open(store, id).await,
            now: vec![0; usize::try_from(blocks).unwrap()],
            snapshots: BTreeMap::new(),
            tag: 0,
        }
    }

    /// Another host attaches it.
    pub(crate) async fn reopened(self, store: &Arc<dyn Store>) -> Self {
        self.volume.stop().await.unwrap();
        let volume = open(store, self.id).await;
        Self { volume, ..self }
    }

    /// A clone of its newest snapshot.
    pub(crate) async fn clone(&self, store: &Arc<dyn Store>, id: u8) -> Self {
        let (snapshot, content) = self.snapshots.last_key_value().unwrap();
        let child = VolumeId::from_bytes([id; 16]);
        self.volume
            .clone_snapshot(*snapshot, child, &writer(None))
            .await
            .unwrap();
        Self {
            id,
            volume: open(store, id).await,
            now: content.clone(),
            snapshots: BTreeMap::new(),
            tag: self.tag,
        }
    }

    fn within(&self, first: u64, count: u64) -> std::ops::Range<usize> {
        let blocks = self.now.len() as u64;
        let first = first % blocks;
        let end = (first + count).min(blocks);
        usize::try_from(first).unwrap()..usize::try_from(end).unwrap()
    }

    pub(crate) async fn go(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(*step).await;
        }
    }

    async fn step(&mut self, step: Step) {
        let block = BLOCK as u64;
        match step {
            Step::Write(first, count) => {
                let blocks = self.within(first, count);
                self.tag += 1;
                let data: Vec<u8> = blocks.clone().flat_map(|at| content(self.tag, at)).collect();
                self.now[blocks.clone()].fill(self.tag);
                let flags = WriteFlags::default();
                self.volume
                    .write(blocks.start as u64 * block, &data, flags)
                    .await
                    .unwrap();
            }
            Step::Discard(first, count) => {
                let blocks = self.within(first, count);
                self.now[blocks.clone()].fill(0);
                let (offset, len) = (blocks.start as u64 * block, blocks.len() as u64 * block);
                self.volume.discard(offset, len).await.unwrap();
            }
            Step::Snapshot => {
                self.tag += 1;
                let name = format!("s{}", self.tag);
                let id = self
                    .volume
                    .snapshot(&name, &format!("at {}", self.tag))
                    .await
                    .unwrap();
                self.snapshots.insert(id, self.now.clone());
            }
            Step::Resize(blocks) => {
                self.volume.resize(blocks * block).await.unwrap();
                self.now.resize(usize::try_from(blocks).unwrap(), 0);
            }
            Step::Rollback(at) => {
                let Some((id, content)) = self.snapshots.iter().nth(at) else {
                    return;
                };
                self.volume.rollback(*id).await.unwrap();
                self.now = content.clone();
            }
            Step::DeleteSnapshot(at) => {
                let Some(id) = self.snapshots.keys().nth(at).copied() else {
                    return;
                };
                self.volume.delete_snapshot(id).await.unwrap();
                self.snapshots.remove(&id);
            }
            Step::Collect => drop(self.volume.collect().await.unwrap()),
        }
    }
}

fn content(tag: u32, block: usize) -> Vec<u8> {
    let word = (block as u64) << 32 | u64::from(tag);
    word.to_le_bytes().repeat(BLOCK / 8)
}

/// That a device has what it must.
async fn holds(device: &dyn BlockDevice, wanted: &[u32]) {
    assert_eq!(device.geometry().size, (wanted.len() * BLOCK) as u64);
    for (first, tags) in (0..).step_by(256).zip(wanted.chunks(256)) {
        let mut found = vec![0; tags.len() * BLOCK];
        device.read((first * BLOCK) as u64, &mut found).await.unwrap();
        for (at, (tag, found)) in (first..).zip(tags.iter().zip(found.chunks(BLOCK))) {
            let wanted = if *tag == 0 {
                vec![0; BLOCK]
            } else {
                content(*tag, at)
            };
            assert!(found == wanted, "block {at}");
        }
    }
}

/// The whole stream.
async fn stream(from: &LogVolume, to: u64, before: Option<u64>, resumed: Option<Token>) -> Vec<u8> {
    let sending = from.sending("p/v".to_owned(), to, before, resumed).unwrap();
    let (out, mut sent) = mpsc::channel::<Bytes>(2);
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(some) = sent.recv().await {
            bytes.extend_from_slice(&some);
        }
        bytes
    };
    let run = async {
        let sent = sending.run(&out).await;
        drop(out);
        sent
    };
    let (sent, bytes) = tokio::join!(run, collect);
    sent.unwrap();
    bytes
}

/// How a stream ended.
#[derive(Debug)]
enum Ended {
    Whole(u64),
    /// Where it can be gone on with.
    Broken(StreamError, Option<Token>),
}

fn how(force: bool) -> Receive {
    let now = "now".to_owned();
    Receive { force, now }
}

/// Receives bytes, of which there may be too few.
async fn receive(into: &LogVolume, bytes: &[u8], force: bool) -> Result<Ended, LogError> {
    let (mut decoder, mut receiver) = (Decoder::default(), None::<Receiver<'_>>);
    let mut ended = false;
    let broken = 'read: {
        for some in bytes.chunks(50_000) {
            decoder.push(some);
            loop {
                match decoder.next_event() {
                    Ok(None) => break,
                    Ok(Some(Event::Begin { begin, start })) => {
                        receiver = Some(into.receive(&begin, start, &how(force)).await?);
                    }
                    Ok(Some(Event::Data { offset, data })) => {
                        receiver.as_mut().unwrap().data(offset, Bytes::from(data)).await?;
                    }
                    Ok(Some(Event::Zeros { offset, length })) => {
                        receiver.as_mut().unwrap().zeros(offset, length).await?;
                    }
                    Ok(Some(Event::End)) => ended = true,
                    Err(error) => break 'read Some(error),
                }
            }
        }
        decoder.finish().err()
    };
    match (broken, receiver) {
        (None, Some(receiver)) => {
            assert!(ended);
            receiver.finish().await.map(Ended::Whole)
        }
        (Some(error), Some(receiver)) => {
            let token = receiver.pause().await?.token();
            Ok(Ended::Broken(error, Some(token)))
        }
        (Some(error), None) => Ok(Ended::Broken(error, None)),
        (None, None) => unreachable!("a whole stream begins"),
    }
}

/// Sends a snapshot in as many parts as there are breaks, each after so many bytes of what is left.
async fn send_in_parts(
    from: &History,
    into: &mut History,
    store: &Arc<dyn Store>,
    to: u64,
    before: Option<u64>,
    breaks: &[usize],
) {
    let mut token = None;
    for cut in breaks {
        let bytes = stream(&from.volume, to, before, token).await;
        let cut = cut % bytes.len();
        match receive(&into.volume, &bytes[..cut], false).await.unwrap() {
            Ended::Whole(_) => panic!("a part was taken for the whole"),
            Ended::Broken(_, None) => {}
            Ended::Broken(_, Some(next)) => {
                // Another host attaches the receiver, or the same one after its death.
                into.volume.cut_off();
                into.volume = open(store, into.id).await;
                let half = into.volume.receiving().unwrap();
                assert_eq!(half.token(), next);
                let refused = into.volume.snapshot("of a half", "").await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
                token = Some(next);
            }
        }
    }
    let bytes = stream(&from.volume, to, before, token).await;
    let ended = receive(&into.volume, &bytes, false).await.unwrap();
    let Ended::Whole(id) = ended else {
        panic!("{ended:?}")
    };
    assert!(into.volume.receiving().is_none());
    into.snapshots.insert(id, from.snapshots[&to].clone());
    into.now = from.snapshots[&to].clone();
    holds(&into.volume.view(id).unwrap(), &into.now).await;
    holds(&into.volume, &into.now).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_chain_of_streams_makes_the_same_snapshots(
        steps in steps(60),
        breaks in prop::collection::vec(prop::collection::vec(any::<usize>(), 0..4), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (store, other) = (memory(), memory());
            let mut from = History::new(&store, 1).await;
            from.go(&steps).await;
            from.go(&[Step::Snapshot]).await;
            let mut into = History::new(&other, 2).await;
            let mut third = History::new(&other, 3).await;
            let mut before = None;
            for (id, breaks) in from.snapshots.keys().zip(breaks.iter().cycle()) {
                send_in_parts(&from, &mut into, &other, *id, before, breaks).await;
                before = Some(*id);
            }
            // What was received is sent on as what it is.
            let received: Vec<u64> = into.snapshots.keys().copied().collect();
            let first = received[0];
            send_in_parts(&into, &mut third, &other, first, None, &[]).await;
            let last = *received.last().unwrap();
            if last != first {
                let sent = *from.snapshots.keys().next().unwrap();
                let newest = *from.snapshots.keys().last().unwrap();
                send_in_parts(&from, &mut third, &other, newest, Some(sent), &[]).await;
            }
        });
    }
}

/// A volume with two snapshots, and an empty one.
async fn two() -> (History, History, Vec<u64>, Arc<dyn Store>) {
    let store = memory();
    let mut from = History::new(&store, 1).await;
    from.go(&[
        Step::Write(0, 300),
        Step::Snapshot,
        Step::Write(100, 50),
        Step::Discard(10, 30),
        Step::Snapshot,
    ])
    .await;
    let into = History::new(&store, 2).await;
    let ids = from.snapshots.keys().copied().collect();
    (from, into, ids, store)
}

#[tokio::test]
async fn an_increment_is_taken_by_what_it_goes_on_from_alone() {
    let (from, mut into, ids, store) = two().await;
    let increment = stream(&from.volume, ids[1], Some(ids[0]), None).await;
    let refused = receive(&into.volume, &increment, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    send_in_parts(&from, &mut into, &store, ids[0], None, &[]).await;
    // A snapshot of the same name that is another one does not count; nor does the volume once it was written to.
    let whole = stream(&from.volume, ids[1], None, None).await;
    let refused = receive(&into.volume, &whole, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Exists, "{refused}");
    into.go(&[Step::Write(5, 1)]).await;
    for force in [false, true] {
        match receive(&into.volume, &increment, force).await {
            Err(refused) => assert!(!force && refused.kind() == ErrorKind::Conflict, "{refused}"),
            Ok(ended) => assert!(force && matches!(ended, Ended::Whole(_)), "{ended:?}"),
        }
    }
    holds(&into.volume, &from.snapshots[&ids[1]]).await;
    let again = receive(&into.volume, &increment, true).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists, "{again}");
}

#[tokio::test]
async fn writing_what_changes_nothing_is_no_change() {
    let (from, mut into, ids, store) = two().await;
    send_in_parts(&from, &mut into, &store, ids[0], None, &[]).await;
    into.go(&[
        Step::Write(400, 9),
        Step::Discard(400, 9),
        Step::Discard(500, 100),
    ])
    .await;
    let mut into = into.reopened(&store).await;
    send_in_parts(&from, &mut into, &store, ids[1], Some(ids[0]), &[]).await;
}

#[tokio::test]
async fn a_newer_snapshot_stands_in_the_way_until_it_is_forced() {
    let (from, mut into, ids, store) = two().await;
    send_in_parts(&from, &mut into, &store, ids[0], None, &[]).await;
    into.go(&[Step::Snapshot]).await;
    let increment = stream(&from.volume, ids[1], Some(ids[0]), None).await;
    let refused = receive(&into.volume, &increment, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(matches!(
        receive(&into.volume, &increment, true).await.unwrap(),
        Ended::Whole(_)
    ));
    holds(&into.volume, &from.snapshots[&ids[1]]).await;
}

#[tokio::test]
async fn a_half_is_of_no_use_but_for_its_way_back() {
    let (from, mut into, ids, store) = two().await;
    send_in_parts(&from, &mut into, &store, ids[0], None, &[]).await;
    let before = *into.snapshots.keys().next().unwrap();
    let increment = stream(&from.volume, ids[1], Some(ids[0]), None).await;
    let half = increment.len() / 2;
    let ended = receive(&into.volume, &increment[..half], false).await.unwrap();
    assert!(
        matches!(ended, Ended::Broken(StreamError::Cut { .. }, Some(_))),
        "{ended:?}"
    );
    for refused in [
        into.volume.snapshot("x", "").await.unwrap_err(),
        into.volume.resize(1 << 30).await.unwrap_err(),
        into.volume.delete_snapshot(before).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
        assert!(refused.to_string().contains("--resume-from rb1."), "{refused}");
    }
    // Another stream does not take its place, but by force.
    let mut other = History::new(&store, 3).await;
    other.go(&[Step::Write(0, 9), Step::Snapshot]).await;
    let others = stream(&other.volume, 1, None, None).await;
    assert_eq!(
        receive(&into.volume, &others, false).await.unwrap_err().kind(),
        ErrorKind::Busy
    );
    into.volume.rollback(before).await.unwrap();
    assert!(into.volume.receiving().is_none());
    holds(&into.volume, &into.now).await;
    into.volume.resize((BLOCKS + 1) * BLOCK as u64).await.unwrap();
}

#[tokio::test]
async fn a_half_of_a_whole_volume_gives_way_to_another_by_force() {
    let (from, into, ids, _) = two().await;
    let first = stream(&from.volume, ids[0], None, None).await;
    let half = first.len() / 2;
    receive(&into.volume, &first[..half], false).await.unwrap();
    let second = stream(&from.volume, ids[1], None, None).await;
    assert_eq!(
        receive(&into.volume, &second, false).await.unwrap_err().kind(),
        ErrorKind::Busy
    );
    assert!(matches!(
        receive(&into.volume, &second, true).await.unwrap(),
        Ended::Whole(_)
    ));
    holds(&into.volume, &from.snapshots[&ids[1]]).await;
}

#[tokio::test]
async fn a_stream_that_goes_on_too_far_ahead_is_refused() {
    let (from, into, ids, _) = two().await;
    let whole = stream(&from.volume, ids[0], None, None).await;
    let ended = receive(&into.volume, &whole[..200_000], false).await.unwrap();
    let Ended::Broken(_, Some(mut token)) = ended else {
        panic!("{ended:?}")
    };
    assert!(token.position < (300 * BLOCK) as u64);
    token.position += BLOCK as u64;
    let ahead = stream(&from.volume, ids[0], None, Some(token)).await;
    let refused = receive(&into.volume, &ahead, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    // The token of one stream is not another's.
    assert!(
        from.volume
            .sending(String::new(), ids[1], None, Some(token))
            .is_err()
    );
    assert!(
        from.volume
            .sending(String::new(), ids[0], Some(ids[1]), None)
            .is_err()
    );
    // From its beginning it may always go on.
    assert!(matches!(
        receive(&into.volume, &whole, false).await.unwrap(),
        Ended::Whole(_)
    ));
}

#[tokio::test]
async fn a_damaged_stream_leaves_what_was_right_before_it() {
    let (from, mut into, ids, store) = two().await;
    let whole = stream(&from.volume, ids[0], None, None).await;
    let mut token = None;
    for at in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut bytes = stream(&from.volume, ids[0], None, token).await;
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 0x10;
        let ended = receive(&into.volume, &bytes, false).await.unwrap();
        let Ended::Broken(StreamError::Damaged { .. }, next) = ended else {
            panic!("{ended:?}")
        };
        token = next;
    }
    send_in_parts(&from, &mut into, &store, ids[0], None, &[]).await;
    send_in_parts(&from, &mut into, &store, ids[1], Some(ids[0]), &[]).await;
}

#[tokio::test]
async fn one_receives_at_a_time() {
    let (from, into, ids, _) = two().await;
    let whole = stream(&from.volume, ids[0], None, None).await;
    let mut decoder = Decoder::default();
    decoder.push(&whole);
    let Ok(Some(Event::Begin { begin, start })) = decoder.next_event() else {
        panic!("no beginning");
    };
    let first = into.volume.receive(&begin, start, &how(false)).await.unwrap();
    let second = into.volume.receive(&begin, start, &how(true)).await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Busy);
    drop(first);
    into.volume.receive(&begin, start, &how(false)).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_is_deleted_while_it_is_sent_ends_the_stream_with_the_reason() {
    let (from, _, ids, _) = two().await;
    let sending = from.volume.sending("p/v".to_owned(), ids[1], None, None).unwrap();
    from.volume.delete_snapshot(ids[1]).await.unwrap();
    let (out, mut sent) = mpsc::channel::<Bytes>(100);
    assert_eq!(sending.run(&out).await.unwrap_err().kind(), ErrorKind::NotFound);
    drop(out);
    let mut decoder = Decoder::default();
    while let Some(some) = sent.recv().await {
        decoder.push(&some);
    }
    assert!(matches!(decoder.next_event(), Ok(Some(Event::Begin { .. }))));
    let Err(StreamError::GivenUp(why)) = decoder.next_event() else {
        panic!("it did not give up");
    };
    assert!(why.contains("deleted"), "{why}");
}
