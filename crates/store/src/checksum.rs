//! CRC32C in base64, as S3 and Google Cloud Storage write it: sent with bodies, so that the server refuses what was damaged on its way, and
//! checked on what is read whole.

use crate::Payload;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest, checksum};

fn text(sum: u64) -> String {
    // The sum has 32 bits.
    STANDARD.encode(&sum.to_be_bytes()[4..])
}

/// The sum of a body.
pub(crate) fn of(body: &[u8]) -> String {
    text(checksum(CrcAlgorithm::Crc32Iscsi, body))
}

/// Whether these bytes have the sum that the server tells.
pub(crate) fn holds(told: &str, payload: &Payload) -> Result<(), String> {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    payload.parts().for_each(|part| digest.update(part));
    let found = text(digest.finalize());
    if found == told {
        return Ok(());
    }
    Err(format!(
        "its CRC32C is {} and that of the bytes that came {found}",
        crate::http::status::one_line(told)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn the_sum_is_castagnolis() {
        // RFC 3720's check value of "123456789": e3069283.
        assert_eq!(of(b"123456789"), STANDARD.encode([0xe3, 0x06, 0x92, 0x83]));
    }

    #[test]
    fn damage_is_found() {
        let mut payload = Payload::from(Bytes::from_static(b"12345"));
        payload.push(Bytes::from_static(b"6789"));
        assert!(holds("4waSgw==", &payload).is_ok());
        assert!(holds("4waSgA==", &payload).is_err());
    }
}
