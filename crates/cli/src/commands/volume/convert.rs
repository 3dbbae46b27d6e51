//! `restblk convert`: another layout for a volume, under its users.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, compression, durability, layout, size, with_alternatives};
use clap::Args;
use restblk_api::{ConvertVolume, Layout, Volume, VolumeConversion};
use restblk_types::{ByteCount, Compression, Durability, ErrorKind, VolumeRef};

/// Change the layout of a volume, attached and in use or not: direct to log, or log to direct
///
/// Its device, block size and contents stay, and whatever is killed meanwhile, it goes on: by itself where the volume is attached again, or by asking
/// again. Interrupted, the command ends and the conversion does not. docs/convert.md tells what cannot be converted.
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
    /// log or direct; without it, wait for the conversion that is under way
    #[arg(long, value_name = "LAYOUT", value_parser = layout, add = complete::layouts())]
    to: Option<Layout>,
    /// What a flush of the log volume waits for: remote, the store, as a direct volume's does, or local, this host's disk [default: remote]
    #[arg(long, value_parser = durability, add = complete::durabilities())]
    durability: Option<Durability>,
    /// How the data of the log volume is packed: lz4, zstd or none [default: lz4]
    #[arg(long, value_name = "CODEC", value_parser = compression, add = complete::compressions())]
    compress: Option<Compression>,
    /// Copy at most so many bytes a second, such as 50M; asked again, it is changed
    #[arg(long, value_name = "BYTES", value_parser = size)]
    rate: Option<ByteCount>,
    /// Take back the conversion that is under way, or was cut off
    #[arg(long, conflicts_with_all = ["to", "durability", "compress", "rate"])]
    cancel: bool,
}

impl Convert {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let name = self.volume.resolve(session).await?;
        if self.cancel {
            let what = format!("take the conversion of {name} back");
            let cancelled = session.call(&what, session.client.cancel_conversion(&name)).await;
            return match cancelled {
                Ok(()) => {
                    session.note(format!("{name} is as it was"));
                    Ok(())
                }
                Err(failure) => Err(with_alternatives(session, failure, &name).await),
            };
        }
        let what = format!("convert {name}");
        let to = match self.to {
            Some(to) => to,
            None => self.under_way(session, &name, &what).await?,
        };
        let request = ConvertVolume {
            to,
            durability: self.durability,
            compression: self.compress,
            bytes_per_s: self.rate,
        };
        let news = async || {
            let volume = session.client.volume(&name).await.ok()?;
            volume
                .conversion
                .as_ref()
                .map(|conversion| far(conversion, volume.size))
        };
        let converting = session.client.convert(&name, &request);
        match session.follow(&what, converting, news).await {
            Ok(volume) => session.result(&volume, words),
            Err(failure) => Err(with_alternatives(session, failure, &name).await),
        }
    }

    /// Where the conversion leads that was begun before.
    async fn under_way(&self, session: &Session, name: &VolumeRef, what: &str) -> Result<Layout> {
        let volume = match session.call(what, session.client.volume(name)).await {
            Ok(volume) => volume,
            Err(failure) => return Err(with_alternatives(session, failure, name).await),
        };
        volume.conversion.map(|conversion| conversion.to).ok_or_else(|| {
            let message = format!("failed to {what}: no conversion of it is under way");
            Failure::new(ErrorKind::Invalid, message).hint("--to log or --to direct begins one")
        })
    }
}

fn words(volume: &Volume) -> String {
    format!("{}: {}\n", volume.volume, volume.layout.as_str())
}

/// How far a conversion is.
pub(crate) fn far(conversion: &VolumeConversion, size: ByteCount) -> String {
    let Some(done) = conversion.done.filter(|_| conversion.stage == "copying") else {
        return conversion.stage.clone();
    };
    let percent = u128::from(done.0) * 100 / u128::from(size.0.max(1));
    let copied = conversion.copied.unwrap_or_default();
    format!(
        "{}, {done} of {size} ({percent} %), {copied} copied",
        conversion.stage
    )
}
