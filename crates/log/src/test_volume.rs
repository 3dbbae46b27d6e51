//! The names of test volumes, and who attaches them.

use crate::{DataKey, Writer};
use restblk_types::VolumeId;

pub(crate) fn id(id: u8) -> VolumeId {
    VolumeId::from_bytes([id; 16])
}

/// Another one each time.
pub(crate) fn writer(key: Option<&DataKey>) -> Writer {
    Writer {
        nonce: rand::random(),
        hostname: "host".to_owned(),
        since: String::new(),
        key: key.cloned(),
    }
}
