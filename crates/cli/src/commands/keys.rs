//! Options that name a file with what opens an encrypted volume. The file is read here, by whoever runs the command, and what is in it goes to
//! the daemon over its socket: that one may not see the file, and does not keep what it is told.

use crate::failure::{Failure, Result};
use clap::{Args, ValueHint};
use restblk_types::{ErrorKind, KeyKind, KeySecret};
use std::path::{Path, PathBuf};

/// What opens a volume.
#[derive(Debug, Args)]
pub(crate) struct KeyFiles {
    /// File whose bytes open the volume, if it is encrypted; at least 32, such as of head -c 32 /dev/urandom
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key_file: Option<PathBuf>,
    /// File whose first line is a passphrase that opens the volume
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "key_file")]
    passphrase_file: Option<PathBuf>,
}

/// What shall open a volume.
#[derive(Debug, Args)]
pub(crate) struct NewKeyFiles {
    /// File whose bytes shall open the volume
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    new_key_file: Option<PathBuf>,
    /// File whose first line shall be a passphrase that opens the volume
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "new_key_file")]
    new_passphrase_file: Option<PathBuf>,
}

impl KeyFiles {
    /// The secret, if a file was named.
    pub(crate) fn read(&self) -> Result<Option<KeySecret>> {
        read(self.key_file.as_deref(), self.passphrase_file.as_deref())
    }
}

impl NewKeyFiles {
    /// The secret, if a file was named.
    pub(crate) fn read(&self) -> Result<Option<KeySecret>> {
        read(self.new_key_file.as_deref(), self.new_passphrase_file.as_deref())
    }
}

fn read(key_file: Option<&Path>, passphrase_file: Option<&Path>) -> Result<Option<KeySecret>> {
    let (kind, path) = match (key_file, passphrase_file) {
        (Some(path), _) => (KeyKind::KeyFile, path),
        (None, Some(path)) => (KeyKind::Passphrase, path),
        (None, None) => return Ok(None),
    };
    let failed = |kind, error: &dyn std::fmt::Display| {
        let message = format!("failed to read the key in {}: {error}", path.display());
        Failure::new(kind, message)
    };
    let bytes = std::fs::read(path).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Denied,
        };
        failed(kind, &error)
    })?;
    let secret = KeySecret::of_file(kind, bytes);
    secret
        .map(Some)
        .map_err(|error| failed(ErrorKind::Invalid, &error))
}
