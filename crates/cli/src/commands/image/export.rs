//! `restblk image export`: a volume or a snapshot to a disk image.
//!
//! A file is written beside its place and put there when it is whole: what was there before stays until then.

use super::qemu::{self, plain};
use super::served::Served;
use crate::commands::keys::KeyFiles;
use crate::commands::told_to_end;
use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::VolumeArg;
use clap::{Args, ValueHint};
use restblk_types::ErrorKind;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Write a volume, or a snapshot of one, to a disk image
///
/// By qemu-img, which must be installed. Parts that are zero take no room in the image, where its format and the file system can. A volume that is
/// attached is in use: export a snapshot of it. What is encrypted is in the clear in the image.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Pool and name of the volume, or of a snapshot
    #[arg(value_name = "POOL/NAME[@SNAPSHOT]", add = complete::snapshots())]
    volume: VolumeArg,
    /// The image: a file, or a block device (with --force)
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Format of the image: raw, qcow2, vmdk, vdi, vhdx or another one that qemu-img writes
    #[arg(long, value_name = "FORMAT", default_value = "raw")]
    format: String,
    /// Overwrite what is there
    #[arg(short, long)]
    force: bool,
    /// Tell how far it is also where standard error is no terminal
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    key: KeyFiles,
}

impl Export {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("export {volume} to {}", self.file.display());
        let there = fs::metadata(&self.file).ok();
        if there.is_some() && !self.force {
            return Err(Failure::new(ErrorKind::Exists, "it is there already")
                .what(what)
                .hint("--force overwrites it"));
        }
        let is_device = there.is_some_and(|there| there.file_type().is_block_device());
        let target = if is_device {
            plain(&self.file)
        } else {
            beside(&self.file)
        };
        let told = told_to_end()?;
        let served = Served::begin(session, &volume, true, self.key.read()?).await?;
        let size = served.size;
        let mut arguments: Vec<OsString> =
            vec!["-f".into(), "raw".into(), "-O".into(), (&self.format).into()];
        if is_device {
            arguments.push("-n".into());
        }
        arguments.extend([(&served.uri).into(), target.clone().into()]);
        let convert = qemu::convert(session, &what, arguments, size, self.progress);
        let converted = tokio::select! {
            converted = convert => converted,
            () = told => Err(Failure::new(ErrorKind::Unavailable, "it was told to end").what(&what)),
        };
        let ended = served.end(session, converted.is_err()).await;
        let placed = converted.and_then(|()| match is_device {
            true => Ok(()),
            false => fs::rename(&target, &self.file).map_err(|error| {
                Failure::new(
                    ErrorKind::Unavailable,
                    format!("it cannot be put into its place: {error}"),
                )
                .what(&what)
            }),
        });
        if let Err(failure) = placed {
            return Err(self.half(failure, &target, is_device));
        }
        ended?;
        session.note(format!(
            "exported {volume} to {} ({})",
            self.file.display(),
            self.format
        ));
        Ok(())
    }

    /// What was written of the image is no image: it goes.
    fn half(&self, failure: Failure, target: &Path, is_device: bool) -> Failure {
        let path = self.file.display();
        if is_device {
            return failure.hint(format!("what {path} has now is of no use"));
        }
        match fs::remove_file(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => failure.hint(format!(
                "{} is of no use, and cannot be removed: {error}",
                target.display()
            )),
            _ => failure.hint(format!("nothing was written to {path}")),
        }
    }
}

/// Where the file is written until it is whole: in the same folder.
fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or(file.as_os_str()));
    name.push(format!(".part-{}", std::process::id()));
    plain(&file.with_file_name(name))
}
