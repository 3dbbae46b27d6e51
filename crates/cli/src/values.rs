//! Values on the command line, and the first mistakes that anybody makes with them.

use crate::failure::{Failure, Result};
use crate::session::Session;
use restblk_api::{Layout, TransportChoice};
use restblk_types::{
    BlockSize, ByteCount, Compression, Durability, ErrorKind, NameError, SnapshotName, VolumeRef,
};
use std::str::FromStr;
use std::time::Duration;

/// Sizes below this, written without a unit, are taken for a forgotten one: no volume of less is of use.
const PLAIN_MIN: u64 = 1 << 20;

/// How long the daemon may take to tell which pools there are, for a hint.
const HINT_PATIENCE: Duration = Duration::from_secs(2);

/// A volume, read only when it is used, so that the error can say which pools there are.
#[derive(Clone, Debug)]
pub(crate) struct VolumeArg(pub(crate) String);

impl From<String> for VolumeArg {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl VolumeArg {
    /// The volume that is meant.
    pub(crate) async fn resolve(&self, session: &Session) -> Result<VolumeRef> {
        let error = match VolumeRef::from_str(&self.0) {
            Ok(volume) => return Ok(volume),
            Err(error) => error,
        };
        let forgotten = matches!(error, NameError::NotPoolVolume(_)) && !self.0.is_empty();
        let failure = Failure::from(error);
        if !forgotten {
            return Err(failure);
        }
        Err(match pool_names(session).await.as_deref() {
            Some([only]) => failure.hint(format!("did you mean {only}/{}?", self.0)),
            Some(pools @ [_, ..]) => failure.hint(format!("the pools here are {}", pools.join(", "))),
            _ => failure,
        })
    }
}

/// A snapshot, read only when it is used.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotArg(VolumeArg);

impl From<String> for SnapshotArg {
    fn from(text: String) -> Self {
        Self(VolumeArg(text))
    }
}

impl SnapshotArg {
    /// The snapshot that is meant, and its name.
    pub(crate) async fn resolve(&self, session: &Session) -> Result<(VolumeRef, SnapshotName)> {
        let named = self.0.resolve(session).await?;
        match named.snapshot.clone() {
            Some(name) => Ok((named, name)),
            None => Err(Failure::new(
                ErrorKind::Invalid,
                format!("\"{named}\" names a volume and no snapshot of it"),
            )
            .hint(format!("write {named}@NAME"))),
        }
    }
}

/// Names of the pools, if the daemon tells them quickly.
async fn pool_names(session: &Session) -> Option<Vec<String>> {
    let pools = session
        .client
        .clone()
        .patience(HINT_PATIENCE)
        .pools()
        .await
        .ok()?;
    Some(pools.into_iter().map(|pool| pool.spec.name.to_string()).collect())
}

/// Says what there is instead, where a volume or its pool was not found.
pub(crate) async fn with_alternatives(session: &Session, failure: Failure, volume: &VolumeRef) -> Failure {
    if !failure.wants_hint(ErrorKind::NotFound) {
        return failure;
    }
    let Some(pools) = pool_names(session).await else {
        return failure;
    };
    let pool = volume.pool.as_str();
    if pools.is_empty() {
        return failure.hint(format!(
            "there is no pool yet: `restblk pool create {pool} --store cdmi --url URL` makes one"
        ));
    }
    if !pools.iter().any(|name| name == pool) {
        return failure.hint(format!(
            "there is no pool {pool}; the pools here are {}",
            pools.join(", ")
        ));
    }
    failure.hint(format!("`restblk list {pool}` shows the volumes of the pool"))
}

/// A size with a unit.
pub(crate) fn size(text: &str) -> std::result::Result<ByteCount, String> {
    let size = ByteCount::from_str(text).map_err(|error| error.to_string())?;
    let plain = text.trim().bytes().all(|byte| byte.is_ascii_digit());
    if plain && (1..PLAIN_MIN).contains(&size.0) {
        return Err(format!(
            "{text} without a unit means {text} bytes; did you mean {text}G?"
        ));
    }
    Ok(size)
}

/// A size, or how much to add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewSize {
    To(ByteCount),
    By(ByteCount),
}

impl FromStr for NewSize {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.strip_prefix('+') {
            Some(more) => size(more).map(Self::By),
            None => size(text).map(Self::To),
        }
    }
}

/// 512 or 4096.
pub(crate) fn block_size(text: &str) -> std::result::Result<BlockSize, String> {
    let bytes: u32 = text
        .parse()
        .map_err(|_| format!("\"{text}\" is no block size: choose 512 or 4096"))?;
    BlockSize::try_from(bytes)
}

/// `direct` or `log`.
pub(crate) fn layout(text: &str) -> std::result::Result<Layout, String> {
    text.parse()
}

/// `local` or `remote`.
pub(crate) fn durability(text: &str) -> std::result::Result<Durability, String> {
    text.parse()
}

/// `lz4`, `zstd` or `none`.
pub(crate) fn compression(text: &str) -> std::result::Result<Compression, String> {
    text.parse()
}

/// `auto`, `ublk`, …
pub(crate) fn transport(text: &str) -> std::result::Result<TransportChoice, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_unit_is_noticed() {
        assert!(size("10").unwrap_err().contains("10G"));
        assert_eq!(size("10G").unwrap(), ByteCount(10 << 30));
        assert_eq!(size("1048576").unwrap(), ByteCount(1 << 20));
        assert_eq!(size("4096B").unwrap(), ByteCount(4096));
        assert_eq!(size("0").unwrap(), ByteCount(0), "the daemon says why not");
    }

    #[test]
    fn a_size_can_be_added() {
        assert_eq!("+1G".parse(), Ok(NewSize::By(ByteCount(1 << 30))));
        assert_eq!("1G".parse(), Ok(NewSize::To(ByteCount(1 << 30))));
        assert!("++1G".parse::<NewSize>().is_err() && "-1G".parse::<NewSize>().is_err());
    }
}
