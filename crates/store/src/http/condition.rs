//! What must hold for a change, as a header (RFC 9110, 13.1): for the protocols that keep to HTTP's own.

use crate::{Capabilities, Precondition};
use http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use restblk_types::ErrorKind;

/// `If-None-Match: *` or `If-Match`, or nothing. What the server was not seen to keep is refused, with the reason.
pub(crate) fn header(
    when: &Precondition,
    can: &Capabilities,
) -> Result<Option<(HeaderName, HeaderValue)>, (ErrorKind, &'static str)> {
    let unseen = |reason| Err((ErrorKind::Unsupported, reason));
    match when {
        Precondition::Always => Ok(None),
        Precondition::Absent if can.exclusive_create => {
            Ok(Some((IF_NONE_MATCH, HeaderValue::from_static("*"))))
        }
        Precondition::Absent => unseen("this server was not seen to create exclusively"),
        Precondition::Matches(tag) if can.compare_and_set => match HeaderValue::try_from(&tag.0) {
            Ok(tag) => Ok(Some((IF_MATCH, tag))),
            Err(_) => Err((ErrorKind::Invalid, "the ETag is none of this server's")),
        },
        Precondition::Matches(_) => unseen("this server was not seen to compare ETags"),
    }
}
