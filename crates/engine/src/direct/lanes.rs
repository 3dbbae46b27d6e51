//! Bounds the requests in flight to the store, and merges what has to wait.
//!
//! While a lane is free a part goes out at once, in its caller's own task: no delay, no hand-over. When all lanes are taken,
//! parts wait in a queue; a lane that comes free takes the oldest together with those in the queue that
//! adjoin it (reads with reads, writes with writes), as one request. So merging costs nothing while the store keeps up,
//! and gives bandwidth when it does not: the kernel's own elevator, at the far end.
//!
//! Reordering is harmless: requests in flight at the same time have no order (see `restblk_block`).

use super::flusher::Flusher;
use bytes::{Bytes, BytesMut};
use restblk_store::{Key, Payload, Store, StoreError};
use restblk_types::{ErrorKind, Extent};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{runtime::Handle, sync::oneshot};

/// One part of a request.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Bytes to be read.
    Read(Extent),
    /// Bytes to be written, and whether they must be durable when answered.
    Write { offset: u64, data: Bytes, durable: bool },
}

impl Part {
    fn extent(&self) -> (u64, u64) {
        match self {
            Self::Read(e) => (e.offset(), e.len()),
            Self::Write { offset, data, .. } => (*offset, data.len() as u64),
        }
    }

    fn mixes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Read(_), Self::Read(_)) => true,
            (Self::Write { durable: a, .. }, Self::Write { durable: b, .. }) => a == b,
            _ => false,
        }
    }
}

type Answer = Result<Payload, StoreError>;

struct Waiting {
    part: Part,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct State {
    busy: usize,
    waiting: VecDeque<Waiting>,
}

/// The lanes to one object.
pub(crate) struct Lanes {
    store: Arc<dyn Store>,
    key: Key,
    lanes_max: usize,
    merged_len_max: u64,
    /// Is told of every write.
    flusher: Arc<Flusher>,
    runtime: Handle,
    state: Mutex<State>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes")
            .field("key", &self.key)
            .field("lanes_max", &self.lanes_max)
            .finish_non_exhaustive()
    }
}

impl Lanes {
    /// Must be called within a tokio runtime, which merged requests then run on.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        key: Key,
        lanes_max: usize,
        merged_len_max: u64,
        flusher: Arc<Flusher>,
    ) -> Arc<Self> {
        let runtime = Handle::current();
        Arc::new(Self {
            store,
            key,
            lanes_max,
            merged_len_max,
            flusher,
            runtime,
            state: Mutex::default(),
        })
    }

    /// Does one part; a read's bytes come back.
    pub(crate) async fn run(self: &Arc<Self>, part: Part) -> Answer {
        let wait = {
            let mut state = self.lock();
            if state.busy < self.lanes_max {
                state.busy += 1;
                None
            } else {
                let (answer, wait) = oneshot::channel();
                state.waiting.push_back(Waiting {
                    part: part.clone(),
                    answer,
                });
                Some(wait)
            }
        };
        match wait {
            None => {
                let _lane = Lane(Some(self));
                self.send(part).await
            }
            Some(wait) => wait.await.unwrap_or_else(|_| {
                Err(StoreError::new(
                    ErrorKind::Bug,
                    "serve",
                    &self.key,
                    "a merged request ended without an answer",
                ))
            }),
        }
    }

    async fn send(&self, part: Part) -> Answer {
        match part {
            Part::Read(extent) => {
                let fetched = self.store.get(&self.key, Some(extent)).await?;
                if fetched.payload.len() as u64 == extent.len() {
                    return Ok(fetched.payload);
                }
                let reason = format!("{} of {} bytes came", fetched.payload.len(), extent.len());
                Err(StoreError::new(ErrorKind::Corrupt, "read", &self.key, reason).at(self.store.location()))
            }
            Part::Write {
                offset,
                data,
                durable,
            } => {
                let answer = self.store.write_at(&self.key, offset, data, durable).await;
                // One that failed may have changed something. One that is durable is in no cache.
                let by = answer.as_ref().ok().copied().flatten().filter(|_| !durable);
                self.flusher.changed(by);
                answer.map(|_| Payload::default())
            }
        }
    }

    /// Takes the oldest waiting part and all that adjoin it, in order of their offsets.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        let Some(oldest) = state.waiting.pop_front() else {
            state.busy -= 1;
            return None;
        };
        let (mut start, len) = oldest.part.extent();
        let mut end = start + len;
        let mut batch = vec![oldest];
        loop {
            let room = self.merged_len_max.saturating_sub(end - start);
            let neighbour = state.waiting.iter().position(|w| {
                let (offset, len) = w.part.extent();
                len <= room && (offset == end || offset + len == start) && w.part.mixes_with(&batch[0].part)
            });
            let Some(found) = neighbour.and_then(|at| state.waiting.remove(at)) else {
                return Some(batch);
            };
            let (offset, len) = found.part.extent();
            if offset == end {
                end += len;
                batch.push(found);
            } else {
                start = offset;
                batch.insert(0, found);
            }
        }
    }

    async fn drain(self: Arc<Self>) {
        // Gives the lane on should this task end early (the runtime shuts down).
        let mut lane = Lane(Some(&self));
        while let Some(batch) = self.next_batch() {
            self.serve(batch).await;
        }
        // `next_batch` has given it back.
        lane.0 = None;
    }

    async fn serve(&self, batch: Vec<Waiting>) {
        if batch.len() == 1 {
            for one in batch {
                let answer = self.send(one.part).await;
                let _ = one.answer.send(answer);
            }
            return;
        }
        let (start, _) = batch[0].part.extent();
        let len: u64 = batch.iter().map(|w| w.part.extent().1).sum();
        match &batch[0].part {
            Part::Read(_) => {
                let Some(extent) = Extent::new(start, len) else {
                    return;
                };
                match self.send(Part::Read(extent)).await {
                    Ok(payload) => {
                        let mut bytes = payload.into_bytes();
                        for one in batch {
                            let len = usize::try_from(one.part.extent().1)
                                .unwrap_or(usize::MAX)
                                .min(bytes.len());
                            let _ = one.answer.send(Ok(Payload::from(bytes.split_to(len))));
                        }
                    }
                    Err(e) => answer_all(batch, &Err(e)),
                }
            }
            Part::Write { durable, .. } => {
                let durable = *durable;
                let mut joined = BytesMut::with_capacity(usize::try_from(len).unwrap_or(0));
                for one in &batch {
                    if let Part::Write { data, .. } = &one.part {
                        joined.extend_from_slice(data);
                    }
                }
                let answer = self
                    .send(Part::Write {
                        offset: start,
                        data: joined.freeze(),
                        durable,
                    })
                    .await;
                answer_all(batch, &answer);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer_all(batch: Vec<Waiting>, answer: &Answer) {
    for one in batch {
        let _ = one.answer.send(answer.clone());
    }
}

/// A taken lane; given on to those who wait, or back, when dropped. Also when its caller gave up.
struct Lane<'a>(Option<&'a Arc<Lanes>>);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let Some(lanes) = self.0 else { return };
        let mut state = lanes.lock();
        if state.waiting.is_empty() {
            state.busy -= 1;
        } else {
            drop(state);
            lanes.runtime.spawn(Arc::clone(lanes).drain());
        }
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
