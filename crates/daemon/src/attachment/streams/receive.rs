//! A stream into a volume.
//!
//! The volume says how far it is, and refuses to be used until it is whole (`restblk_log`'s `receive`). It is attached nowhere meanwhile: who attaches
//! and who receives look at each other under one lock.

use super::log_error;
use crate::{
    attachment::{
        Attachments,
        opened::{Opened, Then},
        snapshots::{attached_here, log_of},
    },
    clock, error,
    error::Result,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use restblk_api::{ErrorBody, ReceiveQuery, Receiving, Snapshot};
use restblk_block::BlockDevice;
use restblk_engine::{
    NewVolume,
    log::{
        LogError, LogVolume, Receive, Receiver,
        stream::{self, Begin, Decoder, Event, StreamError, Token},
    },
};
use restblk_format::{LayoutKind, LifeState, VolumeRecord};
use restblk_types::{
    BlockSize, ByteCount, Compression, Durability, ErrorKind, SnapshotName, VolumeId, VolumeRef,
};
use std::collections::BTreeSet;

/// Volumes that are received into.
pub(in crate::attachment) type ReceivedInto = BTreeSet<VolumeRef>;

/// The only one who receives into a volume, which nobody attaches meanwhile.
struct Claim<'a> {
    attachments: &'a Attachments,
    volume: VolumeRef,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.attachments.received_into().remove(&self.volume);
    }
}

impl Attachments {
    /// Receives a snapshot into a volume, which is made where the stream has all of it.
    pub(crate) async fn receive<E: std::fmt::Display>(
        &self,
        volume: &VolumeRef,
        how: ReceiveQuery,
        body: &mut (impl Stream<Item = std::result::Result<Bytes, E>> + Unpin),
    ) -> Result<Snapshot> {
        if volume.snapshot.is_some() {
            let message = format!("receive into {volume}: the stream says what the snapshot is called");
            return Err(ErrorBody::new(ErrorKind::Invalid, message).hint(format!("name {}", volume.whole())));
        }
        let mut incoming = Incoming {
            body,
            decoder: Decoder::default(),
        };
        let failed = |why: Broken| broken(volume, &why, None);
        let (begin, start) = match incoming.next().await.map_err(failed)? {
            Some(Event::Begin { begin, start }) => (begin, start),
            _ => return Err(failed(Broken::Stream(StreamError::NotAStream))),
        };
        let name: SnapshotName = begin
            .to
            .name
            .parse()
            .map_err(|e| ErrorBody::new(ErrorKind::Invalid, format!("receive into {volume}: {e}")))?;
        let _claim = self.claim(volume)?;
        let record = self.make_receiver(volume, &begin, start, how).await?;
        let opened = self.open_shared(volume).await?;
        let received = self
            .receive_into(&opened, &record, how, (&begin, start), &mut incoming)
            .await;
        self.close_volume(&opened, Then::LetGo).await;
        received?;
        let snapshot = volume.at(name);
        tracing::info!(%snapshot, "received");
        self.snapshot(&snapshot).await
    }

