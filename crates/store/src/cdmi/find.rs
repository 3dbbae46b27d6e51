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
use std::fmt;
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
        + u32::from(can.lock)
}

/// The dialect of this server (or `only` this one), proved. Fails with `Unsupported` and the reasons where no dialect
/// writes in place.
pub async fn find_dialect(
    http: &Arc<HttpClient>,
    only: Option<Dialect>,
) -> Result<(CdmiStore, Proof), StoreError> {
    let mut best: Option<(CdmiStore, Proof)> = None;
    let mut refusals = Refusals::default();
    for dialect in Dialect::ALL
        .into_iter()
        .filter(|&dialect| only.is_none_or(|only| only == dialect))
    {
        let (store, proof) = match try_dialect(http, dialect).await {
            Ok(proved) => proved,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                refusals.add(dialect.to_string(), error.reason());
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
            refusals.keeps_objects = true;
            refusals.add(format!("{dialect} ({})", dialect.ranged_write()), reason);
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
        StoreError::new(ErrorKind::Unsupported, "use", "the store", refusals.to_string()).at(http.endpoint())
    })
}

/// Why each dialect was not taken; each reason once.
#[derive(Debug, Default)]
struct Refusals {
    /// In some dialect it worked but for writing in place.
    keeps_objects: bool,
    /// Dialects, and their reason.
    list: Vec<(String, String)>,
}

impl Refusals {
    fn add(&mut self, dialect: String, reason: &str) {
        match self.list.iter_mut().find(|(_, known)| known == reason) {
            Some((dialects, _)) => *dialects = format!("{dialects}, {dialect}"),
            None => self.list.push((dialect, reason.to_owned())),
        }
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.keeps_objects {
            "no way to write in place was seen to work, so a volume would lose data"
        } else {
            "it does not answer there as a CDMI server does"
        })?;
        for (dialects, reason) in &self.list {
            write!(f, "; {dialects}: {reason}")?;
        }
        Ok(())
    }
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
