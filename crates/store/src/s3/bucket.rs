//! Where a bucket is: its name, how it is addressed, and the targets of requests within it.

use super::settings::Addressing;
use crate::http::{Endpoint, quote};
use crate::{Key, StoreError};
use percent_encoding::percent_decode_str;
use restblk_types::ErrorKind;

/// A bucket and the prefix of a pool in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// `/bucket`, quoted, or nothing where the host names the bucket.
    path: String,
    /// What all keys begin with, quoted: nothing, or it ends with a slash.
    quoted_prefix: String,
    /// The same, as text.
    prefix: String,
}

/// What the name of one of Amazon's hosts says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AmazonHost {
    /// `bucket.` before the rest.
    pub(crate) bucket: Option<String>,
    pub(crate) region: Option<String>,
}

/// Reads `[bucket.]s3[.dualstack][.region].amazonaws.com[.cn]` and the older `s3-region`; `None` for other hosts.
pub(crate) fn amazon_host(host: &str) -> Option<AmazonHost> {
    let rest = host
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let labels: Vec<&str> = rest.split('.').collect();
    // The last label that names the service: a bucket may have dots, and be called s3.
    let at = labels
        .iter()
        .rposition(|label| *label == "s3" || label.starts_with("s3-"))?;
    let region = labels[at + 1..].iter().find(|label| **label != "dualstack");
    let older = labels[at]
        .strip_prefix("s3-")
        .filter(|rest| !matches!(*rest, "fips" | "accelerate" | "website"));
    Some(AmazonHost {
        bucket: (at > 0).then(|| labels[..at].join(".")),
        region: region.copied().or(older).map(str::to_owned),
    })
}

impl Bucket {
    /// The bucket that the endpoint's URL names.
    pub(crate) fn of(endpoint: &Endpoint, addressing: Option<Addressing>) -> Result<Self, StoreError> {
        let wrong = |reason: &str| StoreError::new(ErrorKind::Invalid, "open", endpoint, reason);
        let host = endpoint.host_name();
        let amazon = amazon_host(&host);
        let is_virtual = match addressing {
            Some(addressing) => addressing == Addressing::Virtual,
            None => amazon.as_ref().is_some_and(|host| host.bucket.is_some()),
        };
        let inner = endpoint.prefix().trim_start_matches('/');
        if is_virtual {
            let name = match amazon {
                Some(AmazonHost {
                    bucket: Some(bucket), ..
                }) => bucket,
                _ => match host.split_once('.') {
                    Some((bucket, _)) if host.parse::<std::net::IpAddr>().is_err() => bucket.to_owned(),
                    _ => {
                        return Err(wrong(
                            "for `addressing = virtual` its host begins with the bucket's name and a dot",
                        ));
                    }
                },
            };
            return Self::new(name, String::new(), inner).ok_or_else(|| wrong("its path is no UTF-8"));
        }
        let Some((first, rest)) = inner.split_once('/') else {
            return Err(wrong(
                "it names no bucket: write it behind the host (https://host/bucket/), or give `addressing = virtual` where the \
                 host begins with it",
            ));
        };
        let name = percent_decode_str(first)
            .decode_utf8()
            .map_err(|_| wrong("its path is no UTF-8"))?;
        Self::new(name.into_owned(), format!("/{first}"), rest).ok_or_else(|| wrong("its path is no UTF-8"))
    }

    fn new(name: String, path: String, quoted_prefix: &str) -> Option<Self> {
        let prefix = percent_decode_str(quoted_prefix).decode_utf8().ok()?.into_owned();
        Some(Self {
            name,
            path,
            quoted_prefix: quoted_prefix.to_owned(),
            prefix,
        })
    }

    /// The target of the bucket itself, with room for a query that begins with `?`.
    pub(crate) fn target(&self) -> String {
        if self.path.is_empty() {
            "/".to_owned()
        } else {
            self.path.clone()
        }
    }