    /// Makes sure that nobody attaches the volume while something is received into it.
    fn claim(&self, volume: &VolumeRef) -> Result<Claim<'_>> {
        let slots = self.slots();
        if let Some(slot) = slots.get(volume) {
            return Err(attached_here(&format!("receive into {volume}"), slot));
        }
        if !self.received_into().insert(volume.clone()) {
            let message = format!("receive into {volume}: another stream is being received into it");
            return Err(ErrorBody::new(ErrorKind::Busy, message).hint("end that one first"));
        }
        Ok(Claim {
            attachments: self,
            volume: volume.clone(),
        })
    }

    /// The volume that a stream is received into; made where there is none.
    async fn make_receiver(
        &self,
        volume: &VolumeRef,
        begin: &Begin,
        start: u64,
        how: ReceiveQuery,
    ) -> Result<VolumeRecord> {
        let repository = &self.context.pools.open(&volume.pool)?.repository;
        let found = repository.record(&volume.volume).await;
        let there = match found {
            Ok(record) if record.state != LifeState::Creating => Some(record),
            Ok(_) => None,
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(error::engine(e)),
        };
        let in_the_clear = there.as_ref().is_none_or(|record| record.encryption.is_none());
        if begin.encrypted && in_the_clear && !how.plaintext {
            let message = format!(
                "receive into {volume}: {} is encrypted where it comes from, and would not be here",
                begin.name
            );
            return Err(ErrorBody::new(ErrorKind::Denied, message).hint(format!(
                "restblk create {volume} {}B --layout log --encrypt makes one to receive into; --plaintext keeps it in the clear",
                begin.size
            )));
        }
        if let Some(record) = there {
            return Ok(record);
        }
        if let Some(from) = &begin.from {
            let message = format!(
                "receive into {volume}: there is no such volume, and the stream has what changed since the snapshot {} alone",
                from.name
            );
            return Err(ErrorBody::new(ErrorKind::NotFound, message)
                .hint(format!("receive all of {}@{} first", begin.name, from.name)));
        }
        if start > 0 {
            let message = format!(
                "receive into {volume}: there is no such volume, and the stream goes on from byte {start}"
            );
            return Err(ErrorBody::new(ErrorKind::NotFound, message).hint("send it without --resume-from"));
        }
        let new = NewVolume {
            id: VolumeId::random(),
            name: volume.volume.clone(),
            layout: LayoutKind::Log,
            size: begin.size,
            block_size: BlockSize::B4096,
            durability: Durability::default(),
            compression: Compression::default(),
            encryption: None,
            created_at: clock::now(),
        };
        let receiving = stream::Receiving {
            to: begin.to.clone(),
            from: None,
            position: 0,
            since: clock::now(),
        };
        let made = repository.create_half(new, receiving).await;
        made.map_err(error::engine)
    }

    async fn receive_into<E: std::fmt::Display>(
        &self,
        opened: &Opened,
        record: &VolumeRecord,
        how: ReceiveQuery,
        (begin, start): (&Begin, u64),
        incoming: &mut Incoming<'_, impl Stream<Item = std::result::Result<Bytes, E>> + Unpin>,
    ) -> Result<()> {
        let volume = opened.name();
        let log = log_of(opened, volume)?;
        let take = Receive {
            force: how.force,
            now: clock::now(),
        };
        let mut receiver = log.receive(begin, start, &take).await.map_err(log_error)?;
        if record.size != begin.size {
            self.note_size(volume, begin.size).await?;
        }
        tracing::info!(%volume, snapshot = begin.to.name, from = begin.name, start, "receiving");
        match write(&mut receiver, incoming).await {
            Ok(()) => receiver.finish().await.map(drop).map_err(log_error),
            Err(Broken::Volume(error)) => Err(log_error(error)),
            Err(why) => {
                let half = receiver.pause().await.map_err(log_error)?;
                Err(broken(volume, &why, Some(&half.token())))
            }
        }
    }

    /// The snapshot that a log volume has a part of: of one that is not open here as its last committed head tells.
    pub(in crate::attachment) async fn receiving(
        &self,
        volume: &VolumeRef,
        log: Option<&LogVolume>,
        record: &VolumeRecord,
    ) -> Result<Option<Receiving>> {
        let (half, size) = match log {
            Some(log) => (log.receiving(), log.geometry().size),
            None => {
                let repository = &self.context.pools.open(&volume.pool)?.repository;
                let head = repository.log_head(record).await.map_err(error::engine)?;
                (head.receiving, head.size)
            }
        };
        Ok(half.and_then(|half| {
            Some(Receiving {
                snapshot: volume.at(half.to.name.parse().ok()?),
                token: half.token().to_string(),
                from: half.from.map(|from| from.name),
                position: half.position,
                size: ByteCount(size),
                since: half.since,
            })
        }))
    }
}

/// Refuses to do that to a volume that has a part of a snapshot; its snapshots are whole.
pub(in crate::attachment) fn check_whole(opened: &Opened, doing: &str, of: &VolumeRef) -> Result<()> {
    let half = opened.volume.log().filter(|_| of.snapshot.is_none());
    half.map_or(Ok(()), |log| {
        log.check_whole(&format!("{doing} {of}")).map_err(log_error)
    })
}

/// Writes what comes.
async fn write<E: std::fmt::Display>(
    receiver: &mut Receiver<'_>,
    incoming: &mut Incoming<'_, impl Stream<Item = std::result::Result<Bytes, E>> + Unpin>,
) -> std::result::Result<(), Broken> {
    while let Some(event) = incoming.next().await? {
        let written = match event {
            Event::Data { offset, data } => receiver.data(offset, data.into()).await,
            Event::Zeros { offset, length } => receiver.zeros(offset, length).await,
            Event::End | Event::Begin { .. } => Ok(()),
        };
        written.map_err(Broken::Volume)?;
    }
    Ok(())
}

/// Why a stream was not received to its end.
enum Broken {
    /// What came is no stream, or not all of one.
    Stream(StreamError),
    /// Who sent it went away.
    Connection(String),
    /// What came could not be written.
    Volume(LogError),
}

/// A stream that comes in as a request's body.
struct Incoming<'a, B> {
    body: &'a mut B,
    decoder: Decoder,
}

impl<B, E> Incoming<'_, B>
where
    B: Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    /// What comes next; none at a stream's proper end.
    async fn next(&mut self) -> std::result::Result<Option<Event>, Broken> {
        loop {
            if let Some(event) = self.decoder.next_event().map_err(Broken::Stream)? {
                return Ok(Some(event));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.decoder.push(&bytes),
                Some(Err(error)) => return Err(Broken::Connection(error.to_string())),
                None => {
                    self.decoder.finish().map_err(Broken::Stream)?;
                    return Ok(None);
                }
            }
        }
    }
}

fn broken(volume: &VolumeRef, why: &Broken, token: Option<&Token>) -> ErrorBody {
    let body = match why {
        Broken::Stream(error) => ErrorBody::new(error.kind(), format!("receive into {volume}: {error}")),
        Broken::Connection(error) => ErrorBody::new(
            ErrorKind::Retry,
            format!("receive into {volume}: the stream broke: {error}"),
        ),
        Broken::Volume(error) => ErrorBody::new(error.kind(), error.to_string()),
    };
    match token {
        Some(token) => body.hint(format!(
            "what is right of it was kept; restblk send --resume-from {token} goes on from there"
        )),
        None => body,
    }
}
