//! Shared Key: the signature of a request by the account's key.
//!
//! What is signed, and in which form: "Authorize with Shared Key", Blob service, version 2015-02-21 and later.

use crate::http::{Call, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use ring::hmac;
use std::fmt;
use std::fmt::Write;

/// Headers whose values are signed by their place.
const PLACED: [&str; 9] = [
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
    "",
];

/// An account and its key.
#[derive(Clone)]
pub(super) struct SharedKey {
    account: String,
    secret: Secret,
    key: hmac::Key,
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl SharedKey {
    /// `None` where the key is no base64.
    pub(super) fn new(account: &str, key: &Secret) -> Option<Self> {
        let bytes = STANDARD.decode(key.expose().trim()).ok()?;
        Some(Self {
            account: account.to_owned(),
            secret: key.clone(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        })
    }

    /// The same key of the same account.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.account, &self.secret) == (&other.account, &other.secret)
    }

    /// The value of `Authorization` for a call that has all its other headers.
    pub(super) fn authorization(&self, call: &Call) -> Option<HeaderValue> {
        let tag = hmac::sign(&self.key, self.text(call).as_bytes());
        let value = format!("SharedKey {}:{}", self.account, STANDARD.encode(tag));
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn text(&self, call: &Call) -> String {
        let header = |name: &str| {
            let found = call.headers.iter().find(|(known, _)| known.as_str() == name);
            found.and_then(|(_, value)| value.to_str().ok()).unwrap_or("")
        };
        let mut text = format!("{}\n\n\n", call.method);
        if !call.body.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", call.body.len());
        }
        for name in PLACED {
            text.push('\n');
            text.push_str(header(name));
        }
        let mut named: Vec<(&str, &str)> = call
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("").trim()))
            .collect();
        named.sort_unstable();
        for (name, value) in named {
            let _ = writeln!(text, "{name}:{value}");
        }
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        let _ = write!(text, "/{}{path}", self.account);
        let mut pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                (plain(name).to_ascii_lowercase(), plain(value))
            })
            .collect();
        pairs.sort_unstable();
        for (name, value) in pairs {
            let _ = write!(text, "\n{name}:{value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderName, Method};

    /// The account and key of the storage emulator, as its documentation gives them.
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    fn signed(
        method: Method,
        target: &str,
        headers: &[(&'static str, &'static str)],
        body: &'static [u8],
    ) -> String {
        let call = Call {
            method,
            target: target.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect(),
            body: Bytes::from_static(body),
            answer_len_max: 0,
        };
        let key = SharedKey::new("devstoreaccount1", &Secret::new(KEY)).unwrap();
        let value = key.authorization(&call).unwrap();
        assert!(value.is_sensitive() && !format!("{key:?}").contains(&KEY[..8]));
        value.to_str().unwrap().to_owned()
    }

    /// Against signatures that another program (Python's hmac, by the specification) made.
    #[test]
    fn signatures_are_the_specifications() {
        let common = [
            ("x-ms-version", "2021-08-06"),
            ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"),
        ];
        let mut write = common.to_vec();
        write.extend([
            ("x-ms-range", "bytes=0-511"),
            ("x-ms-page-write", "update"),
            ("if-match", "\"0x1\""),
            ("content-md5", "abc=="),
        ]);
        assert_eq!(
            signed(
                Method::PUT,
                "/devstoreaccount1/c/a%20b?comp=page&timeout=30",
                &write,
                &[b'x'; 512]
            ),
            "SharedKey devstoreaccount1:xJLZJ03GjuVcOiHq1d7b1syMkT062uyNLURvU441mdY="
        );
        assert_eq!(
            signed(
                Method::GET,
                "/c?restype=container&comp=list&prefix=a%2Fb",
                &common,
                b""
            ),
            "SharedKey devstoreaccount1:/1bq8B9hLOPDA57Ya3KCoYEx6axoL9+jQqDsVbxHTZg="
        );
        assert!(SharedKey::new("a", &Secret::new("no base64!")).is_none());
    }
}
