//! The records of an attachment: the one on the store that tells all hosts, and the host's own.

use crate::Record;
use restblk_types::{AttachmentId, HostId, VolumeId, VolumeRef};
use serde::{Deserialize, Serialize};

/// Who holds a volume, as the store keeps it under `.restblk/attachments/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRecord {
    /// The attachment, and the nonce by which its host knows it again.
    pub id: AttachmentId,
    /// The volume: not one that was deleted and made again under the same name.
    pub volume: VolumeId,
    /// The host.
    pub host: HostId,
    /// Its name, for people.
    pub hostname: String,
    /// The host's boot: tells whether the daemon that wrote this can still be alive.
    pub boot_id: String,
    /// The daemon's process id, for people.
    pub pid: u32,
    /// When it was attached, RFC 3339, UTC.
    pub since: String,
    /// Features without which nobody may take it over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incompat: Vec<String>,
    /// Reserved, as in every record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ro_compat: Vec<String>,
}

impl Record for AttachmentRecord {
    const TYPE: &'static str = "attachment";
}

/// An attachment as the daemon keeps it on its own disk, to recover it after its death. `D` is the transports'
/// own description of the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAttachment<D> {
    /// `pool/volume`.
    pub volume: VolumeRef,
    /// The volume's id.
    pub volume_id: VolumeId,
    /// The attachment's id.
    pub id: AttachmentId,
    /// The id under which the volume is held on the store, where that is another attachment's: a volume and its snapshots
    /// are held once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_as: Option<AttachmentId>,
    /// What was asked for: `auto`, `ublk`, `nbd`, `loop`, `nbd-export`.
    pub transport: String,
    /// The device, once there is one.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub device: Option<D>,
    /// The boot in which the device was made; in another boot it is gone.
    pub boot_id: String,
    /// Comes back after a reboot.
    pub persist: bool,
    /// Writes fail.
    pub read_only: bool,
    /// Hardware queues asked for; 0: the transport chooses.
    pub queues: u16,
    /// A further name of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Since when, RFC 3339, UTC.
    pub since: String,
}

impl<D> LocalAttachment<D> {
    /// The id under which the volume is held on the store.
    #[must_use]
    pub fn holder(&self) -> AttachmentId {
        self.held_as.unwrap_or(self.id)
    }
}

impl<D: Serialize + serde::de::DeserializeOwned> Record for LocalAttachment<D> {
    const TYPE: &'static str = "local-attachment";
}
