//! How large a body the server takes and gives: as large as restblk ever sends, or the largest that worked.

use super::{Fail, Scratch, always, not, seen};
use crate::{Capabilities, StoreError};
use bytes::Bytes;
use restblk_types::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

/// The largest object of the log layout, and the largest part of a direct volume's request.
const LEN_WANTED: u64 = 8 << 20;
/// Below this a store is of no use.
const LEN_MIN: u64 = 64 << 10;

/// Lowers what the store declares to what it was seen to take. Objects of [`LEN_MIN`] go through, or it is no store.
pub(super) async fn measure(
    scratch: &Scratch<'_>,
    can: &mut Capabilities,
    notes: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut len = can.put_len_max.min(LEN_WANTED);
    loop {
        let too_large = AtomicBool::new(false);
        let failed = seen(|| scratch.whole_of(len, &too_large)).await?;
        let Some(reason) = failed else { break };
        if !too_large.load(Ordering::Relaxed) || len / 2 < LEN_MIN {
            let reason = format!("it does not keep an object of {len} bytes: {reason}");
            return Err(
                StoreError::new(ErrorKind::Unsupported, "use", "the store", reason)
                    .at(scratch.store.location()),
            );
        }
        len /= 2;
    }
    if len < can.put_len_max.min(LEN_WANTED) {
        notes.push(format!("objects of more than {len} bytes are refused"));
        can.put_len_max = len;
        can.range_len_max = can.range_len_max.min(len);
    }
    Ok(())
}

impl Scratch<'_> {
    /// An object of this length is kept and comes back as it was.
    async fn whole_of(&self, len: u64, too_large: &AtomicBool) -> Result<(), Fail> {
        let key = self.key()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        // No two blocks alike, so that a part that is repeated or left out shows.
        let body: Bytes = (0_u64..)
            .flat_map(u64::to_le_bytes)
            .take(len)
            .collect::<Vec<u8>>()
            .into();
        match self.store.put(&key, body.clone(), always()).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Invalid => {
                too_large.store(true, Ordering::Relaxed);
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        if self.whole(&key).await? != body {
            return not("other bytes came back");
        }
        Ok(())
    }
}
