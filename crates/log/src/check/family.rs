//! Clones and those that they came from: that they agree on who reads from whom, and what a clone or its end left that was cut off.

use super::{Findings, Problem};
use crate::LogError;
use crate::children;
use crate::core::Core;
use crate::look::newest;
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_format::log::{Head, Lineage};
use restblk_types::ErrorKind;

/// Volumes that are looked for at once.
const PARALLEL: usize = 8;

/// Looks at both sides; returns how many clones are listed.
pub(super) async fn check(core: &Core, findings: &mut Findings) -> Result<usize, LogError> {
    let head = core.state().head.clone();
    let listed = children::listed(&head);
    let looks = stream::iter(listed.clone())
        .map(async |child| newest_of(core, child.volume).await)
        .buffered(PARALLEL);
    let seen: Vec<_> = looks.try_collect().await?;
    for (child, seen) in listed.iter().zip(seen) {
        let object = format!("the clone {} of snapshot {}", child.volume, child.snapshot);
        match seen {
            Ok(None) => findings.add(
                Problem::LeftOver,
                object,
                "it is not there: it was deleted, or its creation was cut off; it comes off the list when garbage is collected",
            ),
            Ok(Some(theirs)) => {
                let reads = |of: &Lineage| of.volume == core.shelf.volume && of.snapshot == Some(child.snapshot);
                if !theirs.lineage.iter().any(reads) {
                    let why = "it reads from here no more; it comes off the list when garbage is collected";
                    findings.add(Problem::LeftOver, object, why);
                }
            }
            // The check of that volume tells more.
            Err(why) => findings.add(Problem::LeftOver, object, format!("whether it still reads from here cannot be told: {why}")),
        }
    }
    for pair in head.lineage.windows(2) {
        // An ancestor that has left its own parent did so when no snapshot of it read from there.
        let still_reads = pair[0].volume == core.shelf.volume || has_lineage(core, pair[0], pair[1]).await?;
        if still_reads {
            pinned(core, pair[0], pair[1], findings).await?;
        }
    }
    Ok(listed.len())
}

/// Whether an ancestor still names its parent.
async fn has_lineage(core: &Core, child: Lineage, parent: Lineage) -> Result<bool, LogError> {
    let names = |of: &Lineage| of.volume == parent.volume && of.snapshot == parent.snapshot;
    Ok(match newest_of(core, child.volume).await? {
        Ok(Some(head)) => head.lineage.iter().any(names),
        // Told where its own child is looked at.
        Ok(None) | Err(_) => false,
    })
}

/// That the snapshot that a volume reads from lists it.
async fn pinned(
    core: &Core,
    child: Lineage,
    parent: Lineage,
    findings: &mut Findings,
) -> Result<(), LogError> {
    let object = format!("the volume {}", parent.volume);
    let lists = match newest_of(core, parent.volume).await? {
        Ok(Some(head)) => head.snapshots.iter().any(|snapshot| {
            Some(snapshot.id) == parent.snapshot && snapshot.children.contains(&child.volume)
        }),
        Ok(None) => {
            findings.add(
                Problem::Unpinned,
                object,
                format!("it is not there, and {} reads from it", child.volume),
            );
            return Ok(());
        }
        Err(why) => {
            findings.add(Problem::Unpinned, object, why);
            return Ok(());
        }
    };
    if !lists {
        let why = format!(
            "its snapshot {:?} does not list {}, which reads from it",
            parent.snapshot, child.volume
        );
        findings.add(Problem::Unpinned, object, why);
    }
    Ok(())
}

/// A volume's newest head, or why it cannot be read.
async fn newest_of(
    core: &Core,
    volume: restblk_types::VolumeId,
) -> Result<Result<Option<Head>, String>, LogError> {
    match newest(&core.shelf.of(volume), None).await {
        Ok(found) => Ok(Ok(found.map(|(_, head)| head))),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
