//! Receives a stream: the volume becomes the snapshot that it tells, step by step, and has that snapshot at the end.
//!
//! ```text
//! head  receiving {to, from, position}     1  from now on it is not to be used, and whoever looks is told so
//!       … writes; receiving.position rises  2  all before it is on the store, whatever happens to this host
//!       snapshot {origin}, no receiving     3  in one head: it is whole, or it is not
//! ```
//! Cut off anywhere, the volume says up to where it is right; the sender goes on from there or from any place before. A record that comes again
//! changes nothing: it is of the same snapshot.
//!
//! **What a stream is told from** must be what the volume is: the snapshot that the stream names, by what it is and not by what it is called, as the newest one,
//! and nothing written since (the maps are compared, so that writing nothing new is nothing). Forced, the volume is rolled back to it.
//!
//! Whole streams go into volumes that were never written. Nobody may be using the volume meanwhile, which is for the caller to hold.

use crate::applier::Order;
use crate::recover::check_size;
use crate::upload::seal;
use crate::{LogError, LogVolume};
use bytes::Bytes;
use restblk_format::log::{BLOCK, Snapshot};
use restblk_format::stream::{Begin, Moment, Receiving};
use restblk_types::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What is noted after so many bytes is not sent again, whatever breaks; a head is one small object.
const NOTED_EVERY: u64 = 64 << 20;
/// And after so long: what a slow sender would have to send again.
const NOTED_AFTER: Duration = Duration::from_secs(5);

/// A volume that receives; it does until this is dropped, and another time from where it was.
#[derive(Debug)]
pub struct Receiver<'a> {
    volume: &'a LogVolume,
    receiving: Receiving,
    size: u64,
    /// All that the stream tells before it was written.
    position: u64,
    unnoted: u64,
    noted_at: Instant,
    /// A note that is on its way.
    noting: Option<oneshot::Receiver<Result<u64, LogError>>>,
}

/// How a stream is taken.
#[derive(Clone, Debug)]
pub struct Receive {
    /// Roll the volume back to what the stream is told from, and give up a part of another one.
    pub force: bool,
    /// Now, RFC 3339, UTC.
    pub now: String,
}

/// Whether somebody receives into a volume.
#[derive(Debug, Default)]
pub(crate) struct Claimed(AtomicBool);

impl Claimed {
    fn check(&self, what: &str) -> Result<(), LogError> {
        if self.0.load(Ordering::Acquire) {
            let message = format!("{what}: a stream is being received into the volume; end that first");
            return Err(LogError::new(ErrorKind::Busy, message));
        }
        Ok(())
    }
}

impl LogVolume {
    /// The snapshot that the volume has a part of.
    #[must_use]
    pub fn receiving(&self) -> Option<Receiving> {
        self.core.state().head.receiving.clone()
    }

    /// Takes the beginning of a stream: refused where it does not go on from what the volume is.
    pub async fn receive(&self, begin: &Begin, start: u64, how: &Receive) -> Result<Receiver<'_>, LogError> {
        if self.claimed.0.swap(true, Ordering::AcqRel) {
            let message = "receive: another stream is being received into the volume";
            return Err(LogError::new(ErrorKind::Busy, message));
        }
        let mut receiver = Receiver {
            volume: self,
            receiving: Receiving {
                to: begin.to.clone(),
                from: begin.from.clone(),
                position: 0,
                since: how.now.clone(),
            },
            size: begin.size,
            position: start,
            unnoted: 0,
            noted_at: Instant::now(),
            noting: None,
        };
        check_size(begin.size)?;
        receiver.begin(begin, start, how).await?;
        Ok(receiver)
    }

    /// Makes the volume what the snapshot is. Nobody may be using it.
    pub async fn rollback(&self, id: u64) -> Result<(), LogError> {
        self.claimed.check("roll the volume back")?;
        self.roll_back(id).await
    }

    /// Refuses what a volume that is being received is not for.
    pub fn check_whole(&self, what: &str) -> Result<(), LogError> {
        self.receiving().map_or(Ok(()), |half| Err(half_of(what, &half)))
    }
}

