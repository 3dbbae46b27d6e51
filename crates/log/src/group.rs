//! Snapshots of several volumes at one moment.
//!
//! A write is in its volume's open batch before it is answered, under the lock of that volume's state. So with the locks of all of them held
//! at once, and their batches sealed, nothing that was answered before is outside, and nothing that is answered later is inside. The map of each volume
//! then stops there until its snapshot is made ([`State::holds`](crate::state::State)): the order for that is given under the lock too, so that none which
//! wants more of the map is before it.

use crate::LogError;
use crate::applier::Order;
use crate::device::LogVolume;
use crate::snapshot::New;
use crate::upload::seal;
use futures_util::future::join_all;
use restblk_types::ErrorKind;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Makes a snapshot of each of the volumes, by these names, of one moment; returns their ids. Of no volume, where one of them fails.
pub async fn snapshot_together(
    members: &[(Arc<LogVolume>, String)],
    created_at: &str,
) -> Result<Vec<u64>, LogError> {
    // Everybody locks in this order.
    let mut order: Vec<usize> = (0..members.len()).collect();
    let id = |at: usize| members[at].0.core.shelf.volume;
    order.sort_by_key(|at| *id(*at).as_bytes());
    if order.windows(2).any(|pair| id(pair[0]) == id(pair[1])) {
        let message = "make snapshots of one moment: a volume is named twice";
        return Err(LogError::new(ErrorKind::Invalid, message));
    }
    for (volume, _) in members {
        volume.core.alive()?;
    }
    let mut answers = cut(members, &order, created_at);
    answers.sort_by_key(|(at, _)| *at);
    let made = join_all(answers.into_iter().map(|(at, answered)| async move {
        match answered.await {
            Ok(made) => made,
            Err(_) => Err(members[at].0.gone()),
        }
    }))
    .await;
    if let Some(error) = made.iter().find_map(|made| made.as_ref().err()) {
        let error = error.clone();
        for ((volume, name), made) in members.iter().zip(&made) {
            if let Ok(id) = made
                && let Err(error) = volume.delete_snapshot(*id).await
            {
                tracing::warn!(volume = %volume.core.shelf.volume, name, %error, "a snapshot stays whose others were not made");
            }
        }
        return Err(error);
    }
    made.into_iter().collect()
}

type Answers = Vec<(usize, oneshot::Receiver<Result<u64, LogError>>)>;

/// Cuts all volumes at one moment. Nothing is waited for in here.
fn cut(members: &[(Arc<LogVolume>, String)], order: &[usize], created_at: &str) -> Answers {
    let mut states: Vec<_> = order
        .iter()
        .map(|at| (*at, members[*at].0.core.state()))
        .collect();
    let mut answers = Vec::with_capacity(order.len());
    for (at, state) in &mut states {
        let (volume, name) = &members[*at];
        let until = seal(&volume.core, state);
        let asked = Order::Snapshot {
            new: New::made(name, created_at),
            exact: true,
        };
        let (answer, answered) = oneshot::channel();
        // Where nobody is there to carry it out the answer is lost, which is told then.
        let _ = volume.orders.send((asked, until, answer));
        state.holds.push_back(until);
        answers.push((*at, answered));
    }
    answers
}

#[cfg(test)]
mod tests;
