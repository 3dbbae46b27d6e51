//! From an object ID to its path.
//!
//! The truth is the attribute in each file; this is an index in memory, filled by one walk over the tree when the first ID is asked
//! for, and checked against the attribute at each use. A walk costs one open a file; an unknown ID starts at most one in
//! [`WALK_INTERVAL`].

use super::meta::Meta;
use super::root::{HIDDEN, read_dir};
use super::{Store, lock, object_id};
use crate::error::{Error, Result};
use rustix::fs::FileType;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const WALK_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Ids {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    paths: HashMap<String, String>,
    walked: Option<Instant>,
}

impl Ids {
    /// Remembers a new or moved object. Before the first walk there is nothing to keep up to date.
    pub(super) fn note(&self, id: &str, path: &str) {
        let mut state = lock(&self.state);
        if state.walked.is_some() {
            state.paths.insert(id.to_owned(), path.to_owned());
        }
    }

    pub(super) fn forget(&self, id: &str) {
        lock(&self.state).paths.remove(id);
    }

    pub(super) fn resolve(&self, store: &Store, id: &str) -> Result<String> {
        let id = id.to_ascii_uppercase();
        if !object_id::valid(&id) {
            return Err(Error::bad(
                "this is not an object ID: its form or its checksum is wrong",
            ));
        }
        if let Some(path) = self.checked(store, &id) {
            return Ok(path);
        }
        let due = lock(&self.state)
            .walked
            .is_none_or(|at| at.elapsed() >= WALK_INTERVAL);
        if due {
            let mut found = HashMap::new();
            walk(store, "", &mut found)?;
            let mut state = lock(&self.state);
            state.paths.extend(found);
            state.walked = Some(Instant::now());
        }
        self.checked(store, &id)
            .ok_or(Error::NotFound(format!("cdmi_objectid/{id}")))
    }

    fn checked(&self, store: &Store, id: &str) -> Option<String> {
        let path = lock(&self.state).paths.get(id).cloned()?;
        let found = match path.strip_suffix('/') {
            Some(container) => store.container(container).ok()?.meta.id,
            None if path.is_empty() => store.container("").ok()?.meta.id,
            None => store.lookup(&path).ok()?.meta().id.clone(),
        };
        (found == id).then_some(path)
    }
}

fn walk(store: &Store, path: &str, found: &mut HashMap<String, String>) -> Result<()> {
    let dir = match store.root.open_dir(path) {
        Err(error) if error.status() == http::StatusCode::NOT_FOUND => return Ok(()),
        other => other?,
    };
    if let Some(meta) = Meta::load(&dir)? {
        found.insert(
            meta.id,
            if path.is_empty() {
                String::new()
            } else {
                format!("{path}/")
            },
        );
    }
    let children = read_dir(dir.as_fd()).map_err(|errno| Error::Io {
        what: "list the container",
        source: errno.into(),
    })?;
    for (name, kind) in children {
        let Ok(name) = name.into_string() else { continue };
        let child = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}/{name}")
        };
        match kind {
            FileType::Directory if child != HIDDEN => walk(store, &child, found)?,
            FileType::RegularFile => {
                // Objects that vanish or cannot be read meanwhile have no path to find.
                if let Ok(file) = store.root.open_object(&child, true)
                    && let Ok(Some(meta)) = Meta::load(&file)
                {
                    found.insert(meta.id, child);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
