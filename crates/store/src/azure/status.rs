//! What an answer's status and error code mean, in a store's words.
//!
//! The code is in the header `x-ms-error-code`, also of answers without a body; "Status and error codes", common and Blob
//! service.

use crate::StoreError;
use crate::http::{Answer, status as plain};
use http::header::DATE;
use restblk_types::ErrorKind;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Between the clocks of two hosts, more than which the service refuses.
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// The answer's error code, empty where it has none.
pub(super) fn code(answer: &Answer) -> &str {
    header(answer, "x-ms-error-code")
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let value = answer.headers.get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Whether the answer refuses the credentials, whatever for.
pub(super) fn is_denied(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 401 | 403) || code(answer) == "InvalidAuthenticationInfo"
}

/// The error that an answer without success is. `changes`: the request changes something. `hint`: what to do about
/// refused credentials, given whether they are good and only lack the right. `container`: its name.
pub(super) fn refuse(
    answer: &Answer,
    operation: &'static str,
    object: &dyn fmt::Display,
    changes: bool,
    hint: &dyn Fn(bool) -> String,
    container: &str,
) -> StoreError {
    let (status, code) = (answer.status.as_u16(), code(answer));
    let (kind, mut reason) = match meaning(code) {
        Some((kind, words)) => (kind, words.to_owned()),
        None => plain::meaning(answer.status, answer),
    };
    if code == "ContainerNotFound" {
        reason = format!(
            "there is no container \"{}\" there: create it (az storage container create), or put the URL right",
            container.trim_start_matches('/')
        );
    }
    if kind == ErrorKind::Denied {
        let rights = is_rights(code);
        reason = format!("{reason}: {}", skew(answer).unwrap_or_else(|| hint(rights)));
    }
    reason.push_str(&format!(" (status {status}"));
    if !code.is_empty() {
        reason.push_str(&format!(" {code}"));
    }
    // What Microsoft's support asks for.
    let request = header(answer, "x-ms-request-id");
    if status >= 500 && !request.is_empty() {
        reason.push_str(&format!(", request {request}"));
    }
    reason.push(')');
    let error = StoreError::new(kind, operation, object, reason).with_retry_after(plain::retry_after(answer));
    match code {
        _ if !changes => error,
        "OperationTimedOut" => error.may_land_later(),
        _ => plain::doubt(answer.status, error),
    }
}

/// What to do about an error code, and why in words; `None` for one that says no more than its status.
fn meaning(code: &str) -> Option<(ErrorKind, &'static str)> {
    use ErrorKind as K;
    Some(match code {
        "ContainerNotFound" => (K::Invalid, "there is no such container"),
        "ContainerBeingDeleted" | "ContainerDisabled" => {
            (K::Invalid, "the container is being deleted or is disabled")
        }
        "AccountIsDisabled" => (K::Denied, "the account is disabled"),
        "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => {
            (K::Denied, "the credentials are not accepted")
        }
        // Azure's own for a network rule, the emulator's for a wrong key.
        "AuthorizationFailure" => (
            K::Denied,
            "the credentials, or requests from this host, are not allowed there",
        ),
        code if is_rights(code) => (
            K::Denied,
            "the credentials have no right to do it (needed are read, add, create, write, delete and list: sp=racwdl)",
        ),
        "LeaseIdMissing" => (K::Busy, "somebody else holds its lease"),
        "LeaseAlreadyPresent" | "LeaseIsBreakingAndCannotBeAcquired" => (K::Busy, "somebody holds its lease"),
        "LeaseIdMismatchWithBlobOperation"
        | "LeaseNotPresentWithBlobOperation"
        | "LeaseLost"
        | "LeaseIdMismatchWithLeaseOperation"
        | "LeaseNotPresentWithLeaseOperation"
        | "LeaseIsBrokenAndCannotBeRenewed"
        | "LeaseIsBreakingAndCannotBeChanged" => (K::Fenced, "its lease is no longer held by this client"),
        "BlobAlreadyExists" => (K::Conflict, "it exists"),
        "ConditionNotMet" | "TargetConditionNotMet" => {
            (K::Conflict, "it was changed by somebody else, or does not exist")
        }
        "InvalidBlobType" => (
            K::Unsupported,
            "it is a blob of another kind: page blobs are changed in place, block blobs are put whole",
        ),
        "SnapshotsPresent" => (K::Busy, "it has snapshots: delete them first"),
        "BlobArchived" | "BlobBeingRehydrated" => {
            (K::Unsupported, "it is in the archive tier: rehydrate it first")
        }
        "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" => {
            (K::Denied, "a policy or a legal hold forbids its change")
        }
        "InvalidBlockList" | "InvalidBlobOrBlock" => {
            (K::Retry, "another upload of the same name came between")
        }
        "Md5Mismatch" | "Crc64Mismatch" => (K::Retry, "the bytes were changed on their way"),
        "InvalidPageRange" | "InvalidRange" => (K::Invalid, "the range is past its end"),
        "OutOfRangeInput" | "InvalidResourceName" | "InvalidUri" => {
            (K::Invalid, "the name is none that the service takes")
        }
        "FeatureVersionMismatch" | "UnsupportedHeader" | "UnsupportedQueryParameter" => {
            (K::Unsupported, "the service is too old for it")
        }
        "ServerBusy" | "TooManyRequests" => (K::Unavailable, "the service asks for fewer requests"),
        "OperationTimedOut" => (K::Unavailable, "the service did not do it in time"),
        _ => return None,
    })
}

