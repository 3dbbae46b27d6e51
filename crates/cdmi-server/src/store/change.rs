//! Changes in place: ranged write, set size, punch, metadata, lock, flush.
//!
//! A change either happens or leaves the object as it was: space for a write is taken before the first byte is written, so that
//! a full disk is found out in time (a copy-on-write file system may still run out when it rewrites shared blocks).

use super::conditions::Conditions;
use super::entry::Entry;
use super::etag::Tag;
use super::meta::MetaChange;
use super::object_lock::{self, Held, LockToken};
use super::{Store, split};
use crate::error::{Doing, Error, Result};
use rustix::fs::{self, FallocateFlags, SeekFrom};
use rustix::io::Errno;
use std::os::unix::fs::FileExt;

impl Store {
    /// Writes bytes at an offset; a gap before them reads as zero.
    pub(crate) fn write(
        &self,
        path: &str,
        offset: u64,
        bytes: &[u8],
        conditions: &Conditions,
        flush: bool,
    ) -> Result<Tag> {
        let end = offset
            .checked_add(bytes.len() as u64)
            .filter(|end| i64::try_from(*end).is_ok());
        let end =
            end.ok_or_else(|| Error::TooLarge("the range ends after what a file can hold".to_owned()))?;
        self.change(path, conditions, flush, |entry| {
            let _changing = entry.begin(&self.tags)?;
            reserve(entry, offset, end)?;
            entry.file.write_all_at(bytes, offset).doing("write the range")
        })
    }

    /// Grows an object by zeros or cuts it.
    pub(crate) fn set_size(
        &self,
        path: &str,
        size: u64,
        conditions: &Conditions,
        flush: bool,
    ) -> Result<Tag> {
        self.change(path, conditions, flush, |entry| {
            if entry.stat()?.size == size {
                return Ok(());
            }
            let _changing = entry.begin(&self.tags)?;
            match fs::ftruncate(&entry.file, size) {
                // ftruncate takes a signed size and says EINVAL above it.
                Err(Errno::INVAL) => Err(Errno::FBIG).doing("set the size"),
                other => other.doing("set the size"),
            }
        })
    }

    /// Makes the bytes `first..=last` zero and gives their space back; the size stays.
    pub(crate) fn punch(
        &self,
        path: &str,
        first: u64,
        last: u64,
        conditions: &Conditions,
        flush: bool,
    ) -> Result<Tag> {
        self.change(path, conditions, flush, |entry| {
            let end = last.saturating_add(1).min(entry.stat()?.size);
            if first >= end {
                return Ok(());
            }
            let _changing = entry.begin(&self.tags)?;
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fs::fallocate(&entry.file, flags, first, end - first) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(entry, first, end),
                other => other.doing("punch the range"),
            }
        })
    }

    /// Changes type and metadata.
    pub(crate) fn set_meta(
        &self,
        path: &str,
        change: &MetaChange,
        conditions: &Conditions,
        flush: bool,
    ) -> Result<Tag> {
        // Two changes read, merge and write the fields, so they exclude each other even when no condition is given.
        self.at_gate(path, true, flush, |entry| {
            conditions.check(path, Some(entry))?;
            crate::peer::still_there()?;
            let _changing = entry.begin(&self.tags)?;
            entry.set_meta(entry.meta().changed(change))
        })
    }

    /// Locks the object for `claim`, durably. Where somebody else has it locked, only with `steal`; no change of theirs lands after
    /// that.
    pub(crate) fn lock_object(
        &self,
        path: &str,
        claim: &Held,
        steal: bool,
        conditions: &Conditions,
    ) -> Result<Tag> {
        self.at_gate(path, true, true, |entry| {
            conditions.check_tag(Some(entry.tag()))?;
            // What is stolen may be unreadable.
            let held = if steal { None } else { entry.lock()? };
            match held {
                Some(held) if !held.is_by(claim) => return Err(held.refusal(path)),
                Some(_) => return Ok(()),
                None => {}
            }
            crate::peer::still_there()?;
            entry.set_lock(Some(claim))
        })
    }

    /// Ends the lock that has this token, durably; that nobody has the object locked is as good.
    pub(crate) fn unlock_object(
        &self,
        path: &str,
        token: &LockToken,
        conditions: &Conditions,
    ) -> Result<Tag> {
        self.at_gate(path, true, true, |entry| {
            conditions.check_tag(Some(entry.tag()))?;
            let Some(held) = entry.lock()? else {
                return Ok(());
            };
            object_lock::check(path, Some(&held), Some(token))?;
            crate::peer::still_there()?;
            entry.set_lock(None)
        })
    }

    /// Fails where a change with these conditions would.
    pub(crate) fn check_conditions(&self, path: &str, conditions: &Conditions) -> Result<Tag> {
        let entry = self.lookup(path)?;
        conditions.check(path, Some(&entry))?;
        Ok(entry.tag())
    }

    /// Makes every answered change of the object durable.
    pub(crate) fn flush(&self, path: &str, conditions: &Conditions) -> Result<Tag> {
        let entry = self.lookup(path)?;
        conditions.check_flush(&entry)?;
        self.refuse_read_only()?;
        self.make_durable(&entry)?;
        Ok(entry.tag())
    }

    /// Makes the names in a container durable.
    pub(crate) fn flush_container(&self, path: &str) -> Result<()> {
        self.root.sync_dir(path)
    }

    pub(super) fn make_durable(&self, entry: &Entry) -> Result<()> {
        let synced = entry.sync();
        self.note_loss(entry);
        if synced? {
            self.root.sync_dir(split(&entry.path).0)?;
            entry.name_is_durable();
        }
        Ok(())
    }

    fn change(
        &self,
        path: &str,
        conditions: &Conditions,
        flush: bool,
        change: impl Fn(&Entry) -> Result<()>,
    ) -> Result<Tag> {
        self.at_gate(path, conditions.need_gate_alone(), flush, |entry| {
            conditions.check(path, Some(entry))?;
            crate::peer::still_there()?;
            change(entry)
        })
    }

    /// Does something to the object under its gate, and answers with the tag that it has then; with `flush` once it is durable.
    fn at_gate(
        &self,
        path: &str,
        alone: bool,
        flush: bool,
        act: impl Fn(&Entry) -> Result<()>,
    ) -> Result<Tag> {
        self.refuse_read_only()?;
        loop {
            let pass = self.freezer.enter(&[path]);
            let entry = self.lookup(path)?;
            let (mut shared, mut whole) = (None, None);
            if alone {
                whole = Some(entry.gate_alone()?);
            } else {
                shared = Some(entry.gate_shared()?);
            }
            if entry.is_dead() {
                continue;
            }
            act(&entry)?;
            let tag = entry.tag();
            drop((shared.take(), whole.take(), pass));
            if flush {
                self.make_durable(&entry)?;
            }
            return Ok(tag);
        }
    }
}

/// Takes space for the holes in a range, so that the write cannot fail half-way for want of it.
fn reserve(entry: &Entry, offset: u64, end: u64) -> Result<()> {
    if offset == end || fs::seek(&entry.file, SeekFrom::Hole(offset)).is_ok_and(|hole| hole >= end) {
        return Ok(());
    }
    match fs::fallocate(&entry.file, FallocateFlags::KEEP_SIZE, offset, end - offset) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        other => other.doing("take space for the range"),
    }
}

fn write_zeros(entry: &Entry, mut at: u64, end: u64) -> Result<()> {
    let zeros = vec![0; 64 << 10];
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(zeros.len());
        entry
            .file
            .write_all_at(&zeros[..length], at)
            .doing("zero the range")?;
        at += length as u64;
    }
    Ok(())
}
