//! `restblk volume rekey`: what opens an encrypted volume.

use crate::commands::keys::{KeyFiles, NewKeyFiles};
use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;
use restblk_api::{ChangeKeys, KeyChange, Volume};
use restblk_types::ErrorKind;

/// Change what opens an encrypted volume, attached or not
///
/// The new key takes the place of the one that opens it now; with --add both do. No data is written again: what the volume is encrypted by never
/// changes, so whoever has kept both a former key and a copy of the volume's record can still open it.
#[derive(Debug, Args)]
pub(crate) struct Rekey {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
    #[command(flatten)]
    key: KeyFiles,
    #[command(flatten)]
    new: NewKeyFiles,
    /// Let the new key open it beside the others
    #[arg(long)]
    add: bool,
    /// Let the slot of this number open it no more (restblk show tells them)
    #[arg(long, value_name = "SLOT", conflicts_with_all = ["add", "new_key_file", "new_passphrase_file"])]
    remove: Option<u8>,
}

impl Rekey {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let change = match (self.remove, self.new.read()?) {
            (Some(slot), _) => KeyChange::Remove(slot),
            (None, Some(new)) if self.add => KeyChange::Add(new),
            (None, Some(new)) => KeyChange::Replace(new),
            (None, None) => {
                let message = format!("failed to change what opens {volume}: there is no new key");
                return Err(Failure::new(ErrorKind::Invalid, message)
                    .hint("name it by --new-key-file or --new-passphrase-file, or a slot to --remove"));
            }
        };
        let key = self.key.read()?;
        let request = ChangeKeys { key, change };
        let what = format!("change what opens {volume}");
        let changed = session.client.change_keys(&volume, &request);
        match session.call(&what, changed).await {
            Ok(changed) => session.result(&changed, |changed| {
                format!("{} {}\n", changed.volume, slots(changed))
            }),
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}

/// What opens a volume, in words; nothing where it is not encrypted.
pub(super) fn slots(volume: &Volume) -> String {
    let Some(encryption) = &volume.encryption else {
        return String::new();
    };
    let slots = encryption.slots.iter();
    let slots: Vec<_> = slots
        .map(|slot| format!("{} {}", slot.slot, slot.kind.as_str()))
        .collect();
    format!("{} (slots: {})", encryption.cipher, slots.join(", "))
}
