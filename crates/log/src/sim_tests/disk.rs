//! A disk of the simulation: what is written survives a process, what is synced a loss of power.

use crate::Disk;
use rand::Rng;
use rand::rngs::StdRng;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Small, so that a journal goes round several times.
const CAPACITY: usize = 3 << 20;

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    /// What was there before each write that was not synced, oldest first.
    before: Vec<(usize, Vec<u8>)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct SimDisk {
    state: Mutex<State>,
}

impl SimDisk {
    pub(super) fn new() -> Arc<Self> {
        let (bytes, before) = (vec![0; CAPACITY], Vec::new());
        Arc::new(Self {
            state: Mutex::new(State { bytes, before }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Power is lost: of what was not synced, some writes are kept, some are torn, and some are gone.
    pub(super) fn lose_power(&self, chance: &mut StdRng) {
        let mut state = self.state();
        let state = &mut *state;
        for (at, before) in std::mem::take(&mut state.before).into_iter().rev() {
            let kept = match chance.random_range(0..3) {
                0 => before.len(),
                1 => 0,
                _ => chance.random_range(0..=before.len()),
            };
            state.bytes[at + kept..at + before.len()].copy_from_slice(&before[kept..]);
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

#[async_trait::async_trait]
impl Disk for SimDisk {
    fn name(&self) -> String {
        "sim".to_owned()
    }

    fn capacity(&self) -> u64 {
        CAPACITY as u64
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.copy_from_slice(&self.state().bytes[place(offset)..][..buf.len()]);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let state = &mut *state;
        let there = &mut state.bytes[place(offset)..][..data.len()];
        state.before.push((place(offset), there.to_vec()));
        there.copy_from_slice(data);
        Ok(())
    }

    async fn sync(&self) -> io::Result<()> {
        let covers = self.state().before.len();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut state = self.state();
        // Power may have been lost meanwhile.
        let covers = covers.min(state.before.len());
        state.before.drain(..covers);
        Ok(())
    }
}
