//! Listings, of version 2.

use crate::bucket::{Bucket, Object};
use crate::request::Asked;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::escape::escape;
use std::ops::Bound;

/// Entries of a page, where no number is given, and at most.
const PAGE: usize = 1000;

/// What stays as it is in a quoted key.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A page of the keys with a prefix; those that have the delimiter after it are told once, by what they have in common.
pub(crate) fn page(bucket: &Bucket, asked: &Asked) -> String {
    let parameter = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
    let quoted = parameter("encoding-type") == "url";
    let named = |key: &str| match quoted {
        true => utf8_percent_encode(key, QUOTED).to_string(),
        false => escape(key).into_owned(),
    };
    let after = match parameter("continuation-token") {
        "" => parameter("start-after"),
        token => token,
    };
    let from = match after.max(prefix) {
        from if from == after && !after.is_empty() => Bound::Excluded(from),
        from => Bound::Included(from),
    };
    let most = asked.number("max-keys").unwrap_or(PAGE).min(PAGE);
    let (mut told, mut count, mut last, mut more) = (String::new(), 0, String::new(), false);
    for (key, object) in bucket.objects.range::<str, _>((from, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(prefix) else {
            break;
        };
        let folder = match delimiter {
            "" => None,
            delimiter => rest
                .find(delimiter)
                .map(|at| &key[..prefix.len() + at + delimiter.len()]),
        };
        let name = folder.unwrap_or(key);
        // Told already, on this page or on the one before.
        if folder.is_some_and(|folder| folder == last || after.starts_with(folder)) {
            continue;
        }
        if count == most {
            more = true;
            break;
        }
        count += 1;
        name.clone_into(&mut last);
        told += &match folder {
            Some(folder) => format!(
                "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
                named(folder)
            ),
            None => contents(&named(key), object),
        };
    }
    let next = match more {
        true => format!(
            "<NextContinuationToken>{}</NextContinuationToken>",
            escape(last.as_str())
        ),
        false => String::new(),
    };
    let encoding = match quoted {
        true => "<EncodingType>url</EncodingType>",
        false => "",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount>\
         <MaxKeys>{most}</MaxKeys>{encoding}<IsTruncated>{more}</IsTruncated>{told}{next}</ListBucketResult>",
        escape(asked.bucket.as_str()),
        named(prefix)
    )
}

fn contents(name: &str, object: &Object) -> String {
    let put_at = Timestamp::try_from(object.put_at).unwrap_or_default();
    format!(
        "<Contents><Key>{name}</Key><LastModified>{put_at:.3}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
        escape(object.tag.as_str()),
        object.data.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::Method;
    use hyper::header::HeaderMap;

    fn listed(bucket: &Bucket, query: &[(&str, &str)]) -> (Vec<String>, Option<String>) {
        let query = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let asked = Asked {
            method: Method::GET,
            bucket: "b".to_owned(),
            key: String::new(),
            query: query.collect(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let page = page(bucket, &asked);
        let between = |text: &str, end: &str| text.split(end).next().unwrap_or_default().to_owned();
        let names = page.split("<Contents><Key>").flat_map(|part| {
            part.split("<CommonPrefixes><Prefix>")
                .map(|name| between(name, "</"))
        });
        let next = page
            .split_once("<NextContinuationToken>")
            .map(|(_, token)| between(token, "</"));
        (names.skip(1).collect(), next)
    }

    #[test]
    fn pages_have_every_key_and_folder_once() {
        let mut bucket = Bucket::default();
        for key in ["a/1", "a/2", "b", "c/d/1", "c/d/2", "c/e", "d"] {
            bucket.put(key.to_owned(), Bytes::new(), HeaderMap::new());
        }
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let mut query = vec![("delimiter", "/"), ("max-keys", "1")];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let (names, next) = listed(&bucket, &query);
            assert_eq!(names.len(), 1);
            found.extend(names);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found, ["a/", "b", "c/", "d"]);
        let (names, next) = listed(&bucket, &[("prefix", "c/"), ("delimiter", "/")]);
        assert_eq!((names, next), (vec!["c/d/".to_owned(), "c/e".to_owned()], None));
        let (names, _) = listed(&bucket, &[("prefix", "c/"), ("start-after", "c/d/1")]);
        assert_eq!(names, ["c/d/2", "c/e"]);
    }
}
