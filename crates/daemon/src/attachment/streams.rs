//! What changed between snapshots of log volumes, and streams of snapshots out of volumes and into them.
//!
//! What is told and sent goes out as fast as it is taken and no faster; it ends with the connection that asked for it. What is received is
//! written as it comes, so that its sender waits for us, and what is right stays when the connection breaks: the volume says how far it is, and refuses to be used
//! (`restblk_log`'s `receive`). A volume that is received into is attached nowhere meanwhile: who attaches and who receives look at each other under one lock.

use super::{
    Attachments,
    opened::{Opened, Then},
    snapshots::{find, log_of},
};
use crate::{clock, error, error::Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use restblk_api::{
    DiffBegin, DiffEnd, DiffExtent, DiffLine, ErrorBody, ExtentKind, ReceiveQuery, Receiving, SendQuery,
    Snapshot,
};
use restblk_block::BlockDevice;
use restblk_engine::{
    EngineError, NewVolume, Takeover,
    log::{
        Change, Changes, LogError, LogVolume, Receive, Receiver,
        stream::{Begin, Decoder, Event, StreamError, Token},
    },
};
use restblk_format::{LayoutKind, LifeState, VolumeRecord};
use restblk_types::{
    AttachmentId, BlockSize, ByteCount, Compression, Durability, ErrorKind, SnapshotName, VolumeId, VolumeRef,
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::mpsc;

/// Pieces of an answer that nobody has taken yet, at most 1 MiB each.
const UNTAKEN: usize = 2;

/// The answer of a task, piece by piece; the task ends when it is dropped.
pub(crate) type Pieces = mpsc::Receiver<Bytes>;

/// Volumes that are received into.
pub(super) type ReceivedInto = BTreeSet<VolumeRef>;

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
    /// Tells what changed in a volume, or in a snapshot of it.
    pub(crate) async fn diff(self: &Arc<Self>, of: VolumeRef, from: Option<SnapshotName>) -> Result<Pieces> {
        let from = from.map(|name| of.at(name));
        let opened = self.open_for_reading(&of).await?;
        let begun = async {
            let log = log_of(&opened, &of)?;
            let id = |snapshot: &VolumeRef| find(log, snapshot).map_err(log_error);
            let before = from.as_ref().map(id).transpose()?;
            let after = of.snapshot.is_some().then(|| id(&of)).transpose()?;
            if before.is_some() && before == after {
                let message = format!("compare {of} with itself");
                return Err(ErrorBody::new(ErrorKind::Invalid, message));
            }
            log.changes(before, after).await.map_err(log_error)
        };
        let changes = match begun.await {
            Ok(changes) => changes,
            Err(e) => {
                self.close_volume(&opened, Then::LetGo).await;
                return Err(e);
            }
        };
        let (out, pieces) = mpsc::channel(UNTAKEN);
        let (attachments, size) = (Arc::clone(self), ByteCount(changes.size()));
        tokio::spawn(async move {
            tell(changes, DiffBegin { of, from, size }, &out).await;
            attachments.close_volume(&opened, Then::LetGo).await;
        });
        Ok(pieces)
    }

    /// Sends a snapshot, or what changed since an earlier one.
    pub(crate) async fn send(self: &Arc<Self>, snapshot: VolumeRef, how: SendQuery) -> Result<Pieces> {
        let token: Option<Token> = match &how.resume {
            Some(text) => Some(
                text.parse()
                    .map_err(|e| ErrorBody::new(ErrorKind::Invalid, format!("go on with {snapshot}: {e}")))?,
            ),
            None => None,
        };
        let opened = self.open_for_reading(&snapshot).await?;
        let begun = || {
            let log = log_of(&opened, &snapshot)?;
            if log.key().is_some() && !how.plaintext {
                let message = format!(
                    "send {snapshot}: its volume is encrypted, and what is sent would be in the clear"
                );
                return Err(ErrorBody::new(ErrorKind::Denied, message).hint(
                    "--plaintext does so all the same; encrypt the stream on its way and wherever it is kept (age, gpg)",
                ));
            }
            let to = find(log, &snapshot).map_err(log_error)?;
            let named = how.from.clone().map(|name| snapshot.at(name));
            let named = named
                .map(|from| find(log, &from))
                .transpose()
                .map_err(log_error)?;
            let from = match token.and_then(|token| token.from) {
                // The token says it, and a name that says otherwise is refused with the token.
                Some(origin) if named.is_none() => Some(log.snapshot_of(origin).ok_or_else(|| {
                    let message = format!(
                        "go on with {snapshot}: the snapshot that it was told from ({origin}) is not there any more"
                    );
                    ErrorBody::new(ErrorKind::NotFound, message)
                        .hint("roll the receiver back, and send from a snapshot that both have")
                })?),
                _ => named,
            };
            log.sending(snapshot.whole().to_string(), to, from, token)
                .map_err(log_error)
        };
        let sending = match begun() {
            Ok(sending) => sending,
            Err(e) => {
                self.close_volume(&opened, Then::LetGo).await;
                return Err(e);
            }
        };
        let (out, pieces) = mpsc::channel(UNTAKEN);
        let attachments = Arc::clone(self);
        tokio::spawn(async move {
            match sending.run(&out).await {
                Ok(()) => tracing::info!(%snapshot, "the stream has ended"),
                Err(error) => tracing::error!(%snapshot, %error, "the stream was given up"),
            }
            drop(out);
            attachments.close_volume(&opened, Then::LetGo).await;
        });
        Ok(pieces)
    }

    async fn open_for_reading(&self, volume: &VolumeRef) -> Result<Arc<Opened>> {
        self.open_volume(volume, AttachmentId::random(), Takeover::Refused, false, None)
            .await
    }

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
        let record = self.make_receiver(volume, &begin, how).await?;
        let opened = self.open_for_reading(volume).await?;
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
            let at = slot
                .device_path()
                .map_or_else(String::new, |path| format!(" at {}", path.display()));
            let message = format!("receive into {volume}: it is attached to this host{at}");
            return Err(ErrorBody::new(ErrorKind::Busy, message).hint(format!(
                "restblk detach {volume} first: what uses it must not see its bytes change"
            )));
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
        let receiving = restblk_engine::log::stream::Receiving {
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
    pub(super) async fn receiving(
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

/// Refuses to serve a volume that has a part of a snapshot; its snapshots are whole.
pub(super) fn check_whole(opened: &Opened, of: &VolumeRef) -> Result<()> {
    let half = opened.volume.log().filter(|_| of.snapshot.is_none());
    half.map_or(Ok(()), |log| {
        log.check_whole(&format!("attach {of}")).map_err(log_error)
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

fn log_error(error: LogError) -> ErrorBody {
    error::engine(EngineError::from(error))
}

/// Tells changes, line by line.
async fn tell(mut changes: Changes, begin: DiffBegin, out: &mpsc::Sender<Bytes>) {
    let mut all = DiffEnd::default();
    let mut lines = vec![DiffLine::Begin(begin)];
    loop {
        let is_taken = out.send(text(&lines)).await.is_ok();
        if !is_taken
            || !matches!(
                lines.last(),
                Some(DiffLine::Begin(_) | DiffLine::Extent(_)) | None
            )
        {
            return;
        }
        lines = match changes.step().await {
            Ok(Some(some)) => some.iter().map(|change| extent(change, &mut all)).collect(),
            Ok(None) => vec![DiffLine::End(all)],
            Err(error) => {
                let mut failed = log_error(error);
                failed.message.insert_str(0, "failed to ");
                vec![DiffLine::Failed(failed)]
            }
        };
    }
}

fn extent(change: &Change, all: &mut DiffEnd) -> DiffLine {
    let (offset, length) = (change.bytes.start, change.bytes.end - change.bytes.start);
    let (kind, of_kind) = if change.zeros {
        (ExtentKind::Zero, &mut all.zero)
    } else {
        (ExtentKind::Data, &mut all.data)
    };
    of_kind.0 += length;
    all.extents += 1;
    DiffLine::Extent(DiffExtent { offset, length, kind })
}

/// Lines of JSON.
fn text(lines: &[DiffLine]) -> Bytes {
    let mut text = Vec::with_capacity(lines.len() * 64);
    for line in lines {
        // Names and numbers always have a JSON.
        text.extend(serde_json::to_vec(line).unwrap_or_default());
        text.push(b'\n');
    }
    text.into()
}