/// The credentials are known, and do not go so far.
fn is_rights(code: &str) -> bool {
    matches!(
        code,
        "AuthorizationPermissionMismatch"
            | "AuthorizationResourceTypeMismatch"
            | "AuthorizationServiceMismatch"
            | "InsufficientAccountPermissions"
    )
}

/// Where the clocks differ so much that no signature is accepted.
fn skew(answer: &Answer) -> Option<String> {
    let theirs = httpdate::parse_http_date(answer.headers.get(DATE)?.to_str().ok()?).ok()?;
    let ours = SystemTime::now();
    let (behind, by) = match theirs.duration_since(ours) {
        Ok(by) => (true, by),
        Err(_) => (false, ours.duration_since(theirs).ok()?),
    };
    (by > SKEW_MAX).then(|| {
        format!(
            "this host's clock is {} minutes {} the server's: set it right",
            by.as_secs() / 60,
            if behind { "behind" } else { "ahead of" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;
    use http::{HeaderMap, HeaderValue, StatusCode};

    fn answer(status: u16, headers: &[(&'static str, String)]) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::try_from(value).unwrap());
        }
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map,
            body: Payload::default(),
        }
    }

    fn of(answer: &Answer) -> StoreError {
        refuse(answer, "write", &"x", true, &|_| "HINT".to_owned(), "/c")
    }

    #[test]
    fn leases_tell_busy_from_fenced() {
        let with = |status, code: &str| of(&answer(status, &[("x-ms-error-code", code.to_owned())])).kind();
        assert_eq!(with(412, "LeaseIdMissing"), ErrorKind::Busy);
        assert_eq!(with(409, "LeaseAlreadyPresent"), ErrorKind::Busy);
        for code in [
            "LeaseIdMismatchWithBlobOperation",
            "LeaseNotPresentWithBlobOperation",
            "LeaseLost",
        ] {
            assert_eq!(with(412, code), ErrorKind::Fenced, "{code}");
        }
        assert_eq!(with(412, "ConditionNotMet"), ErrorKind::Conflict);
        assert_eq!(with(409, "BlobAlreadyExists"), ErrorKind::Conflict);
    }

    #[test]
    fn a_busy_service_says_how_long_and_a_slow_one_may_do_it_later() {
        let busy = of(&answer(
            503,
            &[
                ("x-ms-error-code", "ServerBusy".into()),
                ("retry-after", "7".into()),
            ],
        ));
        assert_eq!(
            (busy.kind(), busy.is_ambiguous()),
            (ErrorKind::Unavailable, false)
        );
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
        let slow = of(&answer(
            500,
            &[
                ("x-ms-error-code", "OperationTimedOut".into()),
                ("x-ms-request-id", "r-1".into()),
            ],
        ));
        assert!(slow.is_late() && slow.to_string().contains("r-1"), "{slow}");
        let failed = of(&answer(500, &[]));
        assert!(failed.is_ambiguous() && !failed.is_late());
    }

    #[test]
    fn a_wrong_clock_is_told_before_wrong_credentials() {
        let denied = |date: SystemTime| {
            of(&answer(
                403,
                &[
                    ("x-ms-error-code", "AuthenticationFailed".into()),
                    ("date", httpdate::fmt_http_date(date)),
                ],
            ))
        };
        let now = SystemTime::now();
        let text = denied(now).to_string();
        assert!(text.contains("HINT") && !text.contains("clock"), "{text}");
        let text = denied(now + Duration::from_secs(3 * 3600 + 30)).to_string();
        assert!(text.contains("clock is 180 minutes behind"), "{text}");
        let text = denied(now - Duration::from_secs(3600 + 30)).to_string();
        assert!(text.contains("clock is 60 minutes ahead of"), "{text}");
    }

    #[test]
    fn a_missing_container_is_no_missing_object() {
        let error = of(&answer(404, &[("x-ms-error-code", "ContainerNotFound".into())]));
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("\"c\""), "{error}");
        assert_eq!(of(&answer(404, &[])).kind(), ErrorKind::NotFound);
    }
}