/// Why a volume that has a part of a snapshot is not to be used.
pub(crate) fn half_of(what: &str, half: &Receiving) -> LogError {
    let way_back = match &half.from {
        Some(from) => format!("roll it back to its snapshot {} to give that up", from.name),
        None => "delete it to give that up".to_owned(),
    };
    let message = format!(
        "{what}: it has a part of the snapshot {}, up to byte {}; go on with restblk receive, by restblk send --resume-from {}, or {way_back}",
        half.to.name,
        half.position,
        half.token()
    );
    LogError::new(ErrorKind::Busy, message)
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        self.volume.claimed.0.store(false, Ordering::Release);
    }
}

impl Receiver<'_> {
    async fn begin(&mut self, begin: &Begin, start: u64, how: &Receive) -> Result<(), LogError> {
        let half = self.volume.receiving();
        match &half {
            Some(half) if is_same(half, &self.receiving) => {
                if start > half.position {
                    return Err(missing_before(start, half));
                }
                self.receiving = half.clone();
                return self.mark().await;
            }
            Some(half) if !how.force => {
                let what = format!("receive {}", begin.to.name);
                return Err(half_of(&what, half));
            }
            _ if start > 0 => return Err(missing_before(start, &self.receiving)),
            _ => {}
        }
        let snapshots = self.volume.snapshots();
        self.check_new(&snapshots)?;
        match &begin.from {
            Some(from) => {
                self.go_back_to(from, &snapshots, half.is_some(), how.force)
                    .await?
            }
            None => self.be_empty(&snapshots, half.is_some()).await?,
        }
        self.mark().await
    }

    /// Has the head say what is received, and the volume its size. What a smaller one cuts off is gone before it is set: it must not come back with a larger one.
    async fn mark(&self) -> Result<(), LogError> {
        let now = *self.volume.core.size.borrow();
        if self.size < now {
            self.volume.order(self.order(now)).await?;
            let beyond = self.size / BLOCK as u64..now / BLOCK as u64;
            self.volume.hole(beyond).await?;
        }
        self.volume.order(self.order(self.size)).await.map(drop)
    }

    fn moment(&self, snapshot: &Snapshot) -> Option<Moment> {
        snapshot.moment(self.volume.core.shelf.volume)
    }

    /// Refuses a snapshot that is there, or whose name is taken.
    fn check_new(&self, snapshots: &[Snapshot]) -> Result<(), LogError> {
        let to = &self.receiving.to;
        let moments = || snapshots.iter().filter_map(|snapshot| self.moment(snapshot));
        if let Some(there) = moments().find(|there| there.is(to)) {
            let message = format!(
                "receive {}: the volume has it already, as {}",
                to.name, there.name
            );
            return Err(LogError::new(ErrorKind::Exists, message));
        }
        if moments().any(|there| there.name == to.name) {
            let message = format!(
                "receive {}: the volume has another snapshot of this name",
                to.name
            );
            return Err(LogError::new(ErrorKind::Exists, message));
        }
        Ok(())
    }

    /// Makes sure that the volume is the snapshot that the stream is told from.
    async fn go_back_to(
        &self,
        from: &Moment,
        snapshots: &[Snapshot],
        is_half: bool,
        force: bool,
    ) -> Result<(), LogError> {
        let to = &self.receiving.to.name;
        let is_it = |snapshot: &Snapshot| self.moment(snapshot).is_some_and(|moment| moment.is(from));
        let Some(found) = snapshots.iter().rfind(|snapshot| is_it(snapshot)) else {
            let message = format!(
                "receive {to}: it is told from the snapshot {} ({}), which the volume does not have; send it from one that it has (restblk snapshot list -o json tells their ids), or all of it to a new volume",
                from.name, from.origin
            );
            return Err(LogError::new(ErrorKind::NotFound, message));
        };
        let newest = snapshots.last().and_then(|newest| newest.name.clone());
        if !force && newest != found.name {
            let message = format!(
                "receive {to}: it is told from the snapshot {}, and the volume has a newer one, {}; --force rolls the volume back, and keeps that snapshot",
                from.name,
                newest.unwrap_or_default()
            );
            return Err(LogError::new(ErrorKind::Conflict, message));
        }
        if !is_half && !self.was_written_since(found).await? {
            return Ok(());
        }
        if !force {
            let message = format!(
                "receive {to}: the volume was changed since its snapshot {}, which the stream is told from; --force rolls it back, and what was written since is lost",
                from.name
            );
            return Err(LogError::new(ErrorKind::Conflict, message));
        }
        self.volume.roll_back(found.id).await
    }

    async fn was_written_since(&self, snapshot: &Snapshot) -> Result<bool, LogError> {
        let mut changes = self.volume.changes(Some(snapshot.id), None).await?;
        Ok(changes.size() != snapshot.size || changes.blocks().await?.is_some())
    }

    /// Makes sure that nothing was ever written.
    async fn be_empty(&self, snapshots: &[Snapshot], is_half: bool) -> Result<(), LogError> {
        let taken = |why: &str| {
            let message = format!(
                "receive {}: the stream has a whole volume, and this one {why}; receive it into a new volume",
                self.receiving.to.name
            );
            Err(LogError::new(ErrorKind::Exists, message))
        };
        if !snapshots.is_empty() {
            return taken("has snapshots");
        }
        if is_half {
            let blocks = *self.volume.core.size.borrow() / BLOCK as u64;
            return self.volume.hole(0..blocks).await;
        }
        let mut changes = self.volume.changes(None, None).await?;
        if changes.blocks().await?.is_some() {
            return taken("was written to");
        }
        Ok(())
    }

    fn order(&self, size: u64) -> Order {
        Order::Receive {
            receiving: Box::new(self.receiving.clone()),
            size,
        }
    }

    /// Bytes of the volume. The caller gives them in order.
    pub async fn data(&mut self, offset: u64, data: Bytes) -> Result<(), LogError> {
        let len = data.len() as u64;
        self.volume.write_blocks(offset / BLOCK as u64, &data).await?;
        self.wrote(offset + len, len).await
    }

    /// Bytes of the volume that are zero.
    pub async fn zeros(&mut self, offset: u64, length: u64) -> Result<(), LogError> {
        let blocks = offset / BLOCK as u64..(offset + length) / BLOCK as u64;
        self.volume.hole(blocks).await?;
        // Nothing to send again but a line.
        self.wrote(offset + length, 0).await
    }

    async fn wrote(&mut self, position: u64, bytes: u64) -> Result<(), LogError> {
        self.position = position;
        self.unnoted += bytes;
        if self.unnoted < NOTED_EVERY && self.noted_at.elapsed() < NOTED_AFTER {
            return Ok(());
        }
        self.noted().await?;
        self.advance();
        let until = seal(&self.volume.core, &mut self.volume.core.state());
        // Writing goes on while it is on its way.
        self.noting = Some(self.volume.send_order(self.order(self.size), until)?);
        Ok(())
    }

    /// Has the next note say where we are.
    fn advance(&mut self) {
        self.receiving.position = self.receiving.position.max(self.position);
        (self.unnoted, self.noted_at) = (0, Instant::now());
    }

    /// Waits for the note that is on its way.
    async fn noted(&mut self) -> Result<(), LogError> {
        match self.noting.take() {
            Some(noting) => self.volume.answered(noting).await.map(drop),
            None => Ok(()),
        }
    }

    /// Notes how far it came, where nothing more comes for now.
    pub async fn pause(mut self) -> Result<Receiving, LogError> {
        self.noted().await?;
        self.advance();
        self.volume.order(self.order(self.size)).await?;
        Ok(self.receiving.clone())
    }

    /// All was there: the volume has the snapshot from now on. Returns its id.
    pub async fn finish(mut self) -> Result<u64, LogError> {
        self.noted().await?;
        let to = self.receiving.to.clone();
        self.volume.order(Order::Received(Box::new(to))).await
    }
}

/// Whether both are of one stream, wherever each begins.
fn is_same(half: &Receiving, other: &Receiving) -> bool {
    let from = match (&half.from, &other.from) {
        (None, None) => true,
        (Some(one), Some(another)) => one.is(another),
        _ => false,
    };
    from && half.to.is(&other.to)
}

fn missing_before(start: u64, half: &Receiving) -> LogError {
    let message = format!(
        "receive {}: the stream goes on from byte {start}, and the volume has it up to byte {} alone; restblk send --resume-from {} goes on from there",
        half.to.name,
        half.position,
        half.token()
    );
    LogError::new(ErrorKind::Conflict, message)
}
