//! What a refusal means, in a store's words.

use crate::StoreError;
use crate::http::{Answer, status};
use restblk_types::ErrorKind;
use serde::Deserialize;
use std::fmt;

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    error: Detail,
}

#[derive(Default, Deserialize)]
struct Detail {
    #[serde(default)]
    message: String,
}

/// The error that an answer without success is.
pub(super) fn refuse(
    answer: Answer,
    operation: &'static str,
    object: &dyn fmt::Display,
    bucket: &str,
    changes: bool,
) -> StoreError {
    let (code, retry_after) = (answer.status, status::retry_after(&answer));
    let (mut kind, mut meaning) = match code.as_u16() {
        401 => (
            ErrorKind::Denied,
            "the token is not taken: check the credentials and this host's clock".to_owned(),
        ),
        403 => (ErrorKind::Denied, no_right(operation, bucket)),
        _ => status::meaning(code, &answer),
    };
    let said: Said = serde_json::from_slice(&answer.body.into_bytes()).unwrap_or_default();
    let words = status::one_line(&said.error.message);
    if kind == ErrorKind::NotFound && (operation == "reach" || words.contains("bucket does not exist")) {
        kind = ErrorKind::Invalid;
        meaning = format!("there is no bucket {bucket}: make it, or correct the store's URL");
    }
    let mut reason = format!("{meaning} (status {}", code.as_u16());
    if !words.is_empty() {
        reason.push_str(": ");
        reason.push_str(&words);
    }
    reason.push(')');
    let error = StoreError::new(kind, operation, object, reason).with_retry_after(retry_after);
    if changes {
        status::doubt(code, error)
    } else {
        error
    }
}

fn no_right(operation: &str, bucket: &str) -> String {
    let right = match operation {
        "put" => "storage.objects.create and, to replace, storage.objects.delete",
        "delete" => "storage.objects.delete",
        "list" | "reach" => "storage.objects.list",
        // Without the right to list, what is missing is called forbidden.
        _ => {
            "storage.objects.get, and storage.objects.list, without which a missing object is called forbidden"
        }
    };
    format!("the credentials have no right to do it: they need {right} on the bucket {bucket}")
}
