//! The search for a server's dialect: each one is proved on scratch objects of its own, and the best is taken.
//!
//! Nothing but scratch objects is touched, so a dialect that the server misunderstands does no harm. The first dialect in
//! which everything that matters works ends the search.

use super::client::CdmiStore;
use super::dialect::Dialect;
use crate::http::HttpClient;
use crate::prove::{Proof, prove};
use crate::{Capabilities, Durability, Resize, StoreError};
use restblk_types::ErrorKind;
use std::sync::Arc;

/// How much a volume gains from what was proved.
fn worth(can: &Capabilities) -> u32 {
    let flush = 16 * u32::from(can.durability != Durability::Unstated);
    let create = 8 * u32::from(can.exclusive_create);
    let resize = match can.resize {
        Resize::Native => 3,
        Resize::ByWriting => 2,
        Resize::None => 0,
    };
    flush
        + create
        + resize
        + 4 * u32::from(can.atomic_put)
        + u32::from(can.compare_and_set)
        + u32::from(can.punch)
}

/// The dialect of this server (or `only` this one), proved. Fails with `Unsupported` and the reasons where no dialect
/// writes in place.
pub async fn find_dialect(
    http: &Arc<HttpClient>,
    only: Option<Dialect>,
) -> Result<(CdmiStore, Proof), StoreError> {
    let mut best: Option<(CdmiStore, Proof)> = None;
    let mut failures: Vec<String> = Vec::new();
    for dialect in Dialect::ALL
        .into_iter()
        .filter(|&dialect| only.is_none_or(|only| only == dialect))
    {
        let (store, proof) = match try_dialect(http, dialect).await {
            Ok(proved) => proved,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                failures.push(format!("{dialect}: {}", error.reason()));
                continue;
            }
            Err(error) => return Err(error),
        };
        if !proof.capabilities.write_at {
            let reason = proof
                .notes
                .iter()
                .find_map(|note| note.strip_prefix("write in place: "));
            let reason = reason.unwrap_or("it does not write in place");
            failures.push(format!("{dialect} ({}): {reason}", dialect.ranged_write()));
            continue;
        }
        let can = &proof.capabilities;
        let enough =
            can.durability != Durability::Unstated && can.exclusive_create && can.resize == Resize::Native;
        if best
            .as_ref()
            .is_none_or(|(_, other)| worth(can) > worth(&other.capabilities))
        {
            best = Some((store, proof));
        }
        if enough {
            break;
        }
    }
    best.ok_or_else(|| {
        let reason = format!(
            "no way to write in place was seen to work, so a volume would lose data; {}",
            failures.join("; ")
        );
        StoreError::new(ErrorKind::Unsupported, "use", "the store", reason).at(http.endpoint())
    })
}

async fn try_dialect(http: &Arc<HttpClient>, dialect: Dialect) -> Result<(CdmiStore, Proof), StoreError> {
    let store = CdmiStore::connect(Arc::clone(http), dialect).await?;
    let mut proof = prove(&store).await?;
    proof.dialect = Some(dialect.to_string());
    let can = &mut proof.capabilities;
    // Gaps were seen to read as zeros where writing in place was seen to work.
    if can.resize == Resize::None && can.write_at {
        can.resize = Resize::ByWriting;
    }
    let store = CdmiStore::pinned(Arc::clone(http), dialect, can.clone());
    Ok((store, proof))
}
