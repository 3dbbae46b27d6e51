//! What changed, as lines of JSON.

use super::{Pieces, UNTAKEN, log_error};
use crate::{
    attachment::{
        Attachments,
        opened::Then,
        snapshots::{find, log_of},
    },
    error::Result,
};
use bytes::Bytes;
use restblk_api::{DiffBegin, DiffEnd, DiffExtent, DiffLine, ErrorBody, ExtentKind};
use restblk_engine::log::{Change, Changes};
use restblk_types::{ByteCount, ErrorKind, SnapshotName, VolumeRef};
use std::sync::Arc;
use tokio::sync::mpsc;

impl Attachments {
    /// Tells what changed in a volume, or in a snapshot of it.
    pub(crate) async fn diff(self: &Arc<Self>, of: VolumeRef, from: Option<SnapshotName>) -> Result<Pieces> {
        let from = from.map(|name| of.at(name));
        let opened = self.open_shared(&of).await?;
        let begun = async {
            let log = log_of(&opened, &of)?;
            let id = |snapshot: &VolumeRef| find(&log, snapshot).map_err(log_error);
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
}

/// Tells changes, line by line.
async fn tell(mut changes: Changes, begin: DiffBegin, out: &mpsc::Sender<Bytes>) {
    let mut all = DiffEnd::default();
    let mut lines = vec![DiffLine::Begin(begin)];
    loop {
        let is_last = matches!(lines.last(), Some(DiffLine::End(_) | DiffLine::Failed(_)));
        if out.send(text(&lines)).await.is_err() || is_last {
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
