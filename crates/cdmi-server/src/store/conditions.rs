//! `If-Match` and `If-None-Match` as the store sees them: checked and acted upon under one lock.

use super::etag::Tag;
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
}

impl Conditions {
    pub(crate) fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Checks a change against the object's tag; `None` is no such object.
    pub(super) fn check(&self, tag: Option<Tag>) -> Result<()> {
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
