//! `restblk image import`: a disk image to a new volume.

use super::qemu::{self, plain};
use super::served::Served;
use crate::commands::keys::KeyFiles;
use crate::commands::told_to_end;
use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, compression, layout, size, with_alternatives};
use clap::{Args, ValueHint};
use restblk_api::{CreateVolume, Deletion, Layout};
use restblk_types::{ByteCount, Compression, Durability, ErrorKind, VolumeRef};
use std::ffi::OsString;
use std::path::PathBuf;

/// Volumes are a multiple of it, whatever their layout.
const UNIT: u64 = 4096;

/// Make a new volume of a disk image
///
/// By qemu-img, which must be installed. Parts of the image that are zero take no room on the store, where it can. If it fails, the volume is
/// deleted again.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The image: a file, a block device, or what else qemu-img reads
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Pool and name of the new volume
    #[arg(value_name = "POOL/NAME", add = complete::new_volumes())]
    volume: VolumeArg,
    /// Format of the image: raw, qcow2, vmdk, … Name it where whoever made the image is not to be trusted: it can say that it is another one [default: what it looks like]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Size of the volume, at least that of the image, which is the default
    #[arg(long, value_parser = size)]
    size: Option<ByteCount>,
    /// How it lies on the store: direct (one file, byte for byte) or log (snapshots, clones, thin, on any store)
    #[arg(short, long, value_parser = layout, default_value = "direct", add = complete::layouts())]
    layout: Layout,
    /// How the data of a log volume is packed: lz4 (fast), zstd (shorter, more work) or none [default: lz4]
    #[arg(long, value_name = "CODEC", value_parser = compression, add = complete::compressions())]
    compress: Option<Compression>,
    /// Encrypt a log volume (AES-256)
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    key: KeyFiles,
    /// Tell how far it is also where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

impl Import {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("import {} to {volume}", self.file.display());
        let info = qemu::info(&self.file, self.format.as_deref()).await?;
        let least = info.virtual_size.max(1).next_multiple_of(UNIT);
        let size = self.size.unwrap_or(ByteCount(least));
        if size.0 < info.virtual_size {
            let message = format!(
                "the image has {}, and the volume would have {size}",
                ByteCount(info.virtual_size)
            );
            return Err(Failure::new(ErrorKind::Invalid, message)
                .what(what)
                .hint("leave --size out, or give more"));
        }
        let told = told_to_end()?;
        self.create(session, &volume, size).await?;
        let copy = self.copy(session, &volume, &what, &info);
        let copied = tokio::select! {
            copied = copy => copied,
            () = told => Err(Failure::new(ErrorKind::Unavailable, "it was told to end").what(what)),
        };
        match copied {
            Ok(()) => {
                session.result(
                    &session
                        .call("show what was made", session.client.volume(&volume))
                        .await?,
                    |made| format!("{}\n", made.volume),
                )?;
                session.note(format!(
                    "imported {} ({}), {size}",
                    self.file.display(),
                    info.format
                ));
                Ok(())
            }
            Err(failure) => Err(undo(session, &volume, failure).await),
        }
    }

    async fn create(&self, session: &Session, volume: &VolumeRef, size: ByteCount) -> Result {
        let request = CreateVolume {
            volume: volume.clone(),
            size,
            layout: self.layout,
            block_size: None,
            durability: Durability::default(),
            compression: self.compress,
            encrypt: self.encrypt,
            key: self.key.read()?,
        };
        let what = format!("create {volume}");
        match session.call(&what, session.client.create_volume(&request)).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(with_alternatives(session, failure, volume).await),
        }
    }

    async fn copy(&self, session: &Session, volume: &VolumeRef, what: &str, info: &qemu::Info) -> Result {
        let served = Served::begin(session, volume, false, self.key.read()?).await?;
        // A new volume reads as zeros: what is zero in the image is not written.
        let mut arguments: Vec<OsString> = ["-n", "--target-is-zero", "-W", "-O", "raw", "-f"]
            .map(OsString::from)
            .into();
        arguments.push(info.format.clone().into());
        arguments.extend([plain(&self.file).into(), (&served.uri).into()]);
        let converted = qemu::convert(session, what, arguments, info.virtual_size, self.progress).await;
        let ended = served.end(session, converted.is_err()).await;
        converted.and(ended)
    }
}

/// Deletes what was made of a volume that did not come to be.
async fn undo(session: &Session, volume: &VolumeRef, failure: Failure) -> Failure {
    // Told to end, it may still be served.
    let request = restblk_api::DetachRequest { force: true };
    let _ = session.client.detach(volume, &request).await;
    match session.client.delete_volume(volume, Deletion::Now).await {
        Ok(_) => failure.hint(format!(
            "the volume {volume}, which was half made, is deleted again"
        )),
        Err(error) => failure.hint(format!(
            "the volume {volume} is half made, and could not be deleted: {error}; restblk delete {volume}"
        )),
    }
}
