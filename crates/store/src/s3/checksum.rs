//! CRC32C: sent with every body, so that the server refuses what was damaged on its way and keeps the sum; checked on what
//! is read whole.
//!
//! A server that does not know the header lets it pass; one that trips over it needs `checksum = none`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest, checksum};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

const SUM: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
const TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
const MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

fn text(sum: u64) -> String {
    // The sum has 32 bits.
    STANDARD.encode(&sum.to_be_bytes()[4..])
}

/// The header of a body.
pub(super) fn of(body: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let sum = text(checksum(CrcAlgorithm::Crc32Iscsi, body));
    HeaderValue::try_from(sum).ok().map(|sum| (SUM, sum))
}

/// The header that asks for the sum of what is read.
pub(super) fn ask() -> (HeaderName, HeaderValue) {
    (MODE, HeaderValue::from_static("ENABLED"))
}

/// Whether the whole object's bytes have the sum that the server tells, where it tells one of all its bytes.
pub(super) fn holds(headers: &HeaderMap, payload: &crate::Payload) -> Result<(), String> {
    let Some(told) = headers.get(SUM).and_then(|sum| sum.to_str().ok()) else {
        return Ok(());
    };
    let composite = headers.get(TYPE).is_some_and(|kind| kind == "COMPOSITE");
    // A sum of sums of parts says how many there are.
    if composite || told.contains('-') {
        return Ok(());
    }
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    payload.parts().for_each(|part| digest.update(part));
    let found = text(digest.finalize());
    if found == told {
        return Ok(());
    }
    Err(format!(
        "its CRC32C is {told} and that of the bytes that came {found}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;
    use bytes::Bytes;

    #[test]
    fn the_sum_is_castagnolis() {
        // RFC 3720's check value of "123456789": e3069283.
        assert_eq!(
            of(b"123456789").unwrap().1,
            STANDARD.encode([0xe3, 0x06, 0x92, 0x83])
        );
    }

    #[test]
    fn damage_is_found_where_the_server_tells_a_sum() {
        let mut payload = Payload::from(Bytes::from_static(b"12345"));
        payload.push(Bytes::from_static(b"6789"));
        let with = |sum: &str| HeaderMap::from_iter([(SUM, HeaderValue::try_from(sum).unwrap())]);
        assert!(holds(&HeaderMap::new(), &payload).is_ok());
        assert!(holds(&with("4waSgw=="), &payload).is_ok());
        assert!(holds(&with("4waSgA=="), &payload).is_err());
        assert!(holds(&with("AAAAAA==-3"), &payload).is_ok());
    }
}
