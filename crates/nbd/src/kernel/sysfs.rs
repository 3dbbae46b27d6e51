//! What /sys/block says about an nbd device, and the two queue settings that we make.

use std::{fs, io, path::PathBuf};

/// The N of /dev/nbdN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Index(pub(super) u32);

impl Index {
    /// The node.
    pub(super) fn node(self) -> PathBuf {
        PathBuf::from(format!("/dev/nbd{}", self.0))
    }

    /// Whose device it is, where it is in use and was made by netlink.
    pub(super) fn backend(self) -> Option<String> {
        let backend = fs::read_to_string(self.file("backend")).ok()?;
        Some(backend.trim_end().to_owned()).filter(|_| self.file("pid").exists())
    }

    /// Requests that the kernel has started and not finished.
    pub(super) fn in_flight(self) -> io::Result<u64> {
        let text = fs::read_to_string(self.file("inflight"))?;
        Ok(text
            .split_whitespace()
            .filter_map(|number| number.parse::<u64>().ok())
            .sum())
    }

    /// Makes the kernel forget the partitions of a device that was disconnected: it does so only when somebody opens it, and
    /// until then the next volume on this node seems to have them. Blocks.
    pub(super) fn forget_partitions(self) {
        if let Err(error) = fs::File::open(self.node()) {
            tracing::debug!(node = %self.node().display(), %error, "old partitions may stay until somebody opens the node");
        }
    }

    /// Sets how often the kernel looks at requests that take long. May wait for the requests in flight.
    pub(super) fn set_io_timeout_ms(self, ms: u32) -> io::Result<()> {
        fs::write(self.file("queue/io_timeout"), ms.to_string())
    }

    /// Sets the longest request, in KiB. May wait for the requests in flight.
    pub(super) fn set_max_sectors_kib(self, kib: u32) -> io::Result<()> {
        fs::write(self.file("queue/max_sectors_kb"), kib.to_string())
    }

    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/sys/block/nbd{}/{name}", self.0))
    }
}
