//! Makes the kernel see each new size of the volume, where it can.

use crate::{
    control::{Control, QUICK},
    uapi::{self, SECTOR},
};
use restblk_block::BlockDevice;
use std::sync::Arc;

/// Follows the volume's size for ever; the task is aborted with the device.
/// `known` is the size in bytes that the kernel has, `features` the driver's.
pub(crate) async fn follow(device: Arc<dyn BlockDevice>, dev_id: u32, mut known: u64, features: u64) {
    let mut sizes = device.watch_size();
    loop {
        let size = *sizes.borrow_and_update();
        if size != known {
            announce(dev_id, known, size, features).await;
            known = size;
        }
        if sizes.changed().await.is_err() {
            return; // the volume will never change again
        }
    }
}

async fn announce(dev_id: u32, from: u64, to: u64, features: u64) {
    if features & uapi::F_UPDATE_SIZE == 0 {
        tracing::warn!(
            dev_id,
            from,
            to,
            "the volume has a new size, but this kernel (before Linux 6.16) cannot change a ublk device in use: \
             detach the volume and attach it again"
        );
        return;
    }
    let done = tokio::task::spawn_blocking(move || {
        let mut control = Control::connect()?;
        control
            .order(uapi::UPDATE_SIZE, dev_id, to / SECTOR, QUICK)
            .map_err(|e| {
                e.error(
                    format!("resize /dev/ublkb{dev_id}"),
                    "detach the volume and attach it again",
                )
            })
    });
    match done.await {
        Ok(Ok(())) => tracing::info!(dev_id, from, to, "the device has its new size"),
        Ok(Err(error)) => tracing::error!(dev_id, from, to, %error, "the device keeps its old size"),
        Err(error) => tracing::error!(dev_id, %error, "the device keeps its old size"),
    }
}
