//! Where a pool lies on Swift: account, container and prefix, read from its URL `…/v1/ACCOUNT/CONTAINER[/PREFIX]`. Ceph's
//! `…/swift/v1/CONTAINER` leaves out the account.

use crate::Key;
use crate::http::quote;

/// The parts of a pool's URL, quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `/v1/ACCOUNT`.
    pub(super) account: String,
    /// `/v1/ACCOUNT/CONTAINER`.
    pub(super) container: String,
    /// Before every object's name: empty, or ends with a slash.
    prefix: String,
}

impl Place {
    /// Reads an endpoint's path, which begins and ends with a slash; `None` where it names no container.
    pub(super) fn read(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let version = parts.iter().position(|part| *part == "v1")?;
        let is_ceph =
            version > 0 && parts[version - 1] == "swift" && !parts.get(version + 1)?.starts_with("AUTH_");
        let container = version + if is_ceph { 1 } else { 2 };
        parts.get(container)?;
        let join = |to: usize| format!("/{}", parts[..to].join("/"));
        let prefix: String = parts[container + 1..]
            .iter()
            .map(|part| format!("{part}/"))
            .collect();
        Some(Self {
            account: join(container),
            container: join(container + 1),
            prefix,
        })
    }

    pub(super) fn object(&self, key: &Key) -> String {
        let mut target = format!("{}/{}", self.container, self.prefix);
        for (at, component) in key.components().enumerate() {
            if at != 0 {
                target.push('/');
            }
            target.extend(quote(component));
        }
        target
    }

    /// What names in this folder begin with, unquoted and from the container's top.
    pub(super) fn folder(&self, folder: Option<&Key>) -> String {
        let prefix = percent_encoding::percent_decode_str(&self.prefix).decode_utf8_lossy();
        match folder {
            Some(folder) => format!("{prefix}{folder}/"),
            None => prefix.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_account_container_and_prefix() {
        let place = Place::read("/v1/AUTH_a/vol%20s/x/y/").unwrap();
        assert_eq!(
            (place.account.as_str(), place.container.as_str()),
            ("/v1/AUTH_a", "/v1/AUTH_a/vol%20s")
        );
        let key = Key::new("a b/c").unwrap();
        assert_eq!(place.object(&key), "/v1/AUTH_a/vol%20s/x/y/a%20b/c");
        assert_eq!(place.folder(Some(&key)), "x/y/a b/c/");
        let ceph = Place::read("/swift/v1/volumes/").unwrap();
        assert_eq!(
            (ceph.account.as_str(), ceph.container.as_str()),
            ("/swift/v1", "/swift/v1/volumes")
        );
        assert_eq!(ceph.folder(None), "");
        assert_eq!(
            Place::read("/swift/v1/AUTH_a/c/").unwrap().container,
            "/swift/v1/AUTH_a/c"
        );
        for path in ["/", "/v1/", "/v1/AUTH_a/", "/volumes/", "/swift/v1/"] {
            assert_eq!(Place::read(path), None, "{path}");
        }
    }
}
