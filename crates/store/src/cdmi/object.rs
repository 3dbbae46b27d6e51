//! Reading objects: bytes, sizes, states, identities.

use super::client::CdmiStore;
use super::dialect::Dialect;
use super::{json, target};
use crate::http::{Answer, range};
use crate::{Fetched, Key, ObjectInfo, StoreError};
use http::header::{ACCEPT, HeaderName, HeaderValue, RANGE};
use http::{Method, StatusCode};
use restblk_types::{ErrorKind, Extent};
use std::sync::PoisonError;

/// Metadata may hold what users put there.
const METADATA_LEN_MAX: u64 = 1 << 20;
const IDS_MAX: usize = 4096;

impl CdmiStore {
    pub(super) async fn get_range(&self, key: &Key, range: Extent) -> Result<Fetched, StoreError> {
        if range.is_empty() {
            return Err(self.error(ErrorKind::Invalid, "read", key, "the range is empty"));
        }
        let wanted = (RANGE, range::bytes(range));
        let mut call = self.call(Method::GET, self.target("read", key)?, vec![wanted]);
        call.answer_len_max = range.len();
        let answer = self.ask(call, "read", key, false).await?;
        self.check_range(key, range, &answer)?;
        let etag = range::etag(&answer.headers);
        Ok(Fetched {
            payload: answer.body,
            etag,
        })
    }

    fn check_range(&self, key: &Key, range: Extent, answer: &Answer) -> Result<(), StoreError> {
        let len = answer.body.len() as u64;
        if self.dialect == Dialect::Srb {
            match answer.status {
                StatusCode::OK if len < range.len() => {
                    // This dialect says no more than that.
                    let reason =
                        format!("the range {range} is past its end, or the answer was cut: {len} bytes came");
                    return Err(self.error(ErrorKind::Invalid, "read", key, reason));
                }
                StatusCode::OK if len == range.len() => return Ok(()),
                StatusCode::BAD_REQUEST => {
                    let reason = "the range is past its end (status 400)";
                    return Err(self.error(ErrorKind::Invalid, "read", key, reason));
                }
                _ => {}
            }
        }
        if !answer.status.is_success() {
            return Err(self.refused(answer.clone(), "read", key, false));
        }
        range::check(range, answer).map_err(|(kind, reason)| self.error(kind, "read", key, reason))
    }

    pub(super) async fn get_whole(&self, key: &Key) -> Result<Fetched, StoreError> {
        let mut call = self.call(Method::GET, self.target("read", key)?, Vec::new());
        call.answer_len_max = self.can.put_len_max;
        let answer = self.ask(call, "read", key, false).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer, "read", key, false));
        }
        let etag = range::etag(&answer.headers);
        Ok(Fetched {
            payload: answer.body,
            etag,
        })
    }

    /// Asks for fields of the object as CDMI's JSON.
    async fn fields(
        &self,
        operation: &'static str,
        key: &Key,
        mut target: String,
        query: &str,
    ) -> Result<Answer, StoreError> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        if self.dialect != Dialect::Srb {
            headers.push((ACCEPT, HeaderValue::from_static("application/cdmi-object")));
            headers.extend(self.version());
        }
        target.push_str(query);
        let mut call = self.call(Method::GET, target, headers);
        call.answer_len_max = METADATA_LEN_MAX;
        self.ask(call, operation, key, false).await
    }

    pub(super) async fn inspect(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        let answer = self
            .fields("inspect", key, self.target("inspect", key)?, "?metadata")
            .await?;
        if answer.status != StatusCode::OK {
            // The 2014 server fails with 500 for the metadata of what is not there.
            let doubt = self.dialect == Dialect::Srb && answer.status == StatusCode::INTERNAL_SERVER_ERROR;
            if doubt && self.is_missing(key).await? {
                return Err(self.error(ErrorKind::NotFound, "inspect", key, "it does not exist"));
            }
            return Err(self.refused(answer, "inspect", key, false));
        }
        let etag = range::etag(&answer.headers);
        let size = json::size(&answer.body.into_bytes());
        let size = size.map_err(|reason| self.error(ErrorKind::Corrupt, "inspect", key, reason))?;
        Ok(ObjectInfo {
            size,
            etag,
            in_place: true,
        })
    }

    async fn is_missing(&self, key: &Key) -> Result<bool, StoreError> {
        let wanted = (RANGE, HeaderValue::from_static("bytes=0-0"));
        let call = self.call(Method::GET, self.target("inspect", key)?, vec![wanted]);
        Ok(self.ask(call, "inspect", key, false).await?.status == StatusCode::NOT_FOUND)
    }

    /// The object's path by its ID, from memory or from the server.
    pub(super) async fn target_by_id(&self, key: &Key) -> Result<String, StoreError> {
        let known = self
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned();
        let id = match known {
            Some(id) => id,
            None => {
                let target = self.target("identify", key)?;
                let answer = self.fields("identify", key, target, "?objectID").await?;
                let id = self.identity(key, answer)?;
                let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
                if ids.len() >= IDS_MAX {
                    ids.clear();
                }
                ids.insert(key.clone(), id.clone());
                id
            }
        };
        let root = match self.id_root.get() {
            Some(root) => root,
            None => self.find_id_root(key, &id).await?,
        };
        Ok(format!("{root}cdmi_objectid/{id}"))
    }

    fn identity(&self, key: &Key, answer: Answer) -> Result<String, StoreError> {
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer, "identify", key, false));
        }
        json::object_id(&answer.body.into_bytes())
            .map_err(|reason| self.error(ErrorKind::Unsupported, "identify", key, reason))
    }

    /// Where objects are reached by their IDs: where this one answers with its own.
    async fn find_id_root(&self, key: &Key, id: &str) -> Result<&str, StoreError> {
        for root in target::roots(self.http.endpoint().prefix()) {
            let answer = self
                .fields("identify", key, format!("{root}cdmi_objectid/{id}"), "?objectID")
                .await?;
            if self.identity(key, answer).is_ok_and(|found| found == id) {
                return Ok(self.id_root.get_or_init(|| root.to_owned()));
            }
        }
        let reason = "it cannot be reached by its object ID, as this dialect does";
        Err(self.error(ErrorKind::Unsupported, "identify", key, reason))
    }

    pub(super) fn forget_id(&self, key: &Key) -> bool {
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .is_some()
    }
}
