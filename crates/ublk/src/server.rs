//! The threads that serve one device: started together, told together what to do, waited for with a deadline.
//!
//! Each thread reports its own end, also a panic; the first unexpected end is the reason that `gone` gives.
//! The character node is open exactly as long as a thread runs: the kernel counts that as the daemon's life.

use crate::{
    queue::{Ended, Mode, Queue, Remote, Setup},
    uapi::DevInfo,
};
use restblk_block::BlockDevice;
use restblk_device::DeviceError;
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch};

/// How the threads are doing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    running: usize,
    /// The first end that was neither asked for nor the kernel's.
    fault: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    remotes: Vec<Arc<Remote>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    progress: watch::Receiver<Progress>,
}

impl Server {
    /// Starts a thread for each of the device's queues and waits until all have their memory and rings.
    /// Blocks. The caller then lets the kernel start (or resume) the device.
    pub(crate) fn start(
        info: &DevInfo,
        node: File,
        device: &Arc<dyn BlockDevice>,
        runtime: &Handle,
    ) -> Result<Self, DeviceError> {
        let (progress_tx, progress) = watch::channel(Progress::default());
        let mut server = Self {
            remotes: Vec::new(),
            threads: Mutex::default(),
            progress,
        };
        let node = Arc::new(node);
        let (ready_tx, ready) = mpsc::channel();
        for queue in 0..info.nr_hw_queues {
            let failed = |e: std::io::Error| {
                DeviceError::io(format!("start queue {queue} of /dev/ublkb{}", info.dev_id), &e)
            };
            let remote = Arc::new(Remote::new(info.queue_depth).map_err(failed)?);
            let setup = Setup {
                queue,
                depth: info.queue_depth,
                buffer_bytes: info.max_io_buf_bytes,
                node: Arc::clone(&node),
                device: Arc::clone(device),
                runtime: runtime.clone(),
                remote: Arc::clone(&remote),
            };
            server.remotes.push(remote);
            progress_tx.send_modify(|p| p.running += 1);
            let (report, ready) = (progress_tx.clone(), ready_tx.clone());
            let spawned = thread::Builder::new()
                .name(format!("ublk{}q{queue}", info.dev_id))
                .spawn(move || run(setup, ready, &report));
            match spawned {
                Ok(thread) => server.threads().push(thread),
                Err(error) => {
                    progress_tx.send_modify(|p| p.running -= 1);
                    server.set(Mode::Drain);
                    return Err(failed(error));
                }
            }
        }
        drop(ready_tx);
        for result in ready {
            if let Err(error) = result {
                server.set(Mode::Drain);
                server.join();
                let next = "free memory, or attach with fewer queues or a smaller depth";
                let what = format!("start the queues of /dev/ublkb{} ({next})", info.dev_id);
                return Err(DeviceError::io(what, &error));
            }
        }
        Ok(server)
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all queues what to do.
    pub(crate) fn set(&self, mode: Mode) {
        for remote in &self.remotes {
            remote.set(mode);
        }
    }

    /// Resolves when every thread has ended; false when the deadline came first.
    pub(crate) async fn ended(&self, deadline: Duration) -> bool {
        let mut progress = self.progress.clone();
        let ended = progress.wait_for(|p| p.running == 0);
        // An error means that all senders, which the threads hold, have gone.
        tokio::time::timeout(deadline, ended).await.is_ok()
    }

    /// Resolves when a thread has ended by a fault, or all have ended, with the reason.
    pub(crate) async fn broken(&self) -> String {
        let mut progress = self.progress.clone();
        match progress.wait_for(|p| p.running == 0 || p.fault.is_some()).await {
            Ok(progress) => progress.fault.clone(),
            Err(_) => None,
        }
        .unwrap_or_else(|| "the kernel stopped the device: it was removed by another program".to_owned())
    }

    /// Waits for the threads. Blocks; the caller knows that they end.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            let _ = thread.join(); // panics were caught and reported by the thread itself
        }
    }
}

impl Drop for Server {
    /// Nobody is left who could stop the device: it is left to the next daemon.
    fn drop(&mut self) {
        self.set(Mode::Drain);
    }
}

fn run(setup: Setup, ready: mpsc::Sender<std::io::Result<()>>, report: &watch::Sender<Progress>) {
    let queue = setup.queue;
    let serving = AssertUnwindSafe(move || {
        let (made, result) = match Queue::new(setup) {
            Ok(made) => (Ok(made), Ok(())),
            Err(error) => (Err(format!("queue {queue} could not start: {error}")), Err(error)),
        };
        let _ = ready.send(result); // nobody listens any more where another queue has failed
        drop(ready);
        made.map_or_else(Ended::Failed, Queue::run)
    });
    let ended = catch_unwind(serving)
        .unwrap_or_else(|_| Ended::Failed(format!("the thread of queue {queue} panicked")));
    match &ended {
        Ended::Failed(why) => tracing::error!(queue, %why, "a queue has ended"),
        ended => tracing::debug!(queue, ?ended, "a queue has ended"),
    }
    report.send_modify(|p| {
        p.running -= 1;
        if let Ended::Failed(why) = ended {
            p.fault.get_or_insert(why);
        }
    });
}
