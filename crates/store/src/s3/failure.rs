//! What a refusal means, in a store's words: Amazon's codes, and what is to be done about each.

use super::xml::{self, Failure};
use crate::StoreError;
use crate::http::{Answer, server_time, status};
use http::StatusCode;
use restblk_types::ErrorKind;
use std::fmt;
use std::time::SystemTime;

/// A clock that is off by this much or more is worth telling. Servers take up to 15 minutes.
const SKEW_TOLD_S: i64 = 240;

/// Codes with which a server refuses a change because others are under way: it did nothing, and asks for the request again.
const COLLIDED: [&str; 3] = [
    "ConditionalRequestConflict",
    "ConcurrentModification",
    "OperationAborted",
];
/// Codes that newer credentials may cure.
const STALE: [&str; 5] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "InvalidToken",
    "InvalidAccessKeyId",
];

/// What the store knows when a request was refused.
pub(super) struct Scene<'a> {
    pub(super) operation: &'static str,
    pub(super) object: &'a (dyn fmt::Display + Sync),
    /// The request changes something.
    pub(super) changes: bool,
    pub(super) bucket: &'a str,
    pub(super) region: &'a str,
    /// Where the credentials come from.
    pub(super) source: &'static str,
}

/// The server's own words about a refusal, where it has some.
pub(super) fn read(answer: &Answer) -> Option<Failure> {
    xml::failure(&answer.body.clone().into_bytes())
}

/// Whether to send the same request again soon: the server did nothing and asks for it.
pub(super) fn collided(answer: &Answer) -> bool {
    answer.status == StatusCode::CONFLICT
        && read(answer).is_some_and(|failure| COLLIDED.contains(&failure.code.as_str()))
}

/// Whether other credentials may do better.
pub(super) fn is_stale(failure: Option<&Failure>) -> bool {
    failure.is_some_and(|failure| STALE.contains(&failure.code.as_str()))
}

/// The error that an answer without success is.
pub(super) fn refuse(answer: Answer, scene: &Scene<'_>) -> StoreError {
    let (code, retry_after) = (answer.status, status::retry_after(&answer));
    let failure = read(&answer);
    let skew = skew_s(&answer);
    let (kind, meaning) = match &failure {
        Some(failure) => meaning(failure, skew, scene),
        None => None,
    }
    .unwrap_or_else(|| by_status(&answer, scene));
    let mut reason = format!("{meaning} (status {}", code.as_u16());
    if let Some(failure) = &failure {
        reason.push(' ');
        reason.push_str(&status::one_line(&failure.code));
        if !failure.message.is_empty() {
            reason.push_str(": ");
            reason.push_str(&status::one_line(&failure.message));
        }
    } else if let Some(words) = code.canonical_reason() {
        reason.push(' ');
        reason.push_str(words);
    }
    reason.push(')');
    if kind == ErrorKind::Denied
        && let Some(skew) = skew.filter(|_| !meaning.contains("clock"))
    {
        reason.push_str("; besides, ");
        reason.push_str(&clock(skew));
    }
    let error = StoreError::new(kind, scene.operation, scene.object, reason).with_retry_after(retry_after);
    if scene.changes {
        status::doubt(code, error)
    } else {
        error
    }
}

/// An error within a success: what was begun with 200 and then failed.
pub(super) fn refuse_late(failure: &Failure, scene: &Scene<'_>) -> StoreError {
    let (kind, meaning) =
        meaning(failure, None, scene).unwrap_or_else(|| (ErrorKind::Retry, "the server failed".to_owned()));
    let reason = format!("{meaning} (status 200 {})", status::one_line(&failure.code));
    let error = StoreError::new(kind, scene.operation, scene.object, reason);
    if scene.changes && kind == ErrorKind::Retry {
        error.ambiguous()
    } else {
        error
    }
}

fn by_status(answer: &Answer, scene: &Scene<'_>) -> (ErrorKind, String) {
    match answer.status.as_u16() {
        403 => (ErrorKind::Denied, no_right(scene)),
        // Nobody promised that it was left undone, but for the codes that say so.
        409 => (ErrorKind::Retry, "others change it at the same time".to_owned()),
        412 => (ErrorKind::Conflict, "somebody else changed it".to_owned()),
        _ => status::meaning(answer.status, answer),
    }
}

