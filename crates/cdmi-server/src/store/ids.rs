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
/// The same where other servers make objects too: an ID that is not known is then looked for at once, or so much later.
const WALK_INTERVAL_SHARED: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Ids {
    state: Mutex<State>,
    /// One walk at a time, where others wait for its outcome.
    walking: Mutex<()>,
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
        if store.sharing.is_some() {
            self.walk_in_turn(store, &id)?;
        } else if self.age().is_none_or(|age| age >= WALK_INTERVAL) {
            self.walk(store)?;
        }
        self.checked(store, &id)
            .ok_or(Error::NotFound(format!("cdmi_objectid/{id}")))
    }

    /// How long ago the last walk began.
    fn age(&self) -> Option<Duration> {
        Some(lock(&self.state).walked?.elapsed())
    }

    fn walk(&self, store: &Store) -> Result<()> {
        let (begun, mut found) = (Instant::now(), HashMap::new());
        walk(store, "", &mut found)?;
        let mut state = lock(&self.state);
        state.paths.extend(found);
        state.walked = Some(begun);
        Ok(())
    }

    /// Walks unless somebody did since this was called: what another server made before is found.
    fn walk_in_turn(&self, store: &Store, id: &str) -> Result<()> {
        let asked = Instant::now();
        let _one = lock(&self.walking);
        if self.checked(store, id).is_some() || lock(&self.state).walked.is_some_and(|begun| begun >= asked) {
            return Ok(());
        }
        if let Some(early) = self.age().and_then(|age| WALK_INTERVAL_SHARED.checked_sub(age)) {
            std::thread::sleep(early);
        }
        self.walk(store)
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
