//! `restblk devices`: what is attached to this host, and who uses it.

use crate::failure::Result;
use crate::output::Table;
use crate::session::Session;
use clap::Args;
use restblk_api::{Attachment, AttachmentState};

/// List what is attached to this host, and who uses it
#[derive(Debug, Args)]
pub(crate) struct Devices {}

impl Devices {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let attachments = session
            .call("list the devices", session.client.attachments())
            .await?;
        session.list(
            &attachments,
            table,
            "nothing is attached; `restblk attach POOL/NAME` attaches a volume",
        )
    }
}

fn table(attachments: &[Attachment]) -> Table {
    let mut table = Table::new(
        &[
            "DEVICE",
            "VOLUME",
            "SIZE",
            "TRANSPORT",
            "STATE",
            "OPTIONS",
            "USED BY",
        ],
        &[2],
    );
    table.extend(attachments.iter().map(|attachment| {
        [
            attachment.device.clone().unwrap_or_else(|| "-".to_owned()),
            attachment.volume.to_string(),
            size(attachment),
            attachment.transport.as_str().to_owned(),
            state(attachment.state).to_owned(),
            options(attachment),
            attachment
                .problem
                .clone()
                .map_or_else(|| holders(attachment), |problem| format!("({problem})")),
        ]
    }));
    table
}

/// The size of the volume, and that of the device where it has not grown with it.
fn size(attachment: &Attachment) -> String {
    match attachment.device_size {
        Some(shown) if shown != attachment.size => format!("{} (device {shown})", attachment.size),
        _ => attachment.size.to_string(),
    }
}

/// The lines about an attachment in `restblk show`.
pub(super) fn details(attachment: &Attachment) -> Vec<(&'static str, String)> {
    let alias = attachment.alias.as_ref();
    vec![
        ("Device", attachment.device.clone().unwrap_or_default()),
        ("Link", attachment.link.clone().unwrap_or_default()),
        (
            "Alias",
            alias
                .map(|name| format!("/dev/restblk/by-name/{name}"))
                .unwrap_or_default(),
        ),
        ("Exported at", attachment.nbd_uris.join(", ")),
        ("Transport", attachment.transport.as_str().to_owned()),
        ("Device size", device_size(attachment)),
        ("Limits", attachment.limits.join("; ")),
        ("Device state", state(attachment.state).to_owned()),
        ("Problem", attachment.problem.clone().unwrap_or_default()),
        ("Options", options(attachment)),
        ("Since", attachment.since.clone()),
        ("Used by", holders(attachment)),
    ]
}

/// Told only where it is not the volume's.
fn device_size(attachment: &Attachment) -> String {
    let behind = attachment.device_size.filter(|shown| *shown != attachment.size);
    behind.map_or_else(String::new, |shown| {
        format!("{shown} until it is detached and attached again")
    })
}

fn state(state: AttachmentState) -> &'static str {
    match state {
        AttachmentState::Starting => "starting",
        AttachmentState::Active => "active",
        AttachmentState::Fenced => "fenced",
        AttachmentState::Failed => "failed",
    }
}

fn options(attachment: &Attachment) -> String {
    let options = [
        (attachment.persist, "persist"),
        (attachment.read_only, "read-only"),
    ];
    let set: Vec<&str> = options
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    set.join(",")
}

fn holders(attachment: &Attachment) -> String {
    let holders: Vec<&str> = attachment
        .holders
        .iter()
        .map(|holder| holder.description.as_str())
        .collect();
    holders.join(", ")
}
