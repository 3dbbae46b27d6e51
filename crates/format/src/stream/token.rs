//! What a sender goes on by where a stream broke: one word, to be carried from the receiver to the sender by hand or by a script.
//!
//! ```text
//! rb1.0707…07.12.0707…07.11.536870912.1c291ca3
//! version . volume and number of the snapshot . those of the one it is told from, "-" twice where there is none . position . CRC32C of all before, in hex
//! ```

use super::{Origin, UNIT};
use crate::record::crc32c;
use restblk_types::VolumeId;
use std::fmt;
use std::str::FromStr;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What is sent.
    pub to: Origin,
    /// From which on.
    pub from: Option<Origin>,
    /// What lies before is there.
    pub position: u64,
}

/// A word that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no token of restblk receive, or not all of it; restblk show tells it again")]
pub struct TokenError;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = words(self);
        write!(f, "{words}.{:08x}", crc32c(words.as_bytes()))
    }
}

fn words(token: &Token) -> String {
    let origin = |origin: Option<Origin>| match origin {
        Some(Origin { volume, snapshot }) => {
            format!("{:032x}.{snapshot}", u128::from_be_bytes(*volume.as_bytes()))
        }
        None => "-.-".to_owned(),
    };
    let (to, from) = (origin(Some(token.to)), origin(token.from));
    format!("rb1.{to}.{from}.{}", token.position)
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let origin = |volume: &str, snapshot: &str| {
            if volume.len() != 32 {
                return Err(TokenError);
            }
            let volume = u128::from_str_radix(volume, 16).map_err(|_| TokenError)?;
            Ok(Origin {
                volume: VolumeId::from_bytes(volume.to_be_bytes()),
                snapshot: snapshot.parse().map_err(|_| TokenError)?,
            })
        };
        let words: Vec<&str> = text.split('.').collect();
        let ["rb1", volume, snapshot, from_volume, from_snapshot, position, _] = words[..] else {
            return Err(TokenError);
        };
        let from = match (from_volume, from_snapshot) {
            ("-", "-") => None,
            (volume, snapshot) => Some(origin(volume, snapshot)?),
        };
        let token = Self {
            to: origin(volume, snapshot)?,
            from,
            position: position.parse().map_err(|_| TokenError)?,
        };
        if token.to_string() != text || !token.position.is_multiple_of(UNIT) {
            return Err(TokenError);
        }
        Ok(token)
    }
}
