//! A loop device in use: follows the volume's size, notices its own end, detaches, hands over.

use crate::{blocking::blocking, helper::HelperProgram, holder::Holder, loopback, session::Session};
use async_trait::async_trait;
use restblk_device::{Attached, DeviceError, Recovery, loopdev::LoopDevice};
use restblk_types::ErrorKind;
use rustix::fd::OwnedFd;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

/// The kernel's own steps take milliseconds; after this, something is wrong.
const KERNEL_MAX: Duration = Duration::from_secs(30);
/// How long a detach waits for the volume to take what was written to the device: a command does not wait for a store.
const SYNC_MAX: Duration = Duration::from_secs(10);
/// How long a hand-over waits for the volume to answer what it has begun.
const IN_FLIGHT_MAX: Duration = Duration::from_secs(60);

/// What an attachment is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) index: u32,
    pub(crate) mount: PathBuf,
    pub(crate) program: HelperProgram,
    pub(crate) session: Arc<Session>,
    pub(crate) attributes: OwnedFd,
    pub(crate) holder: Option<Holder>,
    pub(crate) threads: u16,
    pub(crate) resumed: bool,
}

/// A volume attached as /dev/loopN. Dropped without [`Attached::detach`], it is served until the process ends.
#[derive(Debug)]
pub(crate) struct LoopAttached {
    index: u32,
    path: PathBuf,
    mount: PathBuf,
    program: HelperProgram,
    resumed: bool,
    threads: u16,
    session: Arc<Session>,
    /// None once the file system is to end.
    attributes: Mutex<Option<Arc<OwnedFd>>>,
    holder: Arc<Mutex<Option<Holder>>>,
    resizer: JoinHandle<()>,
    /// Its end is our doing.
    ending: AtomicBool,
    /// One detach or hand-over at a time.
    turn: tokio::sync::Mutex<()>,
}

