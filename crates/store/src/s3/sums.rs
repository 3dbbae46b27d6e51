//! The headers of checksums.
//!
//! A server that does not know them lets them pass; one that trips over them needs `checksum = none`.

use crate::{Payload, checksum};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

const SUM: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
const TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
const MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// The header of a body.
pub(super) fn of(body: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let sum = HeaderValue::try_from(checksum::of(body)).ok();
    sum.map(|sum| (SUM, sum))
}

/// The header that asks for the sum of what is read.
pub(super) fn ask() -> (HeaderName, HeaderValue) {
    (MODE, HeaderValue::from_static("ENABLED"))
}

/// Whether the whole object's bytes have the sum that the server tells, where it tells one of all its bytes.
pub(super) fn hold(headers: &HeaderMap, payload: &Payload) -> Result<(), String> {
    let Some(told) = headers.get(SUM).and_then(|sum| sum.to_str().ok()) else {
        return Ok(());
    };
    let composite = headers.get(TYPE).is_some_and(|kind| kind == "COMPOSITE");
    // A sum of sums of parts says how many there are.
    if composite || told.contains('-') {
        return Ok(());
    }
    checksum::holds(told, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_sums_are_not_taken_for_sums() {
        let payload = Payload::from(bytes::Bytes::from_static(b"123456789"));
        let with = |sum: &str| HeaderMap::from_iter([(SUM, HeaderValue::try_from(sum).unwrap())]);
        assert!(hold(&HeaderMap::new(), &payload).is_ok());
        assert!(hold(&with("4waSgw=="), &payload).is_ok());
        assert!(hold(&with("4waSgA=="), &payload).is_err());
        assert!(hold(&with("AAAAAA==-3"), &payload).is_ok());
    }
}
