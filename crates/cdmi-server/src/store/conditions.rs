//! `If-Match`, `If-None-Match` and the lock as the store sees them: checked and acted upon under one gate.

use super::entry::Entry;
use super::etag::Tag;
use super::object_lock::{self, LockToken};
use crate::error::{Error, Result};

/// The tags of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`
    Any,
    /// Strong tags with their quotes.
    List(Vec<String>),
}

impl Tags {
    fn contain(&self, tag: Tag) -> bool {
        match self {
            Tags::Any => true,
            Tags::List(list) => {
                let tag = tag.to_string();
                list.contains(&tag)
            }
        }
    }
}

/// What must hold for a request to be carried out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<Tags>,
    pub(crate) if_none_match: Option<Tags>,
    /// The object is locked with this token; without one, it is not locked.
    pub(crate) lock: Option<LockToken>,
}

impl Conditions {
    /// Whether a check of the tag holds only for as long as nobody else changes the object.
    pub(super) fn need_gate_alone(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Checks a change of what is at this path; `None` is no such object.
    pub(super) fn check(&self, path: &str, entry: Option<&Entry>) -> Result<()> {
        let held = entry.map(Entry::lock).transpose()?.flatten();
        object_lock::check(path, held.as_ref(), self.lock.as_ref())?;
        self.check_tag(entry.map(Entry::tag))
    }

    /// Checks a flush. It changes nothing, so the lock matters to those alone who say that it is theirs.
    pub(super) fn check_flush(&self, entry: &Entry) -> Result<()> {
        match self.lock {
            Some(_) => self.check(&entry.path, Some(entry)),
            None => self.check_tag(Some(entry.tag())),
        }
    }

    /// Checks a change against the object's tag; `None` is no such object.
    pub(super) fn check_tag(&self, tag: Option<Tag>) -> Result<()> {
        if let Some(tags) = &self.if_match
            && !tag.is_some_and(|tag| tags.contain(tag))
        {
            return Err(Error::Precondition(
                "the object is not the one that If-Match names; nothing was changed",
            ));
        }
        if let (Some(tags), Some(tag)) = (&self.if_none_match, tag)
            && tags.contain(tag)
        {
            return Err(Error::Precondition(
                "the object exists already; nothing was changed",
            ));
        }
        Ok(())
    }

    /// Checks a read.
    pub(crate) fn check_read(&self, tag: Tag) -> Result<()> {
        if let Some(tags) = &self.if_match
            && !tags.contain(tag)
        {
            return Err(Error::Precondition(
                "the object is not the one that If-Match names",
            ));
        }
        match &self.if_none_match {
            Some(tags) if tags.contain(tag) => Err(Error::NotModified(tag.to_string())),
            _ => Ok(()),
        }
    }
}
