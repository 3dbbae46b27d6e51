//! The contract between the daemon and a transport.
//!
//! Life of a device: `attach` (or `recover` after the daemon's death) → in use → `detach`, or `hand_over` to the
//! next daemon. A transport watches [`BlockDevice::watch_size`] itself and makes the kernel see each new size
//! where the kernel can. It never decides whether a detach is safe: the daemon asks [`crate::holders`] first.
//!
//! All methods are called within a tokio runtime of several threads; whatever blocks runs on threads of the transport.

use crate::DeviceError;
use async_trait::async_trait;
use restblk_block::BlockDevice;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// The ways in which a volume becomes a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// The kernel's userspace block driver.
    Ublk,
    /// The kernel's NBD client, connected to the daemon's own NBD server.
    Nbd,
    /// A FUSE file under a loop device.
    Loop,
}

impl TransportKind {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::Ublk, Self::Nbd, Self::Loop];

    /// The name in commands, listings and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ublk => "ublk",
            Self::Nbd => "nbd",
            Self::Loop => "loop",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TransportKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no transport: choose ublk, nbd or loop"))
    }
}

/// Whether this host can use a transport now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// True where `attach` can be expected to work.
    pub available: bool,
    /// What was found, for people: "ublk_drv loaded, kernel 6.12", or what is missing and how to get it.
    pub detail: String,
    /// What the transport cannot do here although it works ("no online resize before Linux 6.16").
    pub limits: Vec<String>,
}

/// What is to be attached.
#[derive(Clone, Debug)]
pub struct AttachSpec {
    /// `pool/volume`, for names of threads, logs and whatever the kernel lets us label.
    pub label: String,
    /// The volume, already checked for bounds and alignment.
    pub device: Arc<dyn BlockDevice>,
    /// Hardware queues, where the transport has them; 0 lets it choose (at most one a processor).
    pub queues: u16,
    /// Requests in flight per queue; 0 lets it choose.
    pub queue_depth: u16,
    /// A folder of this attachment's own, under /run, for sockets and mount points. Exists, mode 0700.
    pub run_dir: PathBuf,
}

/// What the next daemon needs in order to take a device over. Kept on disk, so its form is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "lowercase")]
pub enum Recovery {
    /// A ublk device with user recovery.
    Ublk {
        /// The N of /dev/ublkbN.
        dev_id: u32,
    },
    /// A kernel NBD device that waits for its server.
    Nbd {
        /// The N of /dev/nbdN.
        index: u32,
        /// Connections (hardware queues) that the kernel has.
        connections: u16,
    },
    /// A loop device over a FUSE file.
    Loop {
        /// The N of /dev/loopN.
        index: u32,
        /// Where the FUSE file system was mounted.
        mount: PathBuf,
    },
}

impl Recovery {
    /// The transport that understands it.
    #[must_use]
    pub fn kind(&self) -> TransportKind {
        match self {
            Self::Ublk { .. } => TransportKind::Ublk,
            Self::Nbd { .. } => TransportKind::Nbd,
            Self::Loop { .. } => TransportKind::Loop,
        }
    }
}

/// A way of making a volume a device.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Which one.
    fn kind(&self) -> TransportKind;

    /// What this host can do. Cheap enough for `restblk doctor` and for every attach; may load a kernel module.
    async fn probe(&self) -> Availability;

    /// Makes the device. On error nothing is left behind.
    async fn attach(&self, spec: AttachSpec) -> Result<Box<dyn Attached>, DeviceError>;

    /// Takes over the device that an earlier daemon left, with the I/O that waits in it. Where the transport
    /// cannot (its device did not outlive the daemon), it clears the remains away, attaches afresh (with the same
    /// device number if it is free), and says so by [`Attached::resumed`] being false.
    async fn recover(&self, spec: AttachSpec, left: Recovery) -> Result<Box<dyn Attached>, DeviceError>;

    /// Clears away what an earlier daemon left of a device that nobody will take over.
    async fn clean(&self, left: Recovery) -> Result<(), DeviceError>;
}

/// A device in use.
#[async_trait]
pub trait Attached: Send + Sync + fmt::Debug {
    /// The kernel's node, such as /dev/ublkb0.
    fn path(&self) -> &Path;

    /// What the next daemon needs.
    fn recovery(&self) -> Recovery;

    /// True where `recover` went on with the device of the earlier daemon, so that mounted file systems live on.
    fn resumed(&self) -> bool;

    /// Resolves when the device has gone by itself (removed behind our back, or its threads died), with the reason.
    async fn gone(&self) -> String;

    /// Removes the device: waits for its requests, flushes the volume, frees the node. On error the device is still there.
    async fn detach(&self) -> Result<(), DeviceError>;

    /// Stops serving and leaves the device to the next daemon, where the transport can; else the same as `detach`.
    async fn hand_over(&self) -> Result<Recovery, DeviceError>;
}
