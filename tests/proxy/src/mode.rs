//! What the proxy does, as the control file says it.

use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    Hang,
    Delay(Duration),
    /// Bytes a second in each direction.
    Rate(u64),
    Refuse,
    Status {
        code: u16,
        retry_after_s: Option<u64>,
    },
}

impl Mode {
    /// Connections to the server are carried.
    pub(crate) fn carries(self) -> bool {
        !matches!(self, Self::Refuse | Self::Status { .. })
    }

    pub(crate) fn delay(self) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            _ => Duration::ZERO,
        }
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let mode = match (words.next()?, words.next()) {
            ("pass", None) => Self::Pass,
            ("hang", None) => Self::Hang,
            ("refuse", None) => Self::Refuse,
            ("delay", Some(ms)) => Self::Delay(Duration::from_millis(ms.parse().ok()?)),
            ("rate", Some(bytes)) => Self::Rate(bytes.parse().ok().filter(|rate| *rate > 0)?),
            ("status", Some(code)) => Self::Status {
                code: code.parse().ok()?,
                retry_after_s: words.next().map(str::parse).transpose().ok()?,
            },
            _ => return None,
        };
        words.next().is_none().then_some(mode)
    }
}

/// Follows the file for as long as the process lives. What cannot be read changes nothing: it may be half-written.
pub(crate) fn follow(file: PathBuf) -> watch::Receiver<Mode> {
    let (sender, receiver) = watch::channel(Mode::Pass);
    tokio::spawn(async move {
        let mut seen = String::new();
        loop {
            if let Ok(text) = tokio::fs::read_to_string(&file).await
                && text != seen
            {
                match Mode::read(&text) {
                    Some(mode) => {
                        println!("{mode:?}");
                        sender.send_if_modified(|now| std::mem::replace(now, mode) != mode);
                    }
                    None => println!("not understood: {text:?}"),
                }
                seen = text;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let ms = Duration::from_millis;
        for (line, mode) in [
            ("pass\n", Some(Mode::Pass)),
            ("hang", Some(Mode::Hang)),
            ("delay 500", Some(Mode::Delay(ms(500)))),
            ("rate 1000", Some(Mode::Rate(1000))),
            ("refuse", Some(Mode::Refuse)),
            (
                "status 503",
                Some(Mode::Status {
                    code: 503,
                    retry_after_s: None,
                }),
            ),
            (
                "status 429 7",
                Some(Mode::Status {
                    code: 429,
                    retry_after_s: Some(7),
                }),
            ),
            ("", None),
            ("del", None),
            ("delay", None),
            ("rate 0", None),
            ("pass 1", None),
            ("status 503 x", None),
        ] {
            assert_eq!(Mode::read(line), mode, "{line:?}");
        }
    }
}
