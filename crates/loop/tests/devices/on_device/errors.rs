//! Errors of the volume reach the program.

use crate::{
    probe_device::ProbeDevice,
    rig::{Direct, Rig, beside, run},
};
use restblk_block::{BlockDevice, BlockError, Geometry, WriteFlags};
use restblk_types::{BlockSize, ErrorKind};
use std::sync::Arc;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_fails_the_program() {
    let Some(rig) = Rig::new().await else { return };
    let device = Arc::new(ProbeDevice::new(8 << 20, BlockSize::B4096));
    let attached = rig.attach(device.clone()).await;
    for (kind, errno) in [
        (ErrorKind::Unavailable, 5),
        (ErrorKind::NoSpace, 28),
        (ErrorKind::Bug, 5),
    ] {
        device.fail_with(kind);
        let path = attached.path().to_owned();
        let error = beside(move || Direct::open(&path).write(0, 1)).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno), "{kind}");
    }
    // Through the page cache it is fsync that fails.
    let path = attached.path().display().to_string();
    run(format!(
        "! dd if=/dev/zero of={path} bs=4k count=1 conv=fsync 2>/dev/null"
    ))
    .await;
    device.fail_with(None);
    run(format!(
        "dd if=/dev/zero of={path} bs=4k count=1 conv=fsync status=none"
    ))
    .await;
    attached.detach().await.unwrap();
}

/// Panics on reads, at once or later; drops nothing else.
#[derive(Debug)]
struct Panicking(ProbeDevice);

#[async_trait::async_trait]
impl BlockDevice for Panicking {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn watch_size(&self) -> watch::Receiver<u64> {
        self.0.watch_size()
    }
    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        assert_ne!(offset, 4 << 20, "told to panic at once");
        if offset == 5 << 20 {
            tokio::task::yield_now().await;
            panic!("told to panic later");
        }
        self.0.read(offset, buf).await
    }
    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.0.write(offset, data, flags).await
    }
    async fn flush(&self) -> Result<(), BlockError> {
        self.0.flush().await
    }
    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.0.discard(offset, len).await
    }
    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.0.write_zeroes(offset, len, flags).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_an_error_of_one_request() {
    let Some(rig) = Rig::new().await else { return };
    let attached = rig
        .attach(Arc::new(Panicking(ProbeDevice::new(8 << 20, BlockSize::B4096))))
        .await;
    let path = attached.path().display().to_string();
    for _ in 0..8 {
        for mib in [4, 5] {
            run(format!(
                "! dd if={path} of=/dev/null bs=4k count=1 skip={} iflag=direct 2>/dev/null",
                mib * 256
            ))
            .await;
        }
    }
    run(format!(
        "dd if={path} of=/dev/null bs=4k count=8 iflag=direct status=none"
    ))
    .await;
    attached.detach().await.unwrap();
}
