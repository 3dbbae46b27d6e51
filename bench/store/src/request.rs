//! A request, read whole.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::{Method, Request};
use percent_encoding::percent_decode_str;
use std::collections::HashMap;

pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) bucket: String,
    /// Empty for the bucket itself.
    pub(crate) key: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) async fn read(request: Request<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = request.into_parts();
        let path = decoded(head.uri.path().trim_start_matches('/'));
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let query = head.uri.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        let len = head.headers.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok());
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            query: pairs.collect(),
            body: whole(body, len.and_then(|len| len.parse().ok())).await?,
            method: head.method,
            headers: head.headers,
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the query as a number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.query.get(name)?.parse().ok()
    }
}

async fn whole(mut body: Incoming, len: Option<usize>) -> Result<Bytes, hyper::Error> {
    let mut data = BytesMut::with_capacity(len.unwrap_or_default());
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            data.extend_from_slice(&piece);
        }
    }
    Ok(data.freeze())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
