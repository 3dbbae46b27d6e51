//! The device of a volume while what it lies on changes beneath: every request takes the way that stands when it begins, and keeps it
//! until it is done.
//!
//! Invariants:
//! - whoever changes the way can wait until nobody is on the one before;
//! - what was announced of the device stays true: a discard that the new side cannot do does nothing, and zeros are then written. What
//!   a device without a volatile cache never asks for is the business of whoever lets such a one be converted.

use crate::{convert::Mirrored, side::Side};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_block::{BlockDevice, BlockError, Features, Geometry, Span, WriteFlags};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{oneshot, watch};

/// See the module.
#[derive(Debug)]
pub(crate) struct Front {
    now: RwLock<Now>,
    /// As it was announced first.
    announced: Features,
    size: watch::Sender<u64>,
}

#[derive(Debug)]
struct Now {
    route: Arc<Route>,
    left: oneshot::Receiver<()>,
}

/// A way, and a sender that is dropped with the last request on it.
#[derive(Debug)]
struct Route {
    way: Way,
    _on_it: oneshot::Sender<()>,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// To the one side that there is.
    Plain(Side),
    /// To both.
    Mirrored(Mirrored),
}

impl Way {
    fn device(&self) -> &dyn BlockDevice {
        match self {
            Self::Plain(side) => &**side.device(),
            Self::Mirrored(mirrored) => mirrored,
        }
    }
}

impl Now {
    fn new(way: Way) -> Self {
        let (on_it, left) = oneshot::channel();
        let route = Arc::new(Route { way, _on_it: on_it });
        Self { route, left }
    }
}

impl Front {
    /// Must be called within a runtime.
    pub(crate) fn new(side: Side) -> Arc<Self> {
        let geometry = side.device().geometry();
        let front = Arc::new(Self {
            announced: geometry.features,
            size: watch::Sender::new(geometry.size),
            now: RwLock::new(Now::new(Way::Plain(side.clone()))),
        });
        front.follow_size(&side);
        front
    }

    fn route(&self) -> Arc<Route> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&now.route)
    }

    /// The way that requests take now.
    pub(crate) fn way(&self) -> Way {
        self.route().way.clone()
    }

    /// Requests take this way from now on. Returns what ends when the last one on the way before is done.
    pub(crate) fn take(&self, way: Way) -> impl Future<Output = ()> + Send + 'static {
        let next = Now::new(way);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, next);
        drop(now);
        async move {
            drop(before.route);
            // Nothing is ever sent: the sender is dropped.
            let _ = before.left.await;
        }
    }

    /// Tells those who watch this device of the side's sizes, as long as both are there.
    pub(crate) fn follow_size(self: &Arc<Self>, side: &Side) {
        let (front, mut sizes) = (Arc::downgrade(self), side.device().watch_size());
        tokio::spawn(async move {
            while sizes.changed().await.is_ok() {
                let size = *sizes.borrow_and_update();
                let Some(front) = front.upgrade() else { return };
                front
                    .size
                    .send_if_modified(|now| std::mem::replace(now, size) != size);
            }
        });
    }
}

#[async_trait]
impl BlockDevice for Front {
    fn geometry(&self) -> Geometry {
        let mut geometry = self.route().way.device().geometry();
        let features = &mut geometry.features;
        features.read_only = self.announced.read_only;
        features.discard |= self.announced.discard;
        features.write_zeroes |= self.announced.write_zeroes;
        geometry
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.route().way.device().read(offset, buf).await
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        self.route().way.device().read_pieces(offset, len).await
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        self.route().way.device().spans(offset, len).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.route().way.device().write(offset, data, flags).await
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        self.route().way.device().write_bytes(offset, data, flags).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.route().way.device().flush().await
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let route = self.route();
        let device = route.way.device();
        if self.announced.discard && !device.geometry().features.discard {
            return Ok(());
        }
        device.discard(offset, len).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.route().way.device().write_zeroes(offset, len, flags).await
    }
}
