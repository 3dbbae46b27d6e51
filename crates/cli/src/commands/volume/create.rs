//! `restblk create`: make a volume.

use crate::commands::keys::KeyFiles;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, block_size, compression, durability, layout, size, with_alternatives};
use clap::Args;
use restblk_api::{CreateVolume, Layout};
use restblk_types::{BlockSize, ByteCount, Compression, Durability, ErrorKind};

/// Create a volume
///
/// It takes room on the store as it is written to, where the store can. Attach it next.
///
/// Who encrypts keeps the key: without it nobody can read the volume again.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Pool and name of the new volume
    #[arg(value_name = "POOL/NAME", add = complete::new_volumes())]
    volume: VolumeArg,
    /// Size with a unit: 512M, 10G, 1.5T (1024-based)
    #[arg(value_parser = size)]
    size: ByteCount,
    /// How it lies on the store: direct (one file, byte for byte) or log (snapshots, clones, thin, on any store)
    #[arg(short, long, value_parser = layout, default_value = "direct", add = complete::layouts())]
    layout: Layout,
    /// What a flush of a log volume waits for: local (this host's disk; the store follows) or remote (the store)
    #[arg(long, value_parser = durability, default_value = "local", add = complete::durabilities())]
    durability: Durability,
    /// How the data of a log volume is packed: lz4 (fast), zstd (shorter, more work) or none [default: lz4]
    #[arg(long, value_name = "CODEC", value_parser = compression, add = complete::compressions())]
    compress: Option<Compression>,
    /// Encrypt a log volume (AES-256): neither the store nor this host's disk has a byte of it in the clear
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    key: KeyFiles,
    /// Block size in bytes: 512, which every program expects, or 4096 [default: the smallest that the store allows; a log volume has 4096]
    #[arg(long, value_name = "BYTES", value_parser = block_size)]
    block_size: Option<BlockSize>,
}

impl Create {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let request = CreateVolume {
            volume: volume.clone(),
            size: self.size,
            layout: self.layout,
            block_size: self.block_size,
            durability: self.durability,
            compression: self.compress,
            encrypt: self.encrypt,
            key: self.key.read()?,
        };
        let created = session
            .call(
                &format!("create {volume}"),
                session.client.create_volume(&request),
            )
            .await;
        let created = match created {
            Ok(created) => created,
            Err(failure) if failure.wants_hint(ErrorKind::Exists) => {
                return Err(failure.hint(format!(
                    "restblk show {volume} tells what it is; choose another name"
                )));
            }
            Err(failure) => return Err(with_alternatives(session, failure, &volume).await),
        };
        session.result(&created, |created| format!("{}\n", created.volume))?;
        session.note(format!(
            "created, {}; next: restblk attach {volume}",
            created.size
        ));
        Ok(())
    }
}
