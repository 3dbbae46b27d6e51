//! What is in the tree, by name.
//!
//! ```text
//! add_urls remove_urls urls create extend destroy volumes attach detach last_error
//! devices/<device>/srb_debug srb_urls srb_name srb_size
//! pools/<pool>/…the same
//! ```
//! The top is the default pool; the others lie under `pools`. Devices have a folder of their own so that none can take
//! a file's name.

use restblk_types::PoolName;

/// The pool that a part of the tree speaks of; nothing: the default one.
pub(crate) type Scope = Option<PoolName>;

/// A file of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum File {
    AddUrls,
    RemoveUrls,
    Urls,
    Create,
    Extend,
    Destroy,
    Volumes,
    Attach,
    Detach,
    LastError,
}

impl File {
    pub(crate) const ALL: [(Self, &'static str); 10] = [
        (Self::AddUrls, "add_urls"),
        (Self::RemoveUrls, "remove_urls"),
        (Self::Urls, "urls"),
        (Self::Create, "create"),
        (Self::Extend, "extend"),
        (Self::Destroy, "destroy"),
        (Self::Volumes, "volumes"),
        (Self::Attach, "attach"),
        (Self::Detach, "detach"),
        (Self::LastError, "last_error"),
    ];
}

/// A file of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DeviceFile {
    Debug,
    Urls,
    Name,
    Size,
}

impl DeviceFile {
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Debug, "srb_debug"),
        (Self::Urls, "srb_urls"),
        (Self::Name, "srb_name"),
        (Self::Size, "srb_size"),
    ];
}

/// A file or folder of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// The top, or the folder of a pool.
    Pool(Scope),
    Pools,
    Devices(Scope),
    Device(Scope, String),
    File(Scope, File),
    DeviceFile(Scope, String, DeviceFile),
}

impl Node {
    pub(crate) const ROOT: Self = Self::Pool(None);

    pub(crate) fn is_folder(&self) -> bool {
        matches!(
            self,
            Self::Pool(_) | Self::Pools | Self::Devices(_) | Self::Device(..)
        )
    }

    /// Whether commands are written to it.
    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::File(_, file) => !matches!(file, File::Urls | File::Volumes | File::LastError),
            Self::DeviceFile(_, _, file) => *file == DeviceFile::Debug,
            _ => false,
        }
    }

    /// The permission bits: all of it is root's.
    pub(crate) fn mode(&self) -> u16 {
        match (self.is_folder(), self.is_writable()) {
            (true, _) => 0o700,
            (false, true) => 0o600,
            (false, false) => 0o400,
        }
    }

    /// Its child of this name, if there can be one. Whether a pool or a device exists, only the daemon knows.
    pub(crate) fn child(&self, name: &str) -> Option<Self> {
        match self {
            Self::Pool(scope) => match name {
                "devices" => Some(Self::Devices(scope.clone())),
                "pools" if scope.is_none() => Some(Self::Pools),
                _ => named(&File::ALL, name).map(|file| Self::File(scope.clone(), file)),
            },
            Self::Pools => name.parse().ok().map(|pool| Self::Pool(Some(pool))),
            Self::Devices(scope) => Some(Self::Device(scope.clone(), name.to_owned())),
            Self::Device(scope, device) => named(&DeviceFile::ALL, name)
                .map(|file| Self::DeviceFile(scope.clone(), device.clone(), file)),
            Self::File(..) | Self::DeviceFile(..) => None,
        }
    }

    /// The children whose names never change.
    pub(crate) fn fixed_children(&self) -> Vec<&'static str> {
        match self {
            Self::Pool(scope) => {
                let files = File::ALL.iter().map(|(_, name)| *name);
                files
                    .chain(["devices"])
                    .chain(scope.is_none().then_some("pools"))
                    .collect()
            }
            Self::Device(..) => DeviceFile::ALL.iter().map(|(_, name)| *name).collect(),
            _ => Vec::new(),
        }
    }
}

fn named<T: Copy>(all: &[(T, &str)], name: &str) -> Option<T> {
    all.iter()
        .find(|(_, known)| *known == name)
        .map(|(file, _)| *file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(path: &str) -> Option<Node> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(Node::ROOT, |node, name| node.child(name))
    }

    #[test]
    fn paths_lead_to_nodes() {
        let main: Scope = Some("main".parse().unwrap());
        assert_eq!(walk("/create"), Some(Node::File(None, File::Create)));
        assert_eq!(walk("/pools/main/urls"), Some(Node::File(main, File::Urls)));
        assert_eq!(
            walk("/devices/d/srb_size"),
            Some(Node::DeviceFile(None, "d".into(), DeviceFile::Size))
        );
        for path in [
            "/nothing",
            "/pools/main/pools",
            "/pools/.hidden",
            "/create/x",
            "/devices/d/urls",
        ] {
            assert_eq!(walk(path), None, "{path}");
        }
    }

    #[test]
    fn modes_are_those_of_the_driver() {
        for (path, mode) in [
            ("/create", 0o600),
            ("/urls", 0o400),
            ("/volumes", 0o400),
            ("/devices/d/srb_debug", 0o600),
            ("/", 0o700),
        ] {
            assert_eq!(walk(path).unwrap().mode(), mode, "{path}");
        }
    }

    #[test]
    fn every_fixed_child_leads_somewhere() {
        for node in [
            Node::ROOT,
            Node::Device(None, "d".into()),
            walk("/pools/main").unwrap(),
        ] {
            for name in node.fixed_children() {
                assert!(node.child(name).is_some(), "{name}");
            }
        }
    }
}
