//! Attachments: volumes that are devices of this host.

use restblk_types::{ByteCount, KeySecret, VolumeRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a volume becomes a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransportChoice {
    /// The best that this host has.
    #[default]
    Auto,
    /// The kernel's userspace block driver.
    Ublk,
    /// The kernel's NBD client.
    Nbd,
    /// A FUSE file under a loop device.
    Loop,
    /// No device of this host: served to NBD clients (QEMU, libnbd, nbd-client) on the daemon's NBD sockets.
    NbdExport,
}

impl TransportChoice {
    /// The name in commands, listings and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ublk => "ublk",
            Self::Nbd => "nbd",
            Self::Loop => "loop",
            Self::NbdExport => "nbd-export",
        }
    }
}

impl std::str::FromStr for TransportChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Auto, Self::Ublk, Self::Nbd, Self::Loop, Self::NbdExport]
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no transport: choose auto, ublk, nbd, loop or nbd-export"))
    }
}

/// Attach a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// `pool/volume`.
    #[schema(value_type = String, example = "main/disk1")]
    pub volume: VolumeRef,
    /// How.
    #[serde(default)]
    pub transport: TransportChoice,
    /// Comes back after a restart of the daemon or the host.
    #[serde(default)]
    pub persist: bool,
    /// Writes fail.
    #[serde(default)]
    pub read_only: bool,
    /// Takes the volume away from whoever holds it. Both writing at the same time destroys what is on it.
    #[serde(default)]
    pub force: bool,
    /// Hardware queues; 0: chosen by the transport.
    #[serde(default)]
    pub queues: u16,
    /// A further name for the device: the link /dev/restblk/by-name/NAME, as the control files' `attach` gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What opens an encrypted volume; without it, what the daemon's configuration names. It is not kept: an attachment that comes back at
    /// boot needs one that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySecret>,
}

/// Detach a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    /// Detaches although the device is open or mounted: its users get I/O errors.
    #[serde(default)]
    pub force: bool,
}

/// What became of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentState {
    /// Being made, or being recovered after a restart.
    Starting,
    /// In use.
    Active,
    /// The volume was taken over by another host: all I/O fails. Detach it.
    Fenced,
    /// The device could not be made or has gone; see `problem`. A persistent one is tried again.
    Failed,
}

/// Who uses a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    /// `mount`, `swap`, `process` or `device`.
    pub kind: String,
    /// In words: "mounted on /srv", "open by fio (pid 123)".
    pub description: String,
}

/// A volume that is attached to this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// `pool/volume`.
    #[schema(value_type = String, example = "main/disk1")]
    pub volume: VolumeRef,
    /// The transport in use (never `auto`).
    pub transport: TransportChoice,
    /// The kernel's node, such as /dev/ublkb0; nothing for an NBD export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The stable name, /dev/restblk/POOL/VOLUME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The further name that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// For an NBD export: where clients connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nbd_uris: Vec<String>,
    /// What became of it.
    pub state: AttachmentState,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What this transport cannot do on this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// Size of the volume in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// Size in bytes that the kernel shows of the device; not `size` where the volume was extended and the transport
    /// cannot resize a device in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub device_size: Option<ByteCount>,
    /// Block size in bytes.
    pub block_size: u32,
    /// Comes back after a restart.
    pub persist: bool,
    /// Writes fail.
    pub read_only: bool,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// Who uses the device now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}
