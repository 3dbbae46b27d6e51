//! Who may write to a volume: one attachment record on the store, taken by exclusive create.
//!
//! | found | taken over by |
//! |---|---|
//! | nothing | anybody |
//! | this host's own record, known from its own disk | the daemon that comes after the one that died |
//! | a record of a volume that was deleted under the same name | anybody: it holds nothing |
//! | anybody else's | `force` alone |
//!
//! A log volume fences by itself: whoever opens it ends the epoch before (`restblk_log`). The record says who, and spares two hosts from
//! fencing each other in turns.
//!
//! A direct volume's bytes are one object that everybody may write. Where the store has locks (`Capabilities::lock`), the
//! holder of the record also locks that object and all its changes carry the lock's token ([`Lease::guard`]): a takeover breaks
//! the lock, and from then on the store itself refuses what the former holder sends. Elsewhere a holder looks after its
//! record from time to time ([`Lease::check`]) and stops for ever once it is gone; between a forced takeover and that look
//! both hosts write, so `force` is for hosts known to be dead.
//!
//! A lock that ran out while the store was away is taken again ([`Lease::check`]) once the record, read under the new lock, is
//! seen to be ours still; until then the store takes no change, and I/O waits.
//!
//! The record decides, the lock follows: it is taken after the record and let go before it. A lock without a record is
//! somebody else's (another program's, on a store that others use too), and is broken by `force` alone.

use crate::guard::Guard;
use crate::{EngineError, Repository, names};
use restblk_format::{AttachmentRecord, ConversionStage, LayoutKind, VolumeRecord};
use restblk_store::{LockToken, Store, StoreError, clean_up};
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
    /// The object's lock, where the store has locks.
    guard: Arc<Guard>,
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
        let is_direct = volume.record.layout == LayoutKind::Direct;
        if is_direct && volume.record.dialect.as_deref() != self.dialect() {
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
        if is_direct {
            self.check_block_size(&format!("attach {full}"), volume.record.block_size)?;
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
        let mut steal = takeover != Takeover::Refused;
        if self.create(&key, &record).await?.is_none() {
            match self.read::<AttachmentRecord>(&key).await? {
                Some(held) if held.record.id == record.id => {}
                Some(held) if may_take(&held.record, volume.record.id, takeover) => {
                    self.replace(&key, &record, held.etag).await?;
                    steal = true;
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
            guard: Arc::new(Guard::new(names::data(name))),
        };
        lease.check().await?;
        let locked = if is_direct {
            lease.lock_file(steal).await
        } else {
            Ok(())
        };
        if let Err(e) = locked {
            clean_up(lease.release()).await?;
            return Err(e);
        }
        // Deleted between the first look and the lease: a delete looks for a lease before it begins, not after.
        let again = self.require_ready(name).await;
        match again {
            Ok(found) if found.record.id == lease.record.volume => {
                Ok((lease, found.record, found.read_only_because))
            }
            Ok(_) | Err(_) => {
                clean_up(lease.release()).await?;
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
        let held = self.read::<AttachmentRecord>(&names::attachment(name)).await?;
        if held.is_some_and(|held| held.record.id == id) {
            self.break_lock(name).await?;
        }
        self.forget(name, id).await
    }

    /// Removes the record of this attachment.
    async fn forget(&self, name: &VolumeName, id: AttachmentId) -> Result<(), EngineError> {
        let key = names::attachment(name);
        match self.read::<AttachmentRecord>(&key).await? {
            Some(held) if held.record.id == id => self.remove(&key, held.etag).await,
            _ => Ok(()),
        }
    }

    /// Ends the lock of an attachment of ours whose token died with its daemon.
    async fn break_lock(&self, name: &VolumeName) -> Result<(), EngineError> {
        if !self.capabilities.lock {
            return Ok(());
        }
        let volume = self.read::<VolumeRecord>(&names::volume(name)).await?;
        let has_file = |volume: &VolumeRecord| {
            let conversion = volume.conversion.as_ref();
            volume.layout == LayoutKind::Direct
                || conversion.is_some_and(|conversion| conversion.stage != ConversionStage::Making)
        };
        if !volume.is_some_and(|volume| has_file(&volume.record)) {
            return Ok(());
        }
        let data = names::data(name);
        match self.store.lock(&data, "restblk, letting go", true).await {
            Ok(lock) => Ok(self.store.unlock(&data, &lock.token).await?),
            // Deleted meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
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

    /// Locks the volume's object, where the store has locks and it is not locked by this lease already.
    pub(crate) async fn lock_file(&self, steal: bool) -> Result<(), EngineError> {
        if !self.repository.capabilities.lock || self.guard.token().is_some() {
            return Ok(());
        }
        match self.ask_for_lock(steal).await {
            Ok(token) => {
                self.guard.hold(token);
                self.guard(&self.repository.store);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::Busy => Err(EngineError::refused(
                ErrorKind::Busy,
                format!(
                    "attach {}: its file is locked on the store, and not by an attachment: {e}; end what locked it, or force the attach",
                    self.repository.full(&self.name)
                ),
            )),
            Err(e) => Err(e.into()),
        }
    }

    async fn ask_for_lock(&self, steal: bool) -> Result<LockToken, StoreError> {
        let owner = format!(
            "restblk on {} (host id {}, attachment {}) since {}",
            self.record.hostname, self.record.host, self.record.id, self.record.since
        );
        let lock = self
            .repository
            .store
            .lock(&names::data(&self.name), &owner, steal)
            .await?;
        Ok(lock.token)
    }

    /// Has the volume's changes through this store carry the lock's token, so that the store refuses them once another host
    /// has taken the volume. Until the lease is let go.
    pub fn guard(&self, store: &Arc<dyn Store>) {
        self.guard.over(store);
    }

    /// Prolongs the lock, where there is one, and looks after the record. `Fenced` where the volume is no longer ours; a
    /// store's error where it cannot be told.
    pub async fn check(&self) -> Result<(), EngineError> {
        if let Some(token) = self.guard.token() {
            let refreshed = self
                .repository
                .store
                .refresh_lock(&names::data(&self.name), &token)
                .await;
            match refreshed {
                Err(e) if e.kind() != ErrorKind::Fenced => return Err(e.into()),
                // Broken, which the record tells, or run out.
                Err(e) => {
                    self.look().await?;
                    return self.lock_again(&e).await;
                }
                Ok(()) => {}
            }
        }
        self.look().await
    }

    /// Takes a lock again that is gone although the record is ours. No change carries it before the record was seen under it:
    /// whoever took the volume and let it go in between left another record, or none.
    async fn lock_again(&self, gone: &StoreError) -> Result<(), EngineError> {
        let token = self.ask_for_lock(false).await?;
        if let Err(e) = self.look().await {
            let _ = self
                .repository
                .store
                .unlock(&names::data(&self.name), &token)
                .await;
            return Err(e);
        }
        tracing::warn!(volume = %self.repository.full(&self.name), %gone, "the volume's lock had gone, and was taken again");
        self.guard.hold(token);
        Ok(())
    }

    async fn look(&self) -> Result<(), EngineError> {
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
        self.unlock_file().await?;
        self.repository.forget(&self.name, self.record.id).await
    }

    /// Unlocks the volume's object; that it is gone, or another's, is as good.
    pub(crate) async fn unlock_file(&self) -> Result<(), EngineError> {
        if let Some(token) = self.guard.let_go() {
            let unlocked = self
                .repository
                .store
                .unlock(&names::data(&self.name), &token)
                .await;
            match unlocked {
                // Deleted meanwhile, or taken by another: nothing of ours is left.
                Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Fenced) => {
                    return Err(e.into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
