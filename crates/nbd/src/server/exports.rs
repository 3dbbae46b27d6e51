//! The volumes that a server offers, by name. They come and go while it serves.
//!
//! Invariant: once `remove` has returned, no request of the export is in flight and none can begin.

use super::ServerError;
use restblk_block::BlockDevice;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::watch;

/// Longest name or description in bytes, the protocol's limit for strings.
const TEXT_MAX: usize = 4096;

/// A registry of exports, filled by the daemon and read by servers.
#[derive(Debug, Default)]
pub struct Exports {
    by_name: RwLock<BTreeMap<String, Arc<Export>>>,
}

/// One export as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportInfo {
    /// The name by which clients ask for it.
    pub name: String,
    /// For people.
    pub description: String,
    /// Capacity in bytes.
    pub size: u64,
    /// Connections in the transmission phase.
    pub connections: usize,
}

#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) device: Arc<dyn BlockDevice>,
    connections: watch::Sender<usize>,
    removed: watch::Sender<bool>,
}

impl Exports {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Offers a volume under a name. Where it is the only export, clients that ask for the empty name get it too.
    pub fn add(
        &self,
        name: &str,
        description: &str,
        device: Arc<dyn BlockDevice>,
    ) -> Result<(), ServerError> {
        for (what, text, min) in [("name", name, 1), ("description", description, 0)] {
            let len = text.len();
            if len < min || len > TEXT_MAX {
                return Err(ServerError::ExportText {
                    what,
                    len,
                    min,
                    max: TEXT_MAX,
                });
            }
        }
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if by_name.contains_key(name) {
            return Err(ServerError::ExportExists {
                name: name.to_owned(),
            });
        }
        let export = Export {
            name: name.to_owned(),
            description: description.to_owned(),
            device,
            connections: watch::Sender::new(0),
            removed: watch::Sender::new(false),
        };
        by_name.insert(name.to_owned(), Arc::new(export));
        Ok(())
    }

    /// Takes an export away: no new connections, no new requests on old ones; returns when what was in flight has
    /// finished and the connections are closed. Dropping the future does not bring the export back.
    pub async fn remove(&self, name: &str) -> Result<(), ServerError> {
        let taken = self
            .by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        let export = taken.ok_or_else(|| ServerError::ExportUnknown {
            name: name.to_owned(),
        })?;
        export.removed.send_replace(true);
        // The sender is in `export`, so waiting cannot fail.
        let _ = export.connections.subscribe().wait_for(|open| *open == 0).await;
        Ok(())
    }

    /// All exports, by name.
    #[must_use]
    pub fn list(&self) -> Vec<ExportInfo> {
        self.all().iter().map(|export| export.info()).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Export>> {
        self.by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// The export of that name, or the only one for the empty name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Export>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        match by_name.get(name) {
            None if name.is_empty() && by_name.len() == 1 => by_name.values().next().cloned(),
            found => found.cloned(),
        }
    }
}

impl Export {
    fn info(&self) -> ExportInfo {
        ExportInfo {
            name: self.name.clone(),
            description: self.description.clone(),
            size: self.device.geometry().size,
            connections: *self.connections.borrow(),
        }
    }

    /// Counts a connection, unless the export was removed meanwhile.
    pub(super) fn open(self: &Arc<Self>) -> Option<ExportUse> {
        self.connections.send_modify(|open| *open += 1);
        let used = ExportUse {
            export: Arc::clone(self),
        };
        (!*self.removed.borrow()).then_some(used)
    }
}

/// A connection's hold on an export.
#[derive(Debug)]
pub(crate) struct ExportUse {
    pub(crate) export: Arc<Export>,
}

impl ExportUse {
    /// Done when the export is removed.
    pub(super) async fn removed(&self) {
        // The sender is in `self.export`, so waiting cannot fail.
        let _ = self.export.removed.subscribe().wait_for(|removed| *removed).await;
    }
}

impl Drop for ExportUse {
    fn drop(&mut self) {
        self.export.connections.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_block::MemoryDevice;
    use restblk_types::{BlockSize, ErrorKind};
    use std::time::Duration;
    use tokio::time::timeout;

    fn device() -> Arc<dyn BlockDevice> {
        Arc::new(MemoryDevice::new(4096, BlockSize::B512))
    }

    #[test]
    fn names_are_unique_and_the_empty_one_means_the_only_one() {
        let exports = Exports::new();
        assert!(exports.find("").is_none());
        exports.add("a", "", device()).unwrap();
        assert_eq!(exports.find("").unwrap().name, "a");
        assert_eq!(
            exports.add("a", "", device()).unwrap_err().kind(),
            ErrorKind::Exists
        );
        assert_eq!(
            exports.add("", "", device()).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert_eq!(
            exports.add(&"n".repeat(4097), "", device()).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        exports.add("b", "second", device()).unwrap();
        assert!(exports.find("").is_none());
        assert_eq!(
            exports.list().iter().map(|e| e.name.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[tokio::test]
    async fn removal_waits_for_connections_and_refuses_new_ones() {
        let exports = Exports::new();
        exports.add("a", "", device()).unwrap();
        let export = exports.find("a").unwrap();
        let used = export.open().unwrap();
        assert!(
            timeout(Duration::from_millis(20), exports.remove("a"))
                .await
                .is_err()
        );
        timeout(Duration::from_secs(5), used.removed()).await.unwrap();
        assert!(export.open().is_none());
        assert_eq!(export.info().connections, 1);
        assert_eq!(exports.remove("a").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