    /// The target of an object.
    pub(crate) fn object(&self, key: &Key) -> String {
        let mut target =
            String::with_capacity(self.path.len() + self.quoted_prefix.len() + key.as_str().len() + 48);
        target.push_str(&self.path);
        target.push('/');
        target.push_str(&self.quoted_prefix);
        for (at, component) in key.components().enumerate() {
            if at != 0 {
                target.push('/');
            }
            target.extend(quote(component));
        }
        target
    }

    /// What the names of a folder's objects begin with.
    pub(crate) fn folder(&self, folder: Option<&Key>) -> String {
        match folder {
            None => self.prefix.clone(),
            Some(folder) => format!("{}{folder}/", self.prefix),
        }
    }

    /// The key of an object's full name, where it is one of this pool.
    pub(crate) fn key(&self, name: &str) -> Option<Key> {
        Key::new(name.strip_prefix(&self.prefix)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, addressing: Option<Addressing>) -> Result<Bucket, StoreError> {
        Bucket::of(&url.parse().unwrap(), addressing)
    }

    #[test]
    fn buckets_are_found_in_urls() {
        let key = Key::new("a b/c+d").unwrap();
        for (url, addressing, name, object) in [
            ("http://h:9000/b/", None, "b", "/b/a%20b/c%2Bd"),
            ("http://h/b/p q/r", None, "b", "/b/p%20q/r/a%20b/c%2Bd"),
            ("http://b.h/p", Some(Addressing::Virtual), "b", "/p/a%20b/c%2Bd"),
            ("https://b.s3.eu-west-1.amazonaws.com/", None, "b", "/a%20b/c%2Bd"),
            (
                "https://s3.eu-west-1.amazonaws.com/b",
                None,
                "b",
                "/b/a%20b/c%2Bd",
            ),
            (
                "https://my.dots.s3.amazonaws.com/p",
                None,
                "my.dots",
                "/p/a%20b/c%2Bd",
            ),
        ] {
            let bucket = of(url, addressing).unwrap();
            assert_eq!(
                (bucket.name.as_str(), bucket.object(&key).as_str()),
                (name, object),
                "{url}"
            );
        }
        let bucket = of("http://h/b/p q/r", None).unwrap();
        assert_eq!(bucket.target(), "/b");
        assert_eq!(bucket.folder(Some(&Key::new("f").unwrap())), "p q/r/f/");
        assert_eq!(bucket.key("p q/r/f/x").unwrap().as_str(), "f/x");
        assert!(bucket.key("elsewhere").is_none() && bucket.key("p q/r/f//x").is_none());
    }

    #[test]
    fn urls_without_a_bucket_are_refused() {
        assert!(of("http://h/", None).is_err());
        assert!(of("http://127.0.0.1/b", Some(Addressing::Virtual)).is_err());
        assert!(of("https://s3.amazonaws.com/", None).is_err());
    }

    #[test]
    fn amazons_hosts_tell_region_and_bucket() {
        let read = |host| amazon_host(host).map(|h| (h.bucket, h.region));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("s3.amazonaws.com"), Some((None, None)));
        assert_eq!(read("b.s3.amazonaws.com"), Some((some("b"), None)));
        assert_eq!(
            read("b.s3.eu-west-3.amazonaws.com"),
            Some((some("b"), some("eu-west-3")))
        );
        assert_eq!(
            read("b.s3.dualstack.eu-west-3.amazonaws.com"),
            Some((some("b"), some("eu-west-3")))
        );
        assert_eq!(
            read("s3-eu-west-1.amazonaws.com"),
            Some((None, some("eu-west-1")))
        );
        assert_eq!(read("b.s3-accelerate.amazonaws.com"), Some((some("b"), None)));
        assert_eq!(
            read("b.s3.cn-north-1.amazonaws.com.cn"),
            Some((some("b"), some("cn-north-1")))
        );
        assert_eq!(read("store.example.com"), None);
    }
}
