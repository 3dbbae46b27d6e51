//! `restblk send`: a snapshot, or what changed since an earlier one, on standard output.
//!
//! The stream is looked through on its way, so that one that is not whole is not taken for a backup: what is written is what the daemon sent, byte for byte.
//!
//! A token says what is sent and from which snapshot on; the snapshot is named all the same, so that nobody sends another one by the wrong token.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::output::{Meter, Shown};
use crate::session::Session;
use crate::values::{SnapshotArg, with_alternatives};
use clap::Args;
use restblk_api::SendQuery;
use restblk_api::client::Download;
use restblk_format::stream::Decoder;
use restblk_types::{ErrorKind, SnapshotName};
use std::io::{self, IsTerminal, Write};

/// Send a snapshot of a log volume, or what changed since an earlier one, to a file or to restblk receive
///
/// The stream goes to standard output: restblk send main/disk1@tuesday --from monday | ssh other restblk receive main/copy
///
/// It is not packed, and what is encrypted in its volume is in the clear in it: put zstd and age or gpg in between where that matters.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The snapshot
    #[arg(value_name = "POOL/NAME@SNAPSHOT", add = complete::snapshots())]
    snapshot: SnapshotArg,
    /// An older snapshot of the same volume, which the receiver has: what changed since alone
    #[arg(long, value_name = "SNAPSHOT")]
    from: Option<SnapshotName>,
    /// Where an earlier stream broke: the token that the receiver told (restblk show tells it again)
    #[arg(long, value_name = "TOKEN")]
    resume_from: Option<String>,
    /// Send an encrypted volume, whose bytes leave it in the clear
    #[arg(long)]
    plaintext: bool,
    /// Tell how far it is also where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

impl Send {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        if io::stdout().is_terminal() {
            let message = "a stream is nothing for a terminal";
            return Err(Failure::new(ErrorKind::Invalid, message)
                .hint("send it to a file (> FILE) or to a program (| restblk receive POOL/NAME)"));
        }
        let (snapshot, _) = self.snapshot.resolve(session).await?;
        let what = format!("send {snapshot}");
        let query = SendQuery {
            from: self.from.clone(),
            resume: self.resume_from.clone(),
            plaintext: self.plaintext,
        };
        let stream = session
            .call(&what, session.client.stream(&snapshot, &query))
            .await;
        let stream = match stream {
            Ok(stream) => stream,
            Err(failure) => return Err(with_alternatives(session, failure, &snapshot).await),
        };
        let meter = Meter::default();
        let mut shown = Shown::new(&meter, &what, self.progress, session.is_quiet());
        let sent = pass(&what, stream, &meter, &mut shown).await;
        shown.end();
        sent
    }
}

/// Writes the stream as it comes.
async fn pass(what: &str, mut stream: Download, meter: &Meter, shown: &mut Shown<'_>) -> Result {
    let mut decoder = Decoder::default();
    let mut out = io::stdout().lock();
    while let Some(piece) = stream.piece().await.map_err(|error| {
        Failure::api(what, error)
            .hint("what the receiver has is not lost: restblk show there tells the token to go on by")
    })? {
        out.write_all(&piece)
            .map_err(|error| cannot_write(what, &error))?;
        meter
            .follow(&mut decoder, &piece)
            .map_err(|error| Failure::new(error.kind(), error.to_string()).what(what))?;
        shown.tell();
    }
    decoder
        .finish()
        .map_err(|error| Failure::new(error.kind(), error.to_string()).what(what))?;
    out.flush().map_err(|error| cannot_write(what, &error))
}

fn cannot_write(what: &str, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Unavailable,
    };
    let why = match error.kind() {
        io::ErrorKind::BrokenPipe => "who takes the stream went away".to_owned(),
        _ => format!("the stream cannot be written: {error}"),
    };
    Failure::new(kind, why).what(what)
}
