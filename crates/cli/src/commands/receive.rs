//! `restblk receive`: a stream from standard input into a volume.
//!
//! Standard input is read by a thread of its own, which may wait in it for ever: the answer may come before all was read, and the program ends with that.
//!
//! Options of a new volume (layout, encryption, packing) are not repeated here: `restblk create` makes one as it is wanted, and a whole stream goes into that.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::output::{Meter, Shown};
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use bytes::Bytes;
use clap::Args;
use restblk_api::ReceiveQuery;
use restblk_format::stream::Decoder;
use restblk_types::ErrorKind;
use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Pieces that are read ahead of the daemon.
const READ_AHEAD: usize = 4;

/// Receive a snapshot from restblk send, or from a file that it wrote, into a log volume
///
/// The stream comes from standard input: restblk receive main/copy < FILE
///
/// A stream that has a whole volume makes it. One that has what changed since a snapshot needs that snapshot as the volume's newest one, and
/// the volume as it was then. The volume must not be attached. If the stream breaks, what is right of it is kept, and the volume cannot be used until it
/// is whole: what is printed then, and by restblk show, says how restblk send goes on from there; restblk snapshot rollback gives it up.
#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::new_volumes())]
    volume: VolumeArg,
    /// Roll the volume back to the snapshot that the stream goes on from, and give up what it has of another stream
    #[arg(short, long)]
    force: bool,
    /// Keep in the clear what is encrypted where it comes from
    #[arg(long)]
    plaintext: bool,
    /// Tell how far it is also where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

impl Receive {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        if io::stdin().is_terminal() {
            let message = "a stream does not come from a terminal";
            return Err(Failure::new(ErrorKind::Invalid, message)
                .hint("give it a file (< FILE) or a program (restblk send POOL/NAME@SNAPSHOT |)"));
        }
        let volume = self.volume.resolve(session).await?;
        let what = format!("receive into {volume}");
        let meter = Arc::new(Meter::default());
        let (give, stream) = mpsc::channel(READ_AHEAD);
        let counted = Arc::clone(&meter);
        std::thread::spawn(move || read(&give, &counted));
        let query = ReceiveQuery {
            force: self.force,
            plaintext: self.plaintext,
        };
        let shown = Shown::new(&meter, &what, self.progress, session.is_quiet());
        let received = shown.wait(session.client.receive(&volume, query, stream)).await;
        match received {
            Ok(made) => {
                session.result(&made, |made| format!("{}\n", made.snapshot))?;
                session.note(format!("received {}, {}", made.snapshot, made.size));
                Ok(())
            }
            Err(error) => {
                let is_lost = error.is_unreachable();
                let failure = Failure::api(what, error);
                if is_lost {
                    return Err(failure);
                }
                Err(with_alternatives(session, failure, &volume).await)
            }
        }
    }
}

/// Reads standard input to its end, or until nobody wants it.
fn read(give: &mpsc::Sender<io::Result<Bytes>>, meter: &Meter) {
    let (mut input, mut decoder) = (io::stdin().lock(), Some(Decoder::default()));
    loop {
        let mut piece = vec![0; PIECE];
        let read = match input.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = give.blocking_send(Err(error));
                return;
            }
        };
        piece.truncate(read);
        // What is wrong with the stream is for the daemon to say.
        if let Some(stream) = &mut decoder
            && meter.follow(stream, &piece).is_err()
        {
            decoder = None;
        }
        if give.blocking_send(Ok(piece.into())).is_err() {
            return;
        }
    }
}
