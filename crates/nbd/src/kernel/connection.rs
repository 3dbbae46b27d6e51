//! Keeps one connection of a device alive.
//!
//! The kernel gives a connection up when a request on it takes longer than the queue's time-out (several queues only),
//! or when our task died; it then waits for a new socket. A new socket is also silently dropped where the kernel has not
//! yet noticed that the old one (of a dead daemon) is closed. In each case: once more, soon, as long as the device is ours.

use super::device::{Device, State};
use crate::transmission::{End, serve};
use std::{sync::Arc, time::Duration};
use tokio::{net::UnixStream, time::Instant};

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection that lived this long was a good one.
const LIVED: Duration = Duration::from_secs(5);

/// Serves until the device is let go or gone.
pub(super) async fn keep(device: Arc<Device>, mut stream: UnixStream) {
    let mut pause = PAUSE_MIN;
    loop {
        let since = Instant::now();
        let (read, write) = stream.into_split();
        let (end, drain) = serve(read, write, device.session(), device.stopping()).await;
        // What is in flight goes on; the gate keeps what comes again behind it.
        let draining = tokio::spawn(drain);
        match end {
            End::Stopped => {
                // A panic in there has been logged; there is nothing left to do for this connection.
                let _ = draining.await;
                return;
            }
            End::Disconnect => return device.set_gone("it was disconnected, as by nbd-client -d"),
            End::Closed => tracing::debug!(volume = device.label, "the kernel closed a connection"),
            End::Broken(error) => {
                tracing::warn!(volume = device.label, %error, "a connection to the kernel broke")
            }
        }
        if since.elapsed() > LIVED {
            pause = PAUSE_MIN;
        }
        stream = loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if *device.state.borrow() != State::Serving {
                return;
            }
            if !device.is_ours() {
                return device.set_gone("the kernel has released it");
            }
            match device.reconnect().await {
                Ok(stream) => break stream,
                Err(error) => tracing::warn!(volume = device.label, %error, "the kernel took no new socket"),
            }
        };
    }
}
