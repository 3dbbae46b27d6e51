//! `restblk show`: all that is known of one volume.

use super::{convert, list, rekey};
use crate::commands::{devices, limits};
use crate::complete;
use crate::failure::Result;
use crate::output::pairs;
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;
use restblk_api::{Attachment, Layout, OpenUsage, Receiving, Volume, VolumeState, VolumeUsage};
use restblk_types::ByteCount;
use serde::Serialize;

/// Show a volume, and its device if it is attached here
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
}

/// The volume as the API gives it, and its attachment to this host.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    volume: Volume,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment>,
    /// What a log volume has on its store.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<VolumeUsage>,
}

impl Show {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let name = self.volume.resolve(session).await?;
        let what = format!("show {name}");
        let volume = match session.call(&what, session.client.volume(&name)).await {
            Ok(volume) => volume,
            Err(failure) => return Err(with_alternatives(session, failure, &name).await),
        };
        let attachments = session.call(&what, session.client.attachments()).await?;
        let attachment = attachments
            .into_iter()
            .find(|attachment| attachment.volume == name);
        let usage = if volume.layout == Layout::Log && volume.state == VolumeState::Ready {
            let usage = session.call(&what, session.client.usage(&name)).await;
            if let Err(failure) = &usage {
                session.warn(format!(
                    "what it has on its store cannot be told: {}",
                    failure.sentence()
                ));
            }
            usage.ok()
        } else {
            None
        };
        let shown = Shown {
            volume,
            attachment,
            usage,
        };
        session.result(&shown, words)
    }
}

fn words(shown: &Shown) -> String {
    let volume = &shown.volume;
    let mut lines = vec![
        ("Volume", volume.volume.to_string()),
        ("Id", volume.id.clone()),
        ("Size", format!("{} ({} bytes)", volume.size, volume.size.0)),
        ("Block size", format!("{} bytes", volume.block_size.bytes())),
        ("Layout", layout(volume.layout, volume.dialect.as_deref())),
        (
            "Durability",
            volume
                .durability
                .map_or_else(String::new, |one| one.as_str().to_owned()),
        ),
        (
            "Compression",
            volume
                .compression
                .map_or_else(String::new, |one| one.as_str().to_owned()),
        ),
        ("Encryption", rekey::slots(volume)),
        ("Rate limits", limits::words(&volume.rate_limits)),
        ("Created", volume.created_at.clone()),
        ("State", long_state(volume.state)),
        (
            "Conversion",
            volume.conversion.as_ref().map_or_else(String::new, |one| {
                let to = one.to.as_str();
                format!("to {to}: {}, since {}", convert::far(one, volume.size), one.since)
            }),
        ),
        (
            "Attached",
            if shown.attachment.is_some() {
                String::new()
            } else {
                list::attached(volume)
            },
        ),
    ];
    if let Some(usage) = &shown.usage {
        lines.extend(used(usage));
    }
    if let Some(attachment) = &shown.attachment {
        lines.extend(devices::details(attachment));
    }
    pairs(&lines)
}

/// What a log volume has on its store.
fn used(usage: &VolumeUsage) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("Allocated", usage.allocated.to_string()),
        ("Only in snapshots", usage.held.to_string()),
        ("Garbage", format!("{}, until it is collected", usage.garbage)),
        (
            "Stored",
            match usage.stored {
                Some(stored) => format!("{stored} in {} segments", usage.objects),
                None => format!("{} segments; the store does not list sizes", usage.objects),
            },
        ),
        (
            "Snapshots",
            format!("{}, {} clones of them", usage.snapshots, usage.clones),
        ),
        (
            "Receiving",
            usage.receiving.as_ref().map_or_else(String::new, half),
        ),
        (
            "Resume token",
            usage
                .receiving
                .as_ref()
                .map_or_else(String::new, |half| half.token.clone()),
        ),
        ("Last head", format!("{} (epoch/number)", usage.head)),
    ];
    if let Some(open) = &usage.open {
        lines.extend(moved(open));
    }
    lines
}

/// What a volume has a part of.
fn half(half: &Receiving) -> String {
    let percent = u128::from(half.position) * 100 / u128::from(half.size.0.max(1));
    format!(
        "{} since {}: up to byte {} ({percent} %); it cannot be used until it has all",
        half.snapshot, half.since, half.position
    )
}

/// What an open one has moved, and what it has not.
fn moved(open: &OpenUsage) -> Vec<(&'static str, String)> {
    let times = |part: ByteCount, of: ByteCount| {
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let times = part.0 as f64 / of.0 as f64;
        if of.0 == 0 {
            String::new()
        } else {
            format!(", {times:.2} for each byte")
        }
    };
    let journal = match (open.journal_used, open.journal_size) {
        (Some(used), Some(size)) => format!("{used} of {size}"),
        _ => String::new(),
    };
    vec![
        (
            "Not sent yet",
            format!("{}, {:.1} s behind", open.unsent, open.lag_s),
        ),
        ("Journal", journal),
        (
            "Written",
            format!(
                "{}; sent {}{}",
                open.written,
                open.put,
                times(open.put, open.written)
            ),
        ),
        (
            "Read",
            format!(
                "{}; fetched {}{}",
                open.read,
                open.fetched,
                times(open.fetched, open.read)
            ),
        ),
    ]
}

fn layout(layout: Layout, dialect: Option<&str>) -> String {
    let name = layout.as_str();
    dialect.map_or_else(|| name.to_owned(), |dialect| format!("{name} ({dialect})"))
}

fn long_state(state: VolumeState) -> String {
    let more = match state {
        VolumeState::Ready => "",
        VolumeState::Creating => {
            ": a create did not finish; create it again with the same size to go on, or delete it"
        }
        VolumeState::Deleting => ": a delete did not finish; delete it again to go on",
        VolumeState::Trashing => ": its move to the trash did not finish; delete it again to go on",
    };
    format!("{}{more}", list::state(state))
}
