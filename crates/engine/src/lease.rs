//! Who may write to a volume: one attachment record on the store, taken by exclusive create.
//!
//! | found | taken over by |
//! |---|---|
//! | nothing | anybody |
//! | this host's own record, known from its own disk | the daemon that comes after the one that died |
//! | a record of a volume that was deleted under the same name | anybody: it holds nothing |
//! | anybody else's | `force` alone |
//!
//! A direct volume cannot be fenced on the store (its bytes are one object that everybody writes), so a holder looks
//! after its record from time to time ([`Lease::check`]) and stops for ever once it is gone. Between a forced takeover and
//! that look both hosts write: `force` is for hosts known to be dead.

use crate::{EngineError, Repository, names};
use restblk_format::{AttachmentRecord, VolumeRecord};
use restblk_types::{AttachmentId, ErrorKind, HostId, VolumeId, VolumeName};
use std::sync::Arc;

/// Who wants a volume.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The new attachment; random.
    pub id: AttachmentId,
    /// The host.
    pub host: HostId,
    /// Its name.
    pub hostname: String,
    /// Its boot.
    pub boot_id: String,
    /// The daemon.
    pub pid: u32,
    /// Now, RFC 3339, UTC.
    pub since: String,
}

/// When a held volume may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// Never.
    Refused,
    /// From this attachment, which the host's own disk remembers as its own.
    Own(AttachmentId),
    /// From anybody.
    Forced,
}

/// A held volume.
#[derive(Clone, Debug)]
pub struct Lease {
    repository: Arc<Repository>,
    record: AttachmentRecord,
    name: VolumeName,
}

impl Repository {
    /// Takes the volume for a claim: `Busy`, with who holds it and since when, where it is held.
    pub async fn take(
        self: &Arc<Self>,
        name: &VolumeName,
        claim: Claim,
        takeover: Takeover,
    ) -> Result<(Lease, VolumeRecord, Vec<String>), EngineError> {
        let (volume, full) = (self.require_ready(name).await?, self.full(name));
        if volume.record.dialect.as_deref() != self.dialect() {
            let spelled = |dialect: Option<&str>| dialect.unwrap_or("none").to_owned();
            return Err(EngineError::refused(
                ErrorKind::Unsupported,
                format!(
                    "attach {full}: it was made with the dialect {}, and the pool speaks {} now; set the pool's dialect back",
                    spelled(volume.record.dialect.as_deref()),
                    spelled(self.dialect())
                ),
            ));
        }
        let record = AttachmentRecord {
            id: claim.id,
            volume: volume.record.id,
            host: claim.host,
            hostname: claim.hostname,
            boot_id: claim.boot_id,
            pid: claim.pid,
            since: claim.since,
            incompat: Vec::new(),
            ro_compat: Vec::new(),
        };
        let key = names::attachment(name);
        if !self.create(&key, &record).await? {
            match self.read::<AttachmentRecord>(&key).await? {
                Some(held) if held.record.id == record.id => {}
                Some(held) if may_take(&held.record, volume.record.id, takeover) => {
                    self.replace(&key, &record, held.etag).await?;
                }
                Some(held) => return Err(held_by(&full, &held.record, record.host)),
                None => {
                    return Err(EngineError::refused(
                        ErrorKind::Conflict,
                        format!("attach {full}: another host let it go just now; try again"),
                    ));
                }
            }
        }
        let lease = Lease {
            repository: Arc::clone(self),
            record,
            name: name.clone(),
        };
        lease.check().await?;
        // Deleted between the first look and the lease: a delete looks for a lease before it begins, not after.
        let again = self.require_ready(name).await;
        match again {
            Ok(found) if found.record.id == lease.record.volume => {
                Ok((lease, found.record, found.read_only_because))
            }
            Ok(_) | Err(_) => {
                lease.release().await?;
                Err(again.err().unwrap_or_else(|| {
                    EngineError::refused(
                        ErrorKind::Conflict,
                        format!("attach {full}: it was deleted and made again just now; try again"),
                    )
                }))
            }
        }
    }
}

impl Repository {
    /// Lets go of the volume what this attachment held; that somebody else holds it, or nobody, is as good.
    pub async fn release(&self, name: &VolumeName, id: AttachmentId) -> Result<(), EngineError> {
        let key = names::attachment(name);
        match self.read::<AttachmentRecord>(&key).await? {
            Some(held) if held.record.id == id => self.remove(&key, held.etag).await,
            _ => Ok(()),
        }
    }
}

fn may_take(held: &AttachmentRecord, volume: VolumeId, takeover: Takeover) -> bool {
    held.volume != volume
        || match takeover {
            Takeover::Refused => false,
            Takeover::Own(id) => held.id == id,
            Takeover::Forced => true,
        }
}

fn held_by(full: &str, held: &AttachmentRecord, asking: HostId) -> EngineError {
    let who = if held.host == asking {
        "this host itself"
    } else {
        "another host"
    };
    EngineError::refused(
        ErrorKind::Busy,
        format!(
            "attach {full}: {who} holds it: {} (host id {}, process {}) since {}",
            held.hostname, held.host, held.pid, held.since
        ),
    )
}

impl Lease {
    /// The attachment's id.
    #[must_use]
    pub fn id(&self) -> AttachmentId {
        self.record.id
    }

    /// Who holds the volume: ourselves, as all hosts read it.
    #[must_use]
    pub fn record(&self) -> &AttachmentRecord {
        &self.record
    }

    /// `Fenced` where the volume is no longer ours; a store's error where it cannot be told.
    pub async fn check(&self) -> Result<(), EngineError> {
        let held = self
            .repository
            .read::<AttachmentRecord>(&names::attachment(&self.name))
            .await?;
        let by = match held {
            Some(held) if held.record.id == self.record.id => return Ok(()),
            Some(held) => format!("host {} took it {}", held.record.hostname, held.record.since),
            None => "its attachment record was removed".to_owned(),
        };
        Err(EngineError::refused(
            ErrorKind::Fenced,
            format!(
                "use {}: {by}; this host must stop: detach it",
                self.repository.full(&self.name)
            ),
        ))
    }

    /// Lets the volume go. Nobody else's record is touched; that ours is gone already is as good.
    pub async fn release(&self) -> Result<(), EngineError> {
        self.repository.release(&self.name, self.record.id).await
    }
}
