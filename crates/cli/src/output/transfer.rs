//! How far a transfer has come, on standard error: a line that changes on a terminal, or one after the other where `--progress` asks for it.

use super::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use restblk_format::stream::{Decoder, Event, StreamError};
use restblk_types::ByteCount;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often it is told on a terminal.
const SHOWN_EVERY: Duration = Duration::from_millis(250);
/// How often where it is read later.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// What was transferred, whoever counts it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes.
    pub(crate) bytes: AtomicU64,
    /// Where in the volume it is.
    pub(crate) position: AtomicU64,
    /// Bytes of the volume; 0 while that is not known.
    pub(crate) size: AtomicU64,
}

impl Meter {
    /// Counts a piece of a stream of snapshots.
    pub(crate) fn follow(&self, stream: &mut Decoder, piece: &[u8]) -> Result<(), StreamError> {
        stream.push(piece);
        while let Some(event) = stream.next_event()? {
            if let Event::Begin { begin, .. } = event {
                self.size.store(begin.size, Ordering::Relaxed);
            }
        }
        self.bytes.store(stream.bytes(), Ordering::Relaxed);
        self.position.store(stream.position(), Ordering::Relaxed);
        Ok(())
    }

    fn words(&self, since: Instant) -> String {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let (position, size) = (
            self.position.load(Ordering::Relaxed),
            self.size.load(Ordering::Relaxed),
        );
        let percent = match u128::from(position) * 100 {
            _ if size == 0 => String::new(),
            position => format!(", {} % of {}", position / u128::from(size), ByteCount(size)),
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = bytes as f64 / 1e6 / since.elapsed().as_secs_f64().max(0.001);
        format!("{}{percent}, {rate:.1} MB/s", mebibytes(bytes))
    }
}

/// With one figure after the point, so that it is seen to move.
fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

/// Shows a meter while something goes on. `what` completes "failed to …".
pub(crate) struct Shown<'a> {
    meter: &'a Meter,
    what: &'a str,
    bar: Option<ProgressBar>,
    every: Option<Duration>,
    begun: Instant,
    told: Instant,
}

impl<'a> Shown<'a> {
    /// On a terminal, unless `is_quiet`; `asked` anywhere.
    pub(crate) fn new(meter: &'a Meter, what: &'a str, asked: bool, is_quiet: bool) -> Self {
        let on_terminal = io::stderr().is_terminal() && !is_quiet;
        let bar = on_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar
        });
        let every = if on_terminal {
            Some(SHOWN_EVERY)
        } else {
            asked.then_some(WRITTEN_EVERY)
        };
        let now = Instant::now();
        Self {
            meter,
            what,
            bar,
            every,
            begun: now,
            told: now,
        }
    }

    /// Tells it, where it is time to.
    pub(crate) fn tell(&mut self) {
        if self.every.is_some_and(|every| self.told.elapsed() >= every) {
            self.told = Instant::now();
            self.say();
        }
    }

    fn say(&self) {
        let line = format!("{}: {}", self.what, self.meter.words(self.begun));
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => say(line),
        }
    }

    /// Waits for something, and tells it meanwhile.
    pub(crate) async fn wait<T>(mut self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        let every = self.every.unwrap_or(Duration::MAX);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut call => break done,
                () = tokio::time::sleep(every) => self.tell(),
            }
        };
        self.end();
        done
    }

    /// The last word.
    pub(crate) fn end(self) {
        if self.bar.is_none() && self.every.is_some() {
            self.say();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
