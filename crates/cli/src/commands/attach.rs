//! `restblk attach`: make a volume a device of this host.

use super::keys::KeyFiles;
use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, transport, with_alternatives};
use clap::Args;
use restblk_api::{AttachRequest, Attachment, TransportChoice};
use restblk_types::{ErrorKind, VolumeRef};

/// Attach a volume as a block device
///
/// Prints the device's stable path, alone, on standard output: dev=$(restblk attach main/disk1)
///
/// An encrypted volume is opened by a file that is named here or, by the daemon, in its configuration (section encryption).
///
/// With --persist, a line in /etc/fstab mounts it at boot: /dev/restblk/main/disk1 /srv ext4
/// _netdev,nofail,x-systemd.after=restblk.service 0 2
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Pool and name of the volume, or of a snapshot, which is only read
    #[arg(value_name = "POOL/NAME[@SNAPSHOT]", add = complete::free_volumes())]
    volume: VolumeArg,
    /// How: auto (the best that this host has), ublk, nbd, loop or nbd-export
    #[arg(short, long, value_parser = transport, default_value = "auto", add = complete::transports())]
    transport: TransportChoice,
    /// Come back after a restart of the daemon or of the host
    #[arg(short, long)]
    persist: bool,
    /// Let no write through
    #[arg(short, long)]
    read_only: bool,
    /// Take the volume away from the host that holds it. If that host still writes, what is on the volume is destroyed:
    /// only for a host that is known to be dead
    #[arg(short, long)]
    force: bool,
    /// Hardware queues of the device; 0 lets the transport choose
    #[arg(long, value_name = "N", default_value_t = 0)]
    queues: u16,
    /// A further name for the device: /dev/restblk/by-name/NAME
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    #[command(flatten)]
    key: KeyFiles,
}

impl Attach {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let attached = attach(
            session,
            AttachRequest {
                volume,
                transport: self.transport,
                persist: self.persist,
                read_only: self.read_only,
                force: self.force,
                queues: self.queues,
                alias: self.alias.clone(),
                key: self.key.read()?,
            },
        )
        .await?;
        session.result(&attached, path)?;
        if self.force {
            session.warn(
                "the volume was taken over: make sure that the other host does not write to it any more",
            );
        }
        notes(session, &attached);
        Ok(())
    }
}

/// Attaches, and says more than the daemon where it fails.
pub(super) async fn attach(session: &Session, request: AttachRequest) -> Result<Attachment> {
    let volume = request.volume.clone();
    match session
        .call(&format!("attach {volume}"), session.client.attach(&request))
        .await
    {
        Ok(attached) => Ok(attached),
        Err(failure) => Err(advise(session, failure, &volume).await),
    }
}

async fn advise(session: &Session, failure: Failure, volume: &VolumeRef) -> Failure {
    if failure.wants_hint(ErrorKind::Unsupported) {
        return failure.hint("`restblk doctor` tells what this host can do");
    }
    if failure.wants_hint(ErrorKind::Busy) || failure.wants_hint(ErrorKind::Exists) {
        return failure.hint(format!("`restblk show {volume}` tells who has it"));
    }
    with_alternatives(session, failure, volume).await
}

/// Where the volume is now: its stable path, or the addresses of an export.
pub(super) fn path(attached: &Attachment) -> String {
    match attached.link.as_ref().or(attached.device.as_ref()) {
        Some(path) => format!("{path}\n"),
        None => attached.nbd_uris.iter().map(|uri| format!("{uri}\n")).collect(),
    }
}

fn notes(session: &Session, attached: &Attachment) {
    let volume = &attached.volume;
    let by = attached.transport.as_str();
    let device = attached
        .device
        .as_deref()
        .map(|device| format!(" as {device}"))
        .unwrap_or_default();
    session.note(format!("attached {volume} ({}, {by}){device}", attached.size));
    for limit in &attached.limits {
        session.note(format!("limit: {limit}"));
    }
    if let Some(path) = attached.link.as_ref().or(attached.device.as_ref()) {
        session.note(format!(
            "next: mount {path}; a new volume wants a file system first, such as by mkfs.ext4"
        ));
    }
}
