//! Where things are: account, container and folder of a store's URL, and the path of a blob.

use crate::http::{Endpoint, quote};
use crate::{Key, StoreError};
use percent_encoding::percent_decode_str;
use restblk_types::ErrorKind;

/// The folder of a container that is the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The storage account, where it is known.
    pub(super) account: Option<String>,
    /// Quoted path of the container, without a slash at its end.
    pub(super) container: String,
    /// What every blob's name begins with: empty, or a folder with a slash at its end.
    pub(super) prefix: String,
}

impl Place {
    /// Reads a URL: `https://ACCOUNT.blob.core.windows.net/CONTAINER[/FOLDER]`, or, where the account's name is not the host's
    /// first part, `http://HOST/ACCOUNT/CONTAINER[/FOLDER]`, as emulators and addresses have it.
    pub(super) fn find(endpoint: &Endpoint, account: Option<&str>) -> Result<Self, StoreError> {
        let host = endpoint.host_name();
        let mut parts = endpoint
            .prefix()
            .split('/')
            .filter(|part| !part.is_empty())
            .peekable();
        let label = host.split('.').next().unwrap_or_default();
        let in_path = match account {
            Some(account) if label == account => false,
            // Else it is a domain of the account's own.
            Some(account) => parts.peek() == Some(&account),
            None => !host.contains(".blob."),
        };
        let mut container = String::new();
        let mut account = account.map(str::to_owned);
        if in_path {
            let name = parts.next().unwrap_or_default();
            container = format!("/{name}");
            account.get_or_insert_with(|| name.to_owned());
        } else if host.contains(".blob.") {
            account.get_or_insert_with(|| label.to_owned());
        }
        let Some(name) = parts.next() else {
            let reason = "its URL names no container: write https://ACCOUNT.blob.core.windows.net/CONTAINER[/FOLDER], or \
                          http://HOST:PORT/ACCOUNT/CONTAINER[/FOLDER]; a domain of your own needs the setting `account`";
            return Err(StoreError::new(ErrorKind::Invalid, "open", endpoint, reason));
        };
        container.push('/');
        container.push_str(name);
        let mut prefix = String::new();
        for part in parts {
            prefix.push_str(&percent_decode_str(part).decode_utf8_lossy());
            prefix.push('/');
        }
        Ok(Self {
            account,
            container,
            prefix,
        })
    }

    /// The quoted path of a blob.
    pub(super) fn blob(&self, key: &Key) -> String {
        let mut path = String::with_capacity(self.container.len() + key.as_str().len() + 48);
        path.push_str(&self.container);
        for part in self.prefix.split('/').filter(|part| !part.is_empty()) {
            path.push('/');
            path.extend(quote(part));
        }
        for part in key.components() {
            path.push('/');
            path.extend(quote(part));
        }
        path
    }

    /// What the names of a folder's blobs begin with.
    pub(super) fn folder(&self, folder: Option<&Key>) -> String {
        match folder {
            Some(folder) => format!("{}{folder}/", self.prefix),
            None => self.prefix.clone(),
        }
    }
}

/// Why the service cannot keep this name exactly, if it cannot: it takes a backslash for a slash, and drops dots at the end
/// of a part ("Naming and Referencing Containers, Blobs, and Metadata").
pub(super) fn unfit(key: &Key) -> Option<&'static str> {
    if key.as_str().contains('\\') {
        return Some("Azure Blob takes a backslash for a slash: choose another name");
    }
    key.components()
        .any(|part| part.ends_with('.'))
        .then_some("Azure Blob drops a dot at the end of a name: choose another name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(url: &str, account: Option<&str>) -> Place {
        Place::find(&url.parse().unwrap(), account).unwrap()
    }

    #[test]
    fn urls_of_both_forms_are_read() {
        for (url, account, wanted) in [
            ("https://a.blob.core.windows.net/c", None, (Some("a"), "/c", "")),
            (
                "https://a.blob.core.windows.net/c/x y/z",
                Some("a"),
                (Some("a"), "/c", "x y/z/"),
            ),
            ("http://127.0.0.1:10000/dev/c", None, (Some("dev"), "/dev/c", "")),
            (
                "http://127.0.0.1:10000/dev/c/f",
                Some("dev"),
                (Some("dev"), "/dev/c", "f/"),
            ),
            ("https://store.example.com/c", Some("a"), (Some("a"), "/c", "")),
            ("http://azurite:10000/dev/c", None, (Some("dev"), "/dev/c", "")),
        ] {
            let place = find(url, account);
            let found = (
                place.account.as_deref(),
                place.container.as_str(),
                place.prefix.as_str(),
            );
            assert_eq!(found, wanted, "{url}");
        }
        for url in ["https://a.blob.core.windows.net", "http://127.0.0.1/dev"] {
            assert!(Place::find(&url.parse().unwrap(), None).is_err(), "{url}");
        }
    }

    #[test]
    fn blobs_are_below_the_folder_and_quoted() {
        let place = find("https://a.blob.core.windows.net/c/x y", None);
        let key = Key::new("a b/100%/ü?#").unwrap();
        assert_eq!(place.blob(&key), "/c/x%20y/a%20b/100%25/%C3%BC%3F%23");
        assert_eq!(place.folder(Some(&key)), "x y/a b/100%/ü?#/");
        assert_eq!(place.folder(None), "x y/");
    }

    #[test]
    fn names_that_the_service_would_change_are_unfit() {
        for name in ["a.", "a./b", "...", "a\\b"] {
            assert!(unfit(&Key::new(name).unwrap()).is_some(), "{name}");
        }
        assert_eq!(unfit(&Key::new(".restblk/a.b").unwrap()), None);
    }
}