fn no_right(scene: &Scene<'_>) -> String {
    let right = match scene.operation {
        "put" => "s3:PutObject",
        "delete" => "s3:DeleteObject",
        "list" | "reach" => "s3:ListBucket",
        // Without the right to list, what is missing is called forbidden.
        _ => "s3:GetObject, and s3:ListBucket, without which a missing object is called forbidden",
    };
    format!(
        "the credentials from {} have no right to do it: they need {right} on the bucket {}",
        scene.source, scene.bucket
    )
}

/// Seconds that this host's clock is ahead of the server's, where that is worth telling.
fn skew_s(answer: &Answer) -> Option<i64> {
    let there = i64::try_from(server_time(&answer.headers)?).ok()?;
    let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let skew = i64::try_from(here.as_secs()).ok()? - there;
    (skew.abs() >= SKEW_TOLD_S).then_some(skew)
}

fn clock(skew_s: i64) -> String {
    let (minutes, seconds) = (skew_s.abs() / 60, skew_s.abs() % 60);
    let way = if skew_s > 0 { "ahead of" } else { "behind" };
    format!(
        "this host's clock is {minutes} min {seconds} s {way} the server's: set it right (chrony, systemd-timesyncd)"
    )
}

fn meaning(failure: &Failure, skew: Option<i64>, scene: &Scene<'_>) -> Option<(ErrorKind, String)> {
    use ErrorKind as K;
    let of = |kind, words: &str| Some((kind, words.to_owned()));
    match failure.code.as_str() {
        "NoSuchBucket" => {
            let reason = format!(
                "there is no bucket {}: make it, or correct the store's URL",
                scene.bucket
            );
            Some((K::Invalid, reason))
        }
        "NoSuchKey" => of(K::NotFound, "it does not exist"),
        "NoSuchUpload" => of(K::Retry, "the multipart upload has gone"),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Some((K::Denied, no_right(scene))),
        "InvalidAccessKeyId" => Some((
            K::Denied,
            format!("the server does not know the access key from {}", scene.source),
        )),
        "SignatureDoesNotMatch" => Some((
            K::Denied,
            format!(
                "the secret key from {} is not the one of this access key",
                scene.source
            ),
        )),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Some((
            K::Denied,
            format!("the session token from {} has expired: renew it", scene.source),
        )),
        "InvalidToken" => Some((
            K::Denied,
            format!("the session token from {} is not valid: renew it", scene.source),
        )),
        "RequestTimeTooSkewed" | "RequestExpired" => {
            let words = skew.map_or_else(
                || "this host's clock differs from the server's by more than it allows: set it right (chrony, systemd-timesyncd)".to_owned(),
                clock,
            );
            Some((K::Denied, words))
        }
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => Some((K::Invalid, elsewhere(failure, scene))),
        "SlowDown" | "ServiceUnavailable" | "TooManyRequests" | "RequestLimitExceeded" | "Throttling" => {
            of(K::Unavailable, "the server asks for fewer requests")
        }
        "InternalError" => of(K::Retry, "the server failed"),
        "RequestTimeout" => of(K::Retry, "the server had waited too long for the request"),
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody" => {
            of(K::Retry, "the bytes were damaged on their way and were not taken")
        }
        "QuotaExceeded" | "InsufficientStorage" | "StorageFull" | "XMinioStorageFull" => of(
            K::NoSpace,
            "the server has no space left, or the quota is used up",
        ),
        "EntityTooLarge" => of(K::Invalid, "the body is larger than the server takes"),
        "KeyTooLongError" => of(K::Invalid, "the name is longer than the server takes"),
        "InvalidObjectState" => of(
            K::Invalid,
            "the object is archived: bring it back to a class that can be read",
        ),
        "InvalidStorageClass" => of(K::Invalid, "the server has no such `storage_class`"),
        code if code.starts_with("KMS.") || code.starts_with("Kms") => {
            of(K::Invalid, "the key of `kms_key_id` cannot be used")
        }
        "NotImplemented" | "MethodNotAllowed" => of(K::Unsupported, "the server cannot do it"),
        _ => None,
    }
}

fn elsewhere(failure: &Failure, scene: &Scene<'_>) -> String {
    let region = scene.region;
    match (&failure.region, &failure.endpoint) {
        (_, Some(endpoint)) => format!(
            "the bucket {} is at {}: write that host in the store's URLs",
            scene.bucket,
            status::one_line(endpoint)
        ),
        (Some(told), None) => format!(
            "it was asked for in the region {region} and is in {}: give that as `region`",
            status::one_line(told)
        ),
        (None, None) => format!("it is in another region than {region}: give the right one as `region`"),
    }
}
