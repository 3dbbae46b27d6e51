//! Listings: pages of XML.

use super::client::{Ask, AzureStore};
use crate::http::{quote, xml::walk};
use crate::{Entry, Key, Page, StoreError};
use http::Method;
use percent_encoding::percent_decode_str;
use restblk_types::ErrorKind;

/// What the service gives at a time at the most.
const LIMIT_MAX: usize = 5000;
/// 5000 of the longest names, with all their properties.
const LIST_LEN_MAX: u64 = 32 << 20;

/// A page as it came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listed {
    /// Names and sizes.
    blobs: Vec<(String, Option<u64>)>,
    next: Option<String>,
}

fn parse(xml: &[u8]) -> Result<Listed, String> {
    let mut listed = Listed::default();
    let (mut name, mut size, mut encoded, mut directory, mut is_list) =
        (String::new(), None, false, false, false);
    walk(xml, |path, text| match path {
        ["EnumerationResults"] => is_list = true,
        ["EnumerationResults", "NextMarker"] if !text.is_empty() => listed.next = Some(text.to_owned()),
        // Of characters that XML has not.
        [.., "Blob", "Name", "@Encoded"] => encoded = text == "true",
        [.., "Blob", "Name"] if encoded => name = percent_decode_str(text).decode_utf8_lossy().into_owned(),
        [.., "Blob", "Name"] => text.clone_into(&mut name),
        [.., "Blob", "Properties", "Content-Length"] => size = text.trim().parse().ok(),
        // Of an account with a hierarchical namespace.
        [.., "Blob", "Properties", "ResourceType"] => directory = text.trim() == "directory",
        ["EnumerationResults", "Blobs", "Blob"] => {
            if !directory {
                listed.blobs.push((std::mem::take(&mut name), size));
            }
            (size, encoded, directory) = (None, false, false);
        }
        _ => {}
    })?;
    if !is_list {
        return Err("its answer is no list of blobs".to_owned());
    }
    Ok(listed)
}

impl AzureStore {
    pub(super) async fn children(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let shown = folder.map_or("/", Key::as_str);
        let prefix = self.place.folder(folder);
        let quoted = |text: &str| quote(text).collect::<String>();
        let mut query = format!(
            "restype=container&comp=list&delimiter=%2F&maxresults={}",
            limit.clamp(1, LIMIT_MAX)
        );
        if !prefix.is_empty() {
            query.push_str(&format!("&prefix={}", quoted(&prefix)));
        }
        if let Some(start) = start {
            query.push_str(&format!("&marker={}", quoted(start)));
        }
        let ask = Ask::new(Method::GET, self.place.container.clone())
            .query(query)
            .answer_len_max(LIST_LEN_MAX);
        let answer = self.ask(ask, "list", &shown, false).await?;
        let answer = self.success(answer, "list", &shown, false)?;
        let listed = parse(&answer.body.into_bytes())
            .map_err(|reason| self.error(ErrorKind::Corrupt, "list", &shown, reason))?;
        let mut page = Page {
            entries: Vec::with_capacity(listed.blobs.len()),
            next: listed.next,
        };
        for (name, size) in listed.blobs {
            let Some(inner) = name.strip_prefix(&prefix) else {
                let reason = format!("\"{name}\" is none of the folder \"{prefix}\"");
                return Err(self.error(ErrorKind::Corrupt, "list", &shown, reason));
            };
            // What cannot be an object of ours is of no interest: an empty name stands for the folder itself.
            let own = folder.map_or_else(|| inner.to_owned(), |folder| format!("{folder}/{inner}"));
            if let Ok(key) = Key::new(own) {
                page.entries.push(Entry { key, size });
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_between_folders_and_foreign_names() {
        let xml = br#"<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://a/" ContainerName="c">
            <Prefix>p/</Prefix><Blobs><Blob><Name>p/a &amp; b </Name><Properties><Content-Length>3</Content-Length>
            <BlobType>PageBlob</BlobType></Properties></Blob><BlobPrefix><Name>p/sub/</Name></BlobPrefix>
            <Blob><Name Encoded="true">p/%EF%BF%BEx</Name><Properties/></Blob>
            <Blob><Name>p/dir</Name><Properties><ResourceType>directory</ResourceType></Properties></Blob>
            <Blob><Name>p/z</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>
            </Blobs><NextMarker>2!92!x</NextMarker></EnumerationResults>"#;
        let wanted = [
            ("p/a & b ".to_owned(), Some(3)),
            ("p/\u{fffe}x".to_owned(), None),
            ("p/z".to_owned(), Some(0)),
        ];
        let listed = parse(xml).unwrap();
        assert_eq!(
            (&listed.blobs[..], listed.next.as_deref()),
            (&wanted[..], Some("2!92!x"))
        );
        assert_eq!(
            parse(b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"),
            Ok(Listed::default())
        );
        for bad in [&b"<html></html>"[..], b"", b"{}"] {
            assert!(parse(bad).is_err());
        }
    }
}
