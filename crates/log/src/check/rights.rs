//! Who may write, and who may not any more: epochs, heads, and the tombstones that end a former writer's series.
//!
//! The newest head that can be read is what all else is checked by.

use super::{Findings, Problem};
use crate::LogError;
use crate::look::At;
use crate::series;
use crate::shelf::{Series, Shelf};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use restblk_format::log::{Epoch, Head, Header, Kind, ObjectType, Span, Tombstone};
use restblk_types::ErrorKind;

/// Objects looked at at once.
const PARALLEL: usize = 16;
/// Places behind the end of a series where something might be that the end hides.
const BEHIND: u32 = 16;
/// A tombstone's object is never as long.
const TOMBSTONE_LEN_MAX: usize = 4096;

/// What was found of them.
#[derive(Debug)]
pub(super) struct Rights {
    /// The first epoch that is free.
    pub(super) free: u32,
    /// The newest head that can be read.
    pub(super) newest: Option<(At, Head)>,
    /// Newer heads than that were there, and cannot be read.
    pub(super) lost_newer: bool,
    /// The volume was deleted, or never made.
    pub(super) is_gone: bool,
}

/// An object of a small kind.
enum Small {
    None,
    Tombstone,
    Head(Box<Head>),
    Bad,
}

pub(super) async fn look(shelf: &Shelf, findings: &mut Findings) -> Result<Rights, LogError> {
    let free = free(shelf, findings).await?;
    let mut rights = Rights {
        free,
        newest: None,
        lost_newer: false,
        is_gone: free == 1,
    };
    let objects = stream::iter(1..free)
        .map(|epoch| epoch_object(shelf, epoch))
        .buffered(PARALLEL);
    let objects: Vec<_> = objects.try_collect().await?;
    for (epoch, object) in (1..free).zip(objects) {
        match object {
            Ok(true) => {}
            // Only the first one is ever entombed: the volume was deleted, or given up while it was made.
            Ok(false) => {
                rights.is_gone = epoch == 1;
                if epoch != 1 {
                    findings.add(
                        Problem::Misplaced,
                        shelf.key(Series::Epochs, epoch),
                        "a tombstone is there",
                    );
                }
            }
            Err((problem, why)) => findings.add(problem, shelf.key(Series::Epochs, epoch), why),
        }
    }
    if rights.is_gone {
        return Ok(rights);
    }
    for epoch in (1..free).rev() {
        let end = behind(shelf, Series::Heads(epoch), 0, findings).await?;
        for number in (0..end).rev() {
            match small(shelf, epoch, number, findings).await? {
                Small::Head(head) => {
                    rights.newest = Some(((epoch, number), *head));
                    break;
                }
                Small::Bad => rights.lost_newer = true,
                Small::Tombstone | Small::None => {}
            }
        }
        if rights.newest.is_some() {
            break;
        }
    }
    let Some((at, head)) = &rights.newest else {
        findings.add(
            Problem::HeadLost,
            format!("the volume {}", shelf.volume),
            "no head of it can be read",
        );
        return Ok(rights);
    };
    if rights.lost_newer {
        let why = "heads after this one cannot be read: what they alone told is lost";
        findings.add(Problem::HeadLost, shelf.key(Series::Heads(at.0), at.1), why);
    }
    for place in unfenced(shelf, *at, head).await? {
        let why = format!("no tombstone keeps the writer of epoch {} out", place.epoch);
        findings.add(Problem::Unfenced, shelf.key(place.series, place.number), why);
    }
    Ok(rights)
}

/// Where a tombstone belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) series: Series,
    pub(super) number: u32,
    pub(super) epoch: u32,
}

/// Where tombstones are missing: whoever went live has ended the heads and the log of all before.
pub(super) async fn unfenced(shelf: &Shelf, at: At, head: &Head) -> Result<Vec<Place>, LogError> {
    let heads = async |epoch: u32| -> Result<Option<Place>, LogError> {
        let series = Series::Heads(epoch);
        let end = series::end(shelf, series, 0).await?;
        let number = match end.checked_sub(1) {
            Some(last) => match what(shelf, series, epoch, last).await? {
                What::Tombstone => return Ok(None),
                What::Bad => last,
                What::Other => end,
            },
            None => end,
        };
        Ok(Some(Place {
            series,
            number,
            epoch,
        }))
    };
    let logs = async |place: Place| -> Result<Option<Place>, LogError> {
        let what = what(shelf, place.series, place.epoch, place.number).await?;
        Ok((!matches!(what, What::Tombstone)).then_some(place))
    };
    let former = stream::iter(1..at.0).map(heads).buffered(PARALLEL);
    let mut missing: Vec<Option<Place>> = former.try_collect().await?;
    let ends = stream::iter(log_ends(head)).map(logs).buffered(PARALLEL);
    missing.extend(ends.try_collect::<Vec<_>>().await?);
    Ok(missing.into_iter().flatten().collect())
}

/// What is in a place where a tombstone should be.
pub(super) enum What {
    Tombstone,
    /// Nothing that can be read, or nothing that belongs there.
    Bad,
    /// Nothing, or an object of its series.
    Other,
}

pub(super) async fn what(shelf: &Shelf, series: Series, epoch: u32, number: u32) -> Result<What, LogError> {
    let key = shelf.key(series, number);
    let bytes = match shelf.whole(&key).await? {
        // Segments are long, and none is a tombstone.
        Some(bytes) if bytes.len() < TOMBSTONE_LEN_MAX => bytes,
        Some(bytes) => {
            return Ok(if header(shelf, &bytes).is_ok() {
                What::Other
            } else {
                What::Bad
            });
        }
        None => return Ok(What::Other),
    };
    Ok(match header(shelf, &bytes) {
        Ok(header) if (header.epoch, header.sequence) != (epoch, number) => What::Bad,
        Ok(header) if header.object == ObjectType::Tombstone => match Tombstone::decode(&bytes) {
            Ok(_) => What::Tombstone,
            Err(_) => What::Bad,
        },
        Ok(_) => What::Other,
        Err(_) => What::Bad,
    })
}

