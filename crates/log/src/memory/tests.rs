use super::*;
use restblk_format::log::{FrameKind, Kind, SegmentNumber};
use std::time::Duration;
use tokio::time::timeout;

fn small() -> Arc<Memory> {
    Arc::new(Memory::with(Parts {
        reserve: Reserve {
            unsent: 8,
            packed: 1,
            fetched: 100,
        },
        unsent: 16,
        packed: 2,
        fetched: 1000,
        frames: 40_000,
        pages: 100,
        waiting: 50,
    }))
}

fn pointer(number: u32) -> Pointer {
    Pointer::new(SegmentNumber::new(Kind::Log, number).unwrap(), 64, 640, 0).unwrap()
}

fn frame(blocks: usize) -> Arc<Frame> {
    Arc::new(Frame {
        kind: FrameKind::Data,
        origin: pointer(1),
        first: 0,
        plain: vec![0; blocks * BLOCK],
    })
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_has_all_leaves_the_others_their_reserve() {
    let memory = small();
    let (greedy, modest) = (Member::new(memory.clone()), Member::new(memory));
    let has: Vec<_> = std::iter::from_fn(|| greedy.unsent.try_take(4)).collect();
    assert_eq!(has.len(), 6, "16 that are shared and 8 of its own");
    let own: Vec<_> = std::iter::from_fn(|| modest.unsent.try_take(4)).collect();
    assert_eq!(own.len(), 2);
    let second = Duration::from_secs(1);
    assert!(timeout(second, modest.unsent.take(4)).await.is_err());
    drop(own);
    assert!(timeout(second, modest.unsent.take(8)).await.unwrap().is_some());
    drop(has);
    let all: Vec<_> = std::iter::from_fn(|| modest.unsent.try_take(4)).collect();
    assert_eq!(all.len(), 6, "nothing is lost on the way");
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_what_comes_first_and_is_told_of_the_end() {
    let memory = small();
    let (one, other) = (Member::new(memory.clone()), Member::new(memory));
    let mut shared: Vec<_> = std::iter::from_fn(|| one.packed.try_take(1)).collect();
    let _own = other.packed.try_take(1).unwrap();
    let waits = other.packed.take(1);
    tokio::pin!(waits);
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    drop(shared.pop());
    assert!(waits.await.is_some(), "from what all share");
    let waits = other.packed.take(1);
    tokio::pin!(waits);
    other.packed.close();
    assert!(waits.await.is_none() && other.packed.try_take(1).is_none());
}

#[test]
fn more_than_the_reserve_is_counted_as_that() {
    let volume = Member::new(small());
    let has: Vec<_> = std::iter::from_fn(|| volume.fetched.try_take(5000)).collect();
    assert_eq!(has.len(), 11);
}

#[test]
fn bytes_are_charged_until_the_last_part_of_them_is_gone() {
    let volume = Member::new(small());
    let taken = volume.unsent.try_take(8).unwrap();
    let mut bytes = taken.charge(Bytes::from(vec![1; 8 * BLOCK]));
    let last = bytes.split_off(7 * BLOCK);
    drop(bytes);
    let rest: Vec<_> = std::iter::from_fn(|| volume.unsent.try_take(8)).collect();
    assert_eq!(rest.len(), 2);
    drop(last);
    assert!(volume.unsent.try_take(8).is_some());
}

#[test]
fn the_oldest_frames_go_and_a_volume_takes_its_own_with_it() {
    let memory = small();
    let (one, other) = (Member::new(memory.clone()), Member::new(memory.clone()));
    one.keep(pointer(1), &frame(1));
    other.keep(pointer(1), &frame(2));
    assert_eq!(one.kept(pointer(1)).unwrap().plain.len(), BLOCK);
    assert_eq!(other.kept(pointer(1)).unwrap().plain.len(), 2 * BLOCK);
    one.keep(pointer(2), &frame(8));
    assert!(one.kept(pointer(1)).is_none() && one.kept(pointer(2)).is_some());
    one.keep(pointer(2), &frame(8));
    assert!(memory.frames().bytes <= 40_000);
    drop(one);
    other.keep(pointer(3), &frame(1));
    drop(other);
    let frames = memory.frames();
    assert_eq!((frames.bytes, frames.kept.len()), (0, 0));
}

#[test]
fn a_volume_may_have_the_pages_that_others_leave_but_never_less_than_its_share() {
    let memory = small();
    let one = Member::new(memory.clone());
    assert_eq!(one.pages(80), 100);
    let other = Member::new(memory.clone());
    assert_eq!(other.pages(5), 50, "its share, though the first has more");
    assert_eq!(one.pages(80), 95);
    assert_eq!(other.pages(40), 50);
    assert_eq!(one.pages(80), 60, "it has to let some go");
    assert_eq!(one.pages(60), 60);
    drop(other);
    assert_eq!(one.pages(60), 100);
    assert_eq!(one.waiting(100), 50);
    drop(one);
    assert_eq!(memory.pages.load(Ordering::Relaxed), 0);
}
