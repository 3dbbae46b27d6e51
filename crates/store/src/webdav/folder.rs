//! Folders: made where they are missing, listed, measured.

use super::client::{WebdavStore, method};
use crate::{Entry, Key, Page, StoreError, Usage};
use restblk_types::ErrorKind;

/// How names of temporary objects begin; they are in no listing.
pub(super) const TEMPORARY: &str = ".restblk-tmp-";

/// What became of a folder that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Made,
    There,
    /// The one above it is missing too.
    Orphan,
}

impl WebdavStore {
    /// The folder's path: ends with a slash.
    fn folder_target(&self, folder: Option<&Key>) -> String {
        match folder {
            None => self.http.endpoint().prefix().to_owned(),
            Some(folder) => self.target(folder) + "/",
        }
    }

    /// The path of the folder that holds the object.
    pub(super) fn folder_above(&self, object: &Key) -> String {
        let mut path = self.target(object);
        path.truncate(path.rfind('/').map_or(0, |at| at + 1));
        path
    }

    /// The paths of the folders above the object, the pool's own included, the innermost first.
    fn folders_above(&self, object: &Key) -> Vec<String> {
        let target = self.target(object);
        let mut paths = Vec::new();
        let mut path = target.as_str();
        while let Some(at) = path.rfind('/').filter(|&at| at > 0) {
            path = &path[..at];
            paths.push(format!("{path}/"));
        }
        paths
    }

    /// Makes the folders above the object that are missing; true where there were some.
    pub(super) async fn make_folders(&self, object: &Key) -> Result<bool, StoreError> {
        let above = self.folders_above(object);
        // Up to one that is there or can be made, and down again: a server that denies what was just made is not asked for ever.
        for (at, path) in above.iter().enumerate() {
            let folder = self.make_folder(path, object).await?;
            if folder != Folder::Orphan {
                for path in above[..at].iter().rev() {
                    self.make_folder(path, object).await?;
                }
                self.folders.seen(&above[0]);
                return Ok(at > 0 || folder == Folder::Made);
            }
        }
        Ok(false)
    }

    async fn make_folder(&self, path: &str, object: &Key) -> Result<Folder, StoreError> {
        let call = self.call(method("MKCOL"), path.to_owned(), Vec::new());
        let answer = self.ask(call, "make a folder for", object, true).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(Folder::Made),
            // It exists (RFC 4918, 9.3.1). A server without MKCOL says 405 or 501 too.
            405 | 501 => Ok(Folder::There),
            404 | 409 => Ok(Folder::Orphan),
            // Racing makers of one folder: Apache tells the later ones that they may not.
            403 if self.is_folder(path, object).await => Ok(Folder::There),
            _ => Err(self.refused(answer, "make a folder for", object, true)),
        }
    }

    async fn is_folder(&self, path: &str, object: &Key) -> bool {
        let found = self
            .properties(
                path.to_owned(),
                false,
                "<resourcetype/>",
                "make a folder for",
                object,
            )
            .await;
        matches!(found, Ok(Some(found)) if found.first().is_some_and(|found| found.is_folder))
    }

    /// All objects of the folder: the protocol has no pages.
    pub(super) async fn children(&self, folder: Option<&Key>) -> Result<Page, StoreError> {
        let shown = folder.map_or("/", Key::as_str);
        if !self.can.list {
            return Err(self.unsupported("list", &shown, "list folders"));
        }
        let found = self
            .properties(
                self.folder_target(folder),
                true,
                "<resourcetype/><getcontentlength/>",
                "list",
                &shown,
            )
            .await?;
        let mut page = Page::default();
        for child in found.unwrap_or_default() {
            if child.is_folder || child.name.starts_with(TEMPORARY) {
                continue;
            }
            let name = match folder {
                Some(folder) => format!("{folder}/{}", child.name),
                None => child.name,
            };
            // What is no key is none of ours.
            if let Ok(key) = Key::new(name) {
                page.entries.push(Entry {
                    key,
                    size: child.size,
                });
            }
        }
        Ok(page)
    }

    /// RFC 4331's quotas of the pool's folder.
    pub(super) async fn quota(&self) -> Result<Option<Usage>, StoreError> {
        let found = self
            .properties(
                self.folder_target(None),
                false,
                "<quota-available-bytes/><quota-used-bytes/>",
                "measure",
                &"the store",
            )
            .await;
        let found = match found {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            found => found?.unwrap_or_default().into_iter().next(),
        };
        let Some(found) = found else { return Ok(None) };
        let (used, available) = (found.quota_used, found.quota_available);
        if used.is_none() && available.is_none() {
            return Ok(None);
        }
        Ok(Some(Usage {
            total: used
                .zip(available)
                .and_then(|(used, available)| used.checked_add(available)),
            used,
            available,
        }))
    }
}