/// The first epoch that is free: one that has a head is not, although its own object is gone.
async fn free(shelf: &Shelf, findings: &mut Findings) -> Result<u32, LogError> {
    let mut free = behind(shelf, Series::Epochs, 1, findings).await?;
    loop {
        let has_head = async |epoch: u32| shelf.is_there(&shelf.key(Series::Heads(epoch), 0)).await;
        let heads = future::try_join_all((free..free + BEHIND).map(has_head)).await?;
        let Some(last) = heads.iter().rposition(|has_head| *has_head) else {
            return Ok(free);
        };
        let last = free + u32::try_from(last).unwrap_or(0);
        for epoch in free..=last {
            findings.add(
                Problem::Missing,
                shelf.key(Series::Epochs, epoch),
                "it is not on the store, and has a head",
            );
        }
        free = last + 1;
    }
}

/// Where a series ends; what is right behind a hole is found, too.
pub(super) async fn behind(
    shelf: &Shelf,
    series: Series,
    from: u32,
    findings: &mut Findings,
) -> Result<u32, LogError> {
    let mut end = series::end(shelf, series, from).await?;
    loop {
        let there = async |number: u32| -> Result<Option<u32>, LogError> {
            let is_there = shelf.is_there(&shelf.key(series, number)).await?;
            Ok(is_there.then_some(number))
        };
        let looks = (end + 1..=end + BEHIND).map(there);
        let last = future::try_join_all(looks)
            .await?
            .into_iter()
            .flatten()
            .next_back();
        let Some(last) = last else { return Ok(end) };
        findings.add(
            Problem::Hole,
            shelf.key(series, end),
            format!("it is missing: the series goes on behind it, up to {last} at least"),
        );
        end = last + 1;
    }
}

type Told<T> = Result<T, (Problem, String)>;

/// Whether the object of an epoch is one; false for a tombstone.
async fn epoch_object(shelf: &Shelf, epoch: u32) -> Result<Told<bool>, LogError> {
    let key = shelf.key(Series::Epochs, epoch);
    let Some(bytes) = shelf.whole(&key).await? else {
        return Ok(Err((Problem::Missing, "it is not on the store".to_owned())));
    };
    Ok(header(shelf, &bytes).and_then(|header| {
        let damaged = |error: restblk_format::FormatError| (Problem::Damaged, error.to_string());
        if header.object == ObjectType::Tombstone {
            return Tombstone::decode(&bytes).map(|_| false).map_err(damaged);
        }
        if header.epoch != epoch {
            return Err((
                Problem::Misplaced,
                format!("it says that it is epoch {}", header.epoch),
            ));
        }
        Epoch::decode(&bytes).map(|_| true).map_err(damaged)
    }))
}

fn header(shelf: &Shelf, bytes: &[u8]) -> Told<Header> {
    let (header, len) =
        Header::peek_with_len(bytes).map_err(|error| (Problem::Damaged, error.to_string()))?;
    if header.volume != shelf.volume {
        return Err((
            Problem::Foreign,
            format!("it is an object of the volume {}", header.volume),
        ));
    }
    if len != bytes.len() as u64 {
        return Err((
            Problem::Length,
            format!("it has {} bytes, and should have {len}", bytes.len()),
        ));
    }
    Ok(header)
}

async fn small(shelf: &Shelf, epoch: u32, number: u32, findings: &mut Findings) -> Result<Small, LogError> {
    let key = shelf.key(Series::Heads(epoch), number);
    let bytes = match shelf.whole(&key).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Small::None),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            findings.add(Problem::Damaged, &key, error);
            return Ok(Small::Bad);
        }
        Err(error) => return Err(error),
    };
    match decode(shelf, &bytes, epoch, number) {
        Ok(Small::Head(_)) if shelf.check_head(&key, &bytes).is_err() => {
            findings.add(Problem::Foreign, &key, "nobody wrote it who had the volume's key");
            Ok(Small::Bad)
        }
        Ok(small) => Ok(small),
        Err((problem, why)) => {
            findings.add(problem, &key, why);
            Ok(Small::Bad)
        }
    }
}

fn decode(shelf: &Shelf, bytes: &Bytes, epoch: u32, number: u32) -> Told<Small> {
    let header = header(shelf, bytes)?;
    if (header.epoch, header.sequence) != (epoch, number) {
        let why = format!(
            "it says that it is of epoch {}, number {}",
            header.epoch, header.sequence
        );
        return Err((Problem::Misplaced, why));
    }
    let damaged = |error: restblk_format::FormatError| (Problem::Damaged, error.to_string());
    if header.object == ObjectType::Tombstone {
        return Tombstone::decode(bytes)
            .map(|_| Small::Tombstone)
            .map_err(damaged);
    }
    Head::decode(bytes)
        .map(|(_, head)| Small::Head(Box::new(head)))
        .map_err(damaged)
}

/// Where the tombstones are that end the logs of former epochs: the numbers of their successors tell.
fn log_ends(head: &Head) -> Vec<Place> {
    let own: Vec<Span> = head
        .epochs
        .iter()
        .filter(|span| span.volume == 0)
        .copied()
        .collect();
    let end = |pair: &[Span]| Place {
        series: Series::Segments(Kind::Log, pair[0].epoch),
        number: pair[1].log.saturating_sub(pair[0].log),
        epoch: pair[0].epoch,
    };
    own.windows(2).map(end).collect()
}
