//! The XML of S3, as far as we read it.

use crate::http::xml::walk;

/// What a server says of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) region: Option<String>,
    /// Where the bucket is reached.
    pub(super) endpoint: Option<String>,
}

/// One page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) objects: Vec<(String, Option<u64>)>,
    pub(super) next: Option<String>,
    truncated: bool,
    encoded: bool,
}

/// `<Error>`; `None` where the body is none.
pub(super) fn failure(xml: &[u8]) -> Option<Failure> {
    let mut found = Failure::default();
    let read = walk(xml, |path, text| match path {
        // Ceph's STS wraps it once more, as Amazon's does.
        [.., "Error", "Code"] => text.clone_into(&mut found.code),
        [.., "Error", "Message"] => text.clone_into(&mut found.message),
        ["Error", "Region"] => found.region = Some(text.to_owned()),
        ["Error", "Endpoint"] => found.endpoint = Some(text.to_owned()),
        _ => {}
    });
    (read.is_ok() && !found.code.is_empty()).then_some(found)
}

/// `<ListBucketResult>`.
pub(super) fn listing(xml: &[u8]) -> Result<Listing, String> {
    let mut found = Listing::default();
    let (mut name, mut size, mut is_listing) = (None, None, false);
    walk(xml, |path, text| match path {
        ["ListBucketResult"] => is_listing = true,
        ["ListBucketResult", "Contents", "Key"] => name = Some(text.to_owned()),
        ["ListBucketResult", "Contents", "Size"] => size = text.trim().parse().ok(),
        ["ListBucketResult", "Contents"] => {
            if let Some(name) = name.take() {
                found.objects.push((name, size.take()));
            }
        }
        ["ListBucketResult", "IsTruncated"] => found.truncated = text.trim() == "true",
        ["ListBucketResult", "NextContinuationToken"] => found.next = Some(text.to_owned()),
        ["ListBucketResult", "EncodingType"] => found.encoded = text.trim() == "url",
        _ => {}
    })?;
    if !is_listing {
        return Err("its answer is no listing".to_owned());
    }
    if !found.truncated {
        found.next = None;
    } else if found.next.is_none() {
        return Err("its listing is cut and does not say where it goes on".to_owned());
    }
    if found.encoded {
        for (name, _) in &mut found.objects {
            // As in forms: a blank is a plus, and a plus is quoted.
            let blanks = name.replace('+', " ");
            *name = percent_encoding::percent_decode_str(&blanks)
                .decode_utf8()
                .map_err(|_| "its listing has a name that is no UTF-8".to_owned())?
                .into_owned();
        }
    }
    Ok(found)
}

/// The text of the one element of this name below the root, whatever the root is called.
pub(super) fn field(xml: &[u8], name: &str) -> Option<String> {
    let mut found = None;
    walk(xml, |path, text| {
        if let [_, last] = path
            && *last == name
        {
            found = Some(text.to_owned());
        }
    })
    .ok()?;
    found
}

/// Every text of this element, where it is the third from the root (`ListMultipartUploadsResult/Upload/Key`).
pub(super) fn count(xml: &[u8], of: &str) -> Result<usize, String> {
    let mut found = 0;
    walk(xml, |path, _| {
        if let [_, last] = path
            && *last == of
        {
            found += 1;
        }
    })?;
    Ok(found)
}

/// The list of parts that completes a multipart upload.
pub(super) fn complete(tags: &[String]) -> String {
    use std::fmt::Write;
    let mut xml = String::from("<CompleteMultipartUpload>");
    for (at, tag) in tags.iter().enumerate() {
        let tag = quick_xml::escape::escape(tag.as_str());
        // Writing to a String does not fail.
        let _ = write!(
            xml,
            "<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>",
            at + 1
        );
    }
    xml + "</CompleteMultipartUpload>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>AuthorizationHeaderMalformed</Code><Message>a &amp; b &#60;c&gt;</Message><Region>garage</Region><X><Y/></X></Error>"#;
        let found = failure(xml).unwrap();
        assert_eq!(
            (
                found.code.as_str(),
                found.message.as_str(),
                found.region.as_deref()
            ),
            ("AuthorizationHeaderMalformed", "a & b <c>", Some("garage"))
        );
        for none in [
            &b""[..],
            b"<html><body>502</body></html>",
            b"<Error><Code>x",
            b"{}",
            b"\xff\xfe",
        ] {
            assert_eq!(failure(none), None);
        }
        let sts = br#"<ErrorResponse xmlns="https://sts/"><Error><Code>ExpiredToken</Code></Error></ErrorResponse>"#;
        assert_eq!(failure(sts).unwrap().code, "ExpiredToken");
    }

    #[test]
    fn listings_are_read_in_any_order() {
        let xml = br#"<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>
            <Contents><Size>3</Size><Key>a%20b+c%2Bd</Key><Owner><ID>1</ID></Owner></Contents>
            <CommonPrefixes><Prefix>sub/</Prefix></CommonPrefixes>
            <Contents><Key>plain</Key><Size>12345678901</Size></Contents>
            <IsTruncated>true</IsTruncated><NextContinuationToken>a&lt;b</NextContinuationToken></ListBucketResult>"#;
        let found = listing(xml).unwrap();
        assert_eq!(
            found.objects,
            [
                ("a b c+d".to_owned(), Some(3)),
                ("plain".to_owned(), Some(12_345_678_901))
            ]
        );
        assert_eq!(found.next.as_deref(), Some("a<b"));
        let raw = b"<ListBucketResult><Contents><Key>a+b%20</Key></Contents></ListBucketResult>";
        assert_eq!(listing(raw).unwrap().objects, [("a+b%20".to_owned(), None)]);
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for bad in [
            &b""[..],
            b"<Other/>",
            b"<ListBucketResult><Contents>",
            b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            b"<ListBucketResult>&own;</ListBucketResult>",
        ] {
            assert!(listing(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(listing("<a>".repeat(40).as_bytes()).is_err());
    }

    #[test]
    fn uploads_are_completed_with_their_tags() {
        assert_eq!(
            complete(&["\"a\"".to_owned(), "b".to_owned()]),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part><Part><PartNumber>2\
             </PartNumber><ETag>b</ETag></Part></CompleteMultipartUpload>"
        );
        let made = b"<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(field(made, "UploadId").as_deref(), Some("u&1"));
        assert_eq!(
            count(
                b"<R><Part><N>1</N></Part><Part/><Other/><Part><N>2</N></Part></R>",
                "Part"
            ),
            Ok(3)
        );
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "(<[A-Za-z/]{1,4}>|&[a-z#0-9]{1,3};|.){0,60}") {
            let _ = (failure(text.as_bytes()), listing(text.as_bytes()), field(text.as_bytes(), "a"));
        }
    }
}
