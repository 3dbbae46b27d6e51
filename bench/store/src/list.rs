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
            Some(folder) => format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", named(folder)),
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
