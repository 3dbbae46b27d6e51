//! Where a series of objects ends, and how it is ended for ever.
//!
//! Heads and epochs are made one after the other and are not removed while their series can still grow, so what is there
//! is a prefix: its end is found by probing many places at once, in a few round trips whatever its length. Segments
//! are uploaded several at once: theirs is a walk ([`crate::recover`]).

use crate::LogError;
use crate::shelf::{Created, Series, Shelf};
use bytes::Bytes;
use futures_util::future::try_join_all;
use restblk_format::log::{Header, ObjectType, Tombstone};

/// Places probed at once.
const PROBES: u32 = 16;

/// The first number from `from` on that is not there, of a series without holes.
pub(crate) async fn end(shelf: &Shelf, series: Series, from: u32) -> Result<u32, LogError> {
    // All below `low` is there; `high` is not, once it is known.
    let (mut low, mut high) = (from, None::<u32>);
    loop {
        let places: Vec<u32> = match high {
            None => (0..PROBES)
                .map(|bit| low.saturating_add((1 << bit) - 1))
                .collect(),
            Some(high) if high == low => return Ok(low),
            Some(high) => {
                let step = (high - low).div_ceil(PROBES).max(1);
                (low..high).step_by(step as usize).collect()
            }
        };
        let probe = |place: &u32| {
            let (key, place) = (shelf.key(series, *place), *place);
            async move { Ok::<_, LogError>((place, shelf.is_there(&key).await?)) }
        };
        for (place, there) in try_join_all(places.iter().map(probe)).await? {
            if !there {
                high = Some(place);
                break;
            }
            low = place + 1;
        }
    }
}

/// How a series was ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By our tombstone, or one that was there.
    Here,
    /// Not yet: an object is in that place.
    Taken,
}

/// Puts a tombstone into a place.
pub(crate) async fn entomb(
    shelf: &Shelf,
    series: Series,
    number: u32,
    of_epoch: u32,
    by: u32,
    nonce: &[u8; 16],
) -> Result<Ended, LogError> {
    let key = shelf.key(series, number);
    let bytes = Tombstone { by }.encode(shelf.volume, of_epoch, number, *nonce);
    match shelf.create(&key, Bytes::from(bytes), nonce).await? {
        Created::Ours => Ok(Ended::Here),
        Created::Theirs(Header {
            object: ObjectType::Tombstone,
            ..
        }) => Ok(Ended::Here),
        Created::Theirs(_) => Ok(Ended::Taken),
    }
}
