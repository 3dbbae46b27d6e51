//! Blocking work on a thread of its own, awaited without blocking the runtime.
//!
//! Not tokio's pool: work that hangs with the kernel must not take the pool's threads, nor keep the runtime from ending.

use restblk_device::DeviceError;
use restblk_types::ErrorKind;
use std::thread;
use tokio::sync::oneshot;

/// Runs `work` on a new thread. Dropping the future leaves the thread to finish alone.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DeviceError> + Send + 'static,
) -> Result<T, DeviceError> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name("restblk-loop".into())
        .spawn(move || drop(done.send(work())))
        .map_err(|error| DeviceError::io("start a thread", &error))?;
    let panicked = |_| DeviceError::new(ErrorKind::Bug, "a thread of the loop transport panicked");
    result.await.map_err(panicked)?
}
