//! Changing objects: putting them whole, under a condition or without, and removing them.

use super::client::{Ask, Server};
use super::failure;
use super::settings::Encryption;
use super::sums;
use crate::http::{condition, range};
use crate::{Key, Precondition, StoreError, Written};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use restblk_types::ErrorKind;
use std::time::Duration;

const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");
const ENCRYPTION: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const KMS_KEY: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");

/// How often a conditional put that met others on its way is sent again, and the first pause before it; the pauses grow by it.
const COLLISIONS_MAX: u32 = 8;
const COLLISION_PAUSE: Duration = Duration::from_millis(15);

impl Server {
    fn condition(
        &self,
        operation: &'static str,
        key: &Key,
        when: &Precondition,
    ) -> Result<Option<(HeaderName, HeaderValue)>, StoreError> {
        condition::header(when, &self.can).map_err(|(kind, reason)| self.error(kind, operation, key, reason))
    }

    /// What a new object is given: class and encryption.
    pub(super) fn object_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
        let mut add = |name: HeaderName, value: &str| {
            // What a header cannot hold no server has: it is told so when it is left out.
            headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        };
        if let Some(class) = &self.settings.storage_class {
            add(STORAGE_CLASS, class);
        }
        match &self.settings.encryption {
            Encryption::Server => add(ENCRYPTION, "AES256"),
            Encryption::Kms(key) => {
                add(ENCRYPTION, "aws:kms");
                if let Some(key) = key {
                    add(KMS_KEY, key);
                }
            }
            Encryption::Default | Encryption::Customer { .. } => {}
        }
        headers.extend(self.customer_key());
        headers
    }

    pub(super) async fn put_whole(
        &self,
        key: &Key,
        body: Bytes,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        let mut ask = Ask::new(Method::PUT, self.bucket.object(key), "put", key);
        ask.headers = self.object_headers();
        ask.headers.extend(self.condition("put", key, when)?);
        if self.settings.checksum {
            ask.headers.extend(sums::of(&body));
        }
        ask.body = body;
        ask.changes = true;
        let mut collisions = 0;
        loop {
            let answer = self.ask(&ask).await?;
            if answer.status.is_success() {
                return Ok(Written {
                    etag: range::etag(&answer.headers),
                    instance: None,
                });
            }
            if *when != Precondition::Always && collisions < COLLISIONS_MAX && failure::collided(&answer) {
                collisions += 1;
                tokio::time::sleep(COLLISION_PAUSE.mul_f64(f64::from(collisions) + rand::random::<f64>()))
                    .await;
                continue;
            }
            // Nothing is in that state: there is nothing.
            if matches!(when, Precondition::Matches(_)) && is_missing(&answer) {
                let reason = "somebody else removed it";
                return Err(self.error(ErrorKind::Conflict, "put", key, reason));
            }
            return Err(self.refused(answer, &ask));
        }
    }

    pub(super) async fn remove(&self, key: &Key, when: &Precondition) -> Result<(), StoreError> {
        let condition = match when {
            Precondition::Absent => None,
            when => self.condition("delete", key, when)?,
        };
        // S3 calls the deletion of what is missing a success.
        self.inspect(key, "delete").await?;
        if *when == Precondition::Absent {
            return Err(self.error(ErrorKind::Conflict, "delete", key, "it exists"));
        }
        let mut ask = Ask::new(Method::DELETE, self.bucket.object(key), "delete", key);
        ask.headers.extend(condition);
        ask.changes = true;
        let answer = self.ask(&ask).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(answer, &ask))
    }
}

fn is_missing(answer: &crate::http::Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND
        && failure::read(answer).is_none_or(|failure| failure.code != "NoSuchBucket")
}
