//! Changing objects: putting them whole, and removing them.

use super::client::{Ask, GcsStore};
use super::read::Metadata;
use crate::http::quote;
use crate::{ETag, Key, Precondition, StoreError, Written, checksum};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use restblk_types::ErrorKind;

impl GcsStore {
    /// The query that makes the precondition hold, with `&` before it.
    fn condition(
        &self,
        operation: &'static str,
        key: &Key,
        when: &Precondition,
    ) -> Result<String, StoreError> {
        match when {
            Precondition::Always => Ok(String::new()),
            // There is no generation.
            Precondition::Absent if self.can.exclusive_create => Ok("&ifGenerationMatch=0".to_owned()),
            Precondition::Matches(ETag(tag)) if self.can.compare_and_set => {
                if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_digit()) {
                    let reason = "the ETag is none of this server's";
                    return Err(self.error(ErrorKind::Invalid, operation, key, reason));
                }
                Ok(format!("&ifGenerationMatch={tag}"))
            }
            Precondition::Absent | Precondition::Matches(_) => {
                let reason = "this server was not seen to keep conditions";
                Err(self.error(ErrorKind::Unsupported, operation, key, reason))
            }
        }
    }

    /// One request has the name, the sum and the bytes.
    pub(super) async fn upload(
        &self,
        key: &Key,
        body: &Bytes,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        let bucket: String = quote(&self.bucket.name).collect();
        let mut target = format!(
            "/upload/storage/v1/b/{bucket}/o?uploadType=multipart&fields=generation,crc32c{}",
            self.condition("put", key, when)?
        );
        if let Some(name) = &self.settings.kms_key_name {
            target.push_str("&kmsKeyName=");
            target.extend(quote(name));
        }
        let sum = checksum::of(body);
        let mut about = serde_json::json!({ "name": self.name(key), "crc32c": sum });
        if let Some(class) = &self.settings.storage_class {
            about["storageClass"] = class.clone().into();
        }
        // Chance keeps it out of the body.
        let boundary = format!("restblk-{:032x}", rand::random::<u128>());
        let about = format!(
            "--{boundary}\r\nContent-Type: application/json\r\n\r\n{about}\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        let end = format!("\r\n--{boundary}--\r\n");
        let mut whole = BytesMut::with_capacity(about.len() + body.len() + end.len());
        whole.put_slice(about.as_bytes());
        whole.put_slice(body);
        whole.put_slice(end.as_bytes());

        let mut ask = Ask::new(Method::POST, target, "put", key);
        if let Ok(kind) = HeaderValue::try_from(format!("multipart/related; boundary={boundary}")) {
            ask.headers.push((CONTENT_TYPE, kind));
        }
        ask.body = whole.freeze();
        ask.changes = true;
        let answer = self.ask(&ask).await?;
        if answer.status == StatusCode::NOT_FOUND && matches!(when, Precondition::Matches(_)) {
            let reason = "somebody else removed it";
            return Err(self.error(ErrorKind::Conflict, "put", key, reason));
        }
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        let made: Metadata = serde_json::from_slice(&answer.body.into_bytes()).map_err(|_| {
            let reason = "the answer tells no generation";
            self.error(ErrorKind::Corrupt, "put", key, reason).ambiguous()
        })?;
        if let Some(kept) = made.crc32c.filter(|kept| *kept != sum) {
            let reason =
                format!("the server keeps other bytes than were sent: their CRC32C is {kept} and not {sum}");
            return Err(self.error(ErrorKind::Corrupt, "put", key, reason).ambiguous());
        }
        Ok(Written {
            etag: made.generation.map(ETag),
            instance: None,
        })
    }

    pub(super) async fn remove(&self, key: &Key, when: &Precondition) -> Result<(), StoreError> {
        if *when == Precondition::Absent {
            self.inspect(key, "delete").await?;
            return Err(self.error(ErrorKind::Conflict, "delete", key, "it exists"));
        }
        let mut target = self.object(key);
        target.push_str(&self.condition("delete", key, when)?.replacen('&', "?", 1));
        let mut ask = Ask::new(Method::DELETE, target, "delete", key);
        ask.changes = true;
        let answer = self.ask(&ask).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(answer, &ask))
    }
}
