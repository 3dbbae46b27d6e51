//! The targets of requests: quoted paths below the endpoint's prefix.

use crate::Key;
use crate::http::quote;

/// Component names that CDMI gives a meaning of its own.
const RESERVED: [&str; 5] = [
    "cdmi_objectid",
    "cdmi_capabilities",
    "cdmi_domains",
    "cdmi_snapshots",
    "cdmi_object_ids",
];

/// The object's path, with room for a query.
pub(super) fn object(prefix: &str, key: &Key) -> String {
    let mut target = String::with_capacity(prefix.len() + key.as_str().len() + 48);
    target.push_str(prefix);
    for (at, component) in key.components().enumerate() {
        if at != 0 {
            target.push('/');
        }
        target.extend(quote(component));
    }
    target
}

/// The folder's path: ends with a slash.
pub(super) fn folder(prefix: &str, folder: Option<&Key>) -> String {
    match folder {
        None => prefix.to_owned(),
        Some(folder) => object(prefix, folder) + "/",
    }
}

/// A component that no object can have, if there is one.
pub(super) fn reserved(key: &Key) -> Option<&str> {
    key.components()
        .find(|component| component.starts_with("cdmi_") && RESERVED.contains(component))
}

/// The container that holds this container or object, unless it is the root: both end with a slash.
pub(super) fn parent(path: &str) -> Option<&str> {
    let inner = path.strip_suffix('/').unwrap_or(path);
    let at = inner.rfind('/')?;
    (at > 0).then(|| &path[..=at])
}

/// Candidates for the root URI of CDMI, where `cdmi_capabilities/` and `cdmi_objectid/` are; the likeliest first.
pub(super) fn roots(prefix: &str) -> Vec<&str> {
    let mut roots: Vec<&str> = Vec::new();
    if let Some(at) = prefix.find("/cdmi/") {
        let after = at + "/cdmi/".len();
        if let Some(len) = prefix[after..].find('/') {
            roots.push(&prefix[..=after + len]);
        }
    }
    let mut next = Some(prefix);
    while let Some(path) = next {
        roots.push(path);
        next = parent(path);
    }
    roots.push("/");
    let mut seen = Vec::new();
    roots.retain(|root| !seen.contains(root) && (seen.push(*root), true).1);
    roots.truncate(8);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted() {
        let key = Key::new("a b/100%/ü?#;:@/x").unwrap();
        assert_eq!(object("/p/", &key), "/p/a%20b/100%25/%C3%BC%3F%23%3B%3A%40/x");
        assert_eq!(
            folder("/p/", Some(&key)),
            "/p/a%20b/100%25/%C3%BC%3F%23%3B%3A%40/x/"
        );
        assert_eq!(folder("/", None), "/");
        assert_eq!(
            reserved(&Key::new("a/cdmi_objectid/x").unwrap()),
            Some("cdmi_objectid")
        );
        assert_eq!(reserved(&key), None);
    }

    #[test]
    fn parents_end_at_the_root() {
        assert_eq!(parent("/a/b/c"), Some("/a/b/"));
        assert_eq!(parent("/a/b/"), Some("/a/"));
        assert_eq!(parent("/a/"), None);
        assert_eq!(parent("/"), None);
    }

    #[test]
    fn the_root_is_looked_for_where_it_is_likely() {
        assert_eq!(
            roots("/cdmi/2.0.0/pool/"),
            ["/cdmi/2.0.0/", "/cdmi/2.0.0/pool/", "/cdmi/", "/"]
        );
        assert_eq!(roots("/x/"), ["/x/", "/"]);
        assert_eq!(roots("/"), ["/"]);
    }
}
