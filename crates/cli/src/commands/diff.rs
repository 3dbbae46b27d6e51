//! `restblk diff`: what changed between snapshots.
//!
//! As JSON by `-o json`, as every command, and not by an option of its own.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;
use restblk_api::client::Download;
use restblk_api::{DiffEnd, DiffExtent, DiffLine, DiffQuery};
use restblk_types::{ErrorKind, SnapshotName};
use std::io::{self, BufWriter, Write};

/// Bytes of a line of the answer, at most: names are short.
const LINE_MAX: usize = 64 << 10;

/// Tell which parts of a log volume changed since a snapshot
///
/// One line for each extent, in order: offset and length in bytes, and whether it was written (data) or discarded (zero). What was written again counts as
/// changed, whatever it was written with. It costs what changed, not what there is. -o json gives a list of objects with offset, length and kind.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Pool and name of the volume as it is now, or of a snapshot
    #[arg(value_name = "POOL/NAME[@SNAPSHOT]", add = complete::snapshots())]
    of: VolumeArg,
    /// A snapshot of the same volume to compare with; without it, all that was ever written is told
    #[arg(long, value_name = "SNAPSHOT")]
    from: Option<SnapshotName>,
}

impl Diff {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let of = self.of.resolve(session).await?;
        let what = format!("compare {of}");
        let query = DiffQuery {
            from: self.from.clone(),
        };
        match session.call(&what, session.client.diff(&of, &query)).await {
            Ok(answer) => told(session, &what, answer).await,
            Err(failure) => Err(with_alternatives(session, failure, &of).await),
        }
    }
}

async fn told(session: &Session, what: &str, mut answer: Download) -> Result {
    let mut out = Out::new(session.is_json());
    let mut line = Vec::new();
    while let Some(piece) = answer.piece().await.map_err(|error| Failure::api(what, error))? {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if line.len() > LINE_MAX {
                return Err(nonsense(what, &"a line of it has no end"));
            }
            if line.last() != Some(&b'\n') {
                continue;
            }
            match serde_json::from_slice(&line).map_err(|error| nonsense(what, &error))? {
                DiffLine::Begin(_) => {}
                DiffLine::Extent(extent) => out.extent(extent)?,
                DiffLine::Failed(body) => return Err(Failure::body(body)),
                DiffLine::End(all) => {
                    out.end()?;
                    session.note(words(&all));
                    return Ok(());
                }
            }
            line.clear();
        }
    }
    Err(nonsense(what, &"it ended before its end"))
}

fn words(all: &DiffEnd) -> String {
    format!(
        "{} extents: {} of data, {} of zeros",
        all.extents, all.data, all.zero
    )
}

fn nonsense(what: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        ErrorKind::Bug,
        format!("the daemon's answer makes no sense: {why}"),
    )
    .what(what)
}

/// Extents as they come: there may be more of them than fit into memory.
struct Out {
    to: BufWriter<io::Stdout>,
    is_json: bool,
    count: u64,
}

impl Out {
    fn new(is_json: bool) -> Self {
        Self {
            to: BufWriter::new(io::stdout()),
            is_json,
            count: 0,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.is_json {
            self.to.write_all(b"[")
        } else {
            writeln!(self.to, "{:>20}  {:>20}  KIND", "OFFSET", "LENGTH")
        }
    }

    fn extent(&mut self, extent: DiffExtent) -> io::Result<()> {
        if self.count == 0 {
            self.begin()?;
        }
        self.count += 1;
        if !self.is_json {
            let DiffExtent { offset, length, kind } = extent;
            return writeln!(self.to, "{offset:>20}  {length:>20}  {}", kind.as_str());
        }
        let comma: &[u8] = if self.count > 1 { b",\n " } else { b"\n " };
        self.to.write_all(comma)?;
        serde_json::to_writer(&mut self.to, &extent).map_err(io::Error::from)
    }

    fn end(mut self) -> io::Result<()> {
        if self.is_json {
            if self.count == 0 {
                self.begin()?;
            }
            self.to.write_all(b"\n]\n")?;
        }
        self.to.flush()
    }
}
