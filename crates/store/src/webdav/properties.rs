//! Properties of objects and folders: what is asked for, and the `207 Multi-Status` that comes.

use super::client::{WebdavStore, method};
use crate::StoreError;
use crate::http::{Answer, xml};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use restblk_types::ErrorKind;
use std::fmt;

const DEPTH: HeaderName = HeaderName::from_static("depth");
pub(super) const XML: HeaderValue = HeaderValue::from_static("application/xml; charset=utf-8");
/// A list of 50,000 names.
const ANSWER_LEN_MAX: u64 = 32 << 20;

/// What a server says of one object or folder; what it does not say, or says with another status than 200, is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    /// The last component of its path, unquoted.
    pub(super) name: String,
    pub(super) is_folder: bool,
    pub(super) size: Option<u64>,
    pub(super) quota_available: Option<u64>,
    pub(super) quota_used: Option<u64>,
    /// Tokens of the locks on it, and who holds them.
    pub(super) locks: Vec<(String, String)>,
}

impl Properties {
    /// Takes over what a group of properties says.
    fn add(&mut self, group: Self) {
        self.is_folder |= group.is_folder;
        self.size = self.size.or(group.size);
        self.quota_available = self.quota_available.or(group.quota_available);
        self.quota_used = self.quota_used.or(group.quota_used);
        self.locks.extend(group.locks);
    }
}

/// The last component of a reference's path, unquoted; `None` where it is no text.
fn name(href: &str) -> Option<String> {
    let path = href.trim().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or(path);
    percent_decode_str(last).decode_utf8().ok().map(Into::into)
}

/// The responses of a `207 Multi-Status`, or of a single lock's `prop`.
pub(super) fn read(answer: &[u8]) -> Result<Vec<Properties>, String> {
    let mut found = Vec::new();
    let (mut one, mut group, mut lock) = (
        Properties::default(),
        Properties::default(),
        (String::new(), String::new()),
    );
    let (mut is_good, mut is_multistatus) = (true, false);
    xml::walk(answer, |path, text| {
        let number = || text.trim().parse().ok();
        match path {
            ["multistatus"] => is_multistatus = true,
            ["multistatus", "response", "href"] => one.name = name(text).unwrap_or_default(),
            ["multistatus", "response", "propstat", "status"] => {
                is_good = text.split_whitespace().nth(1) == Some("200");
            }
            ["multistatus", "response", "propstat"] => {
                let group = std::mem::take(&mut group);
                if std::mem::replace(&mut is_good, true) {
                    one.add(group);
                }
            }
            ["multistatus", "response"] => found.push(std::mem::take(&mut one)),
            [.., "resourcetype", "collection"] => group.is_folder = true,
            [.., "prop", "getcontentlength"] => group.size = number(),
            [.., "prop", "quota-available-bytes"] => group.quota_available = number(),
            [.., "prop", "quota-used-bytes"] => group.quota_used = number(),
            [.., "activelock", "locktoken", "href"] => text.trim().clone_into(&mut lock.0),
            [.., "activelock", "owner"] | [.., "activelock", "owner", "href"] if !text.trim().is_empty() => {
                text.trim().clone_into(&mut lock.1);
            }
            [.., "lockdiscovery", "activelock"] => group.locks.push(std::mem::take(&mut lock)),
            _ => {}
        }
    })?;
    if !is_multistatus {
        return Err("its answer is XML and none of WebDAV".to_owned());
    }
    Ok(found)
}

impl WebdavStore {
    /// Asks for properties of what is at `target` and, where `below`, of what is directly in it. `None` where nothing is there.
    pub(super) async fn properties(
        &self,
        target: String,
        below: bool,
        names: &str,
        operation: &'static str,
        object: &(dyn fmt::Display + Sync),
    ) -> Result<Option<Vec<Properties>>, StoreError> {
        let depth = HeaderValue::from_static(if below { "1" } else { "0" });
        let mut call = self.call(
            method("PROPFIND"),
            target,
            vec![(DEPTH, depth), (CONTENT_TYPE, XML)],
        );
        call.body = Bytes::from(format!(
            r#"<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>{names}</prop></propfind>"#
        ));
        call.answer_len_max = ANSWER_LEN_MAX;
        let answer: Answer = self.ask(call, operation, object, false).await?;
        match answer.status {
            StatusCode::MULTI_STATUS => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            _ => return Err(self.refused(answer, operation, object, false)),
        }
        match read(&answer.body.into_bytes()) {
            Ok(found) => Ok(Some(found)),
            Err(reason) => Err(self.error(ErrorKind::Corrupt, operation, object, reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Apache answers.
    const APACHE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:"><D:href>/d/</D:href>
<D:propstat><D:prop><lp1:resourcetype><D:collection/></lp1:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><g0:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>
<D:response xmlns:lp1="DAV:"><D:href>http://h/d/b%20c%25</D:href>
<D:propstat><D:prop><lp1:resourcetype/><lp1:getcontentlength>37</lp1:getcontentlength>
<D:lockdiscovery><D:activelock><D:locktype><D:write/></D:locktype><ns0:owner>me</ns0:owner><D:timeout>Second-300</D:timeout>
<D:locktoken><D:href>opaquelocktoken:f2</D:href></D:locktoken></D:activelock></D:lockdiscovery></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"#;

    #[test]
    fn what_servers_say_is_read() {
        let found = read(APACHE.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].is_folder && found[0].name == "d" && found[0].size.is_none());
        assert!(!found[1].is_folder);
        assert_eq!((found[1].name.as_str(), found[1].size), ("b c%", Some(37)));
        assert_eq!(
            found[1].locks,
            [("opaquelocktoken:f2".to_owned(), "me".to_owned())]
        );
    }

    #[test]
    fn what_is_said_with_another_status_is_not_there() {
        let xml = r#"<multistatus xmlns="DAV:"><response><href>/</href><propstat><prop><quota-used-bytes>7</quota-used-bytes></prop>
            <status>HTTP/1.1 403 Forbidden</status></propstat></response></multistatus>"#;
        assert_eq!(read(xml.as_bytes()).unwrap(), [Properties::default()]);
        assert!(read(b"<html></html>").is_err());
    }
}