impl LoopAttached {
    pub(crate) fn new(parts: Parts) -> Self {
        let attributes = Arc::new(parts.attributes);
        let resizer = tokio::spawn(follow_size(
            parts.program.clone(),
            parts.index,
            parts.session.clone(),
            attributes.clone(),
        ));
        Self {
            index: parts.index,
            path: LoopDevice::path(parts.index),
            mount: parts.mount,
            program: parts.program,
            resumed: parts.resumed,
            threads: parts.threads,
            session: parts.session,
            attributes: Mutex::new(Some(attributes)),
            holder: Arc::new(Mutex::new(parts.holder)),
            resizer,
            ending: AtomicBool::new(false),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Ends the file system, which nobody uses any more, and with it the threads.
    async fn end(&self) -> Result<(), DeviceError> {
        self.resizer.abort();
        drop(lock(&self.attributes).take());
        let holder = self.holder.clone();
        blocking(move || {
            if let Some(mut holder) = lock(&holder).take() {
                holder.quit();
            }
            Ok(())
        })
        .await?;
        let mut state = self.session.state.subscribe();
        let ended = timeout(KERNEL_MAX, state.wait_for(|state| state.threads == 0)).await;
        ended.map(drop).map_err(|_| {
            let message = format!(
                "{} is detached, but its FUSE file system does not end",
                self.path.display()
            );
            DeviceError::new(ErrorKind::Unavailable, message)
        })
    }

    /// Has the volume take all that was written to the device. The volume itself is asked first: a thread that waits for
    /// the store in the kernel could not be called back.
    async fn settle(&self, index: u32) -> Result<(), DeviceError> {
        let late = |_| {
            let message = format!(
                "detach {}: the store has not taken what was written to it after {} s; detach again when it answers",
                self.path.display(),
                SYNC_MAX.as_secs()
            );
            DeviceError::new(ErrorKind::Unavailable, message)
        };
        let flushed = timeout(SYNC_MAX, self.session.device.flush()).await;
        flushed.map_err(late)?.map_err(|error| {
            let message = format!("detach {}: flush the volume: {error}", self.path.display());
            DeviceError::new(error.kind(), message)
        })?;
        let program = self.program.clone();
        let synced = timeout(SYNC_MAX, blocking(move || loopback::sync(&program, index))).await;
        synced.map_err(late)?
    }

    /// Makes the session's threads end, whether or not the device has requests.
    async fn stop_threads(&self) -> Result<(), DeviceError> {
        self.session.stop();
        let mut state = self.session.state.subscribe();
        let deadline = tokio::time::Instant::now() + KERNEL_MAX;
        while state.borrow_and_update().threads > 0 {
            if tokio::time::Instant::now() > deadline {
                return Err(DeviceError::new(
                    ErrorKind::Busy,
                    "the threads that serve the device do not end",
                ));
            }
            // A question about attributes is a request like any other: it wakes one thread, which then ends.
            // Where none is left to answer, the next daemon answers.
            if let Some(attributes) = lock(&self.attributes).clone() {
                let program = self.program.clone();
                let ask = move || drop(loopback::ask(&program, &attributes));
                thread::Builder::new()
                    .name("restblk-wake".into())
                    .spawn(ask)
                    .map_err(|error| DeviceError::io("start a thread", &error))?;
            }
            let _ = timeout(Duration::from_millis(100), state.changed()).await;
        }
        Ok(())
    }

    async fn finish_requests(&self) -> Result<(), DeviceError> {
        let deadline = tokio::time::Instant::now() + IN_FLIGHT_MAX;
        loop {
            let left = self.session.in_flight.load(Ordering::Acquire);
            if left == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let seconds = IN_FLIGHT_MAX.as_secs();
                let message = format!(
                    "{left} requests to {} have no answer after {seconds} s",
                    self.path.display()
                );
                return Err(DeviceError::new(ErrorKind::Busy, message));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl Attached for LoopAttached {
    fn path(&self) -> &Path {
        &self.path
    }

    fn recovery(&self) -> Recovery {
        Recovery::Loop {
            index: self.index,
            mount: self.mount.clone(),
        }
    }

    fn resumed(&self) -> bool {
        self.resumed
    }

    async fn gone(&self) -> String {
        let mut state = self.session.state.subscribe();
        // The session, and so its state, lives as long as we do.
        let _ = state
            .wait_for(|state| state.released || state.failed.is_some())
            .await;
        if self.ending.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        let state = self.session.state.borrow();
        let why = match &state.failed {
            Some(why) if !state.released => why.as_str(),
            _ => "somebody took its file away (losetup -d)",
        };
        format!("{} has gone: {why}", self.path.display())
    }

    async fn detach(&self) -> Result<(), DeviceError> {
        let _turn = self.turn.lock().await;
        let (program, index, mount) = (self.program.clone(), self.index, self.mount.clone());
        if loopback::is_ours(index, &mount) {
            self.settle(index).await?;
            self.ending.store(true, Ordering::Release);
            let cleared = timeout(
                KERNEL_MAX,
                blocking(move || loopback::clear(&program, index, &mount)),
            )
            .await;
            let cleared = cleared.unwrap_or_else(|_| {
                let message = format!("the kernel does not give {} back", self.path.display());
                Err(DeviceError::new(ErrorKind::Unavailable, message))
            });
            cleared.inspect_err(|_| self.ending.store(false, Ordering::Release))?;
        }
        self.ending.store(true, Ordering::Release);
        self.end().await
    }

    async fn hand_over(&self) -> Result<Recovery, DeviceError> {
        if !loopback::is_ours(self.index, &self.mount) {
            // Somebody took it away; there is nothing to leave to the next daemon.
            return self.detach().await.map(|()| self.recovery());
        }
        let holder = self.holder.clone();
        let kept = blocking(move || Ok(lock(&holder).as_ref().is_some_and(Holder::is_alive))).await?;
        if !kept {
            return self.detach().await.map(|()| self.recovery());
        }
        let _turn = self.turn.lock().await;
        self.ending.store(true, Ordering::Release);
        let stopped = match self.stop_threads().await {
            Ok(()) => self.finish_requests().await,
            stopped => stopped,
        };
        if let Err(error) = stopped {
            let missing = self.threads.saturating_sub(self.session.state.borrow().threads);
            self.session.start(missing)?;
            self.ending.store(false, Ordering::Release);
            return Err(error);
        }
        self.resizer.abort();
        drop(lock(&self.attributes).take());
        Ok(self.recovery())
    }
}

impl Drop for LoopAttached {
    fn drop(&mut self) {
        self.resizer.abort();
    }
}

/// Makes the kernel see each new size.
async fn follow_size(program: HelperProgram, index: u32, session: Arc<Session>, attributes: Arc<OwnedFd>) {
    let mut sizes: watch::Receiver<u64> = session.device.watch_size();
    loop {
        let size = *sizes.borrow_and_update();
        // After a takeover as a rule nothing has changed.
        if !loopback::has_size(index, &attributes, size) {
            let (program, attributes) = (program.clone(), attributes.clone());
            let resized = blocking(move || loopback::resize(&program, index, &attributes, size)).await;
            if let Err(error) = resized {
                tracing::error!(%error, index, "the kernel keeps the old size: attach again");
            }
        }
        if sizes.changed().await.is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
