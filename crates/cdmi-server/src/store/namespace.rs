//! Objects as names: delete, copy, move.

use super::conditions::Conditions;
use super::meta::{Encoding, NewMeta};
use super::upload::Outcome;
use super::{Store, lock, split};
use crate::error::{Doing, Error, Result};
use rustix::fs::{self, AtFlags, RenameFlags};
use std::sync::Arc;

impl Store {
    /// Deletes an object; with `flush`, durably.
    pub(crate) fn delete(&self, path: &str, conditions: &Conditions, flush: bool) -> Result<()> {
        self.refuse_read_only()?;
        let (parent, name) = split(path);
        loop {
            let _pass = self.freezer.enter(&[path]);
            let _name = self.lock_name(path);
            let entry = self.load_locked(path)?;
            let _gate = entry.gate_alone()?;
            if entry.is_dead() {
                continue;
            }
            conditions.check(path, Some(&entry))?;
            let directory = self.root.open_dir(parent)?;
            fs::unlinkat(&directory, name, AtFlags::empty()).doing("delete the object")?;
            entry.kill();
            self.table.remove(path);
            self.ids.forget(&entry.meta().id);
            break;
        }
        if flush { self.root.sync_dir(parent) } else { Ok(()) }
    }

    /// Makes `to` an object with the value of `from` as it is at one moment, and its type and metadata unless given.
    pub(crate) fn copy(
        self: &Arc<Self>,
        from: &str,
        to: &str,
        new: &NewMeta,
        conditions: &Conditions,
        flush: bool,
    ) -> Result<Outcome> {
        self.check_upload(to, conditions)?;
        let mut upload = self.upload()?;
        let source = loop {
            let entry = self.lookup(from)?;
            let _gate = entry.gate_alone()?;
            if entry.is_dead() {
                continue;
            }
            upload.clone_from(&entry.file, entry.stat()?.size)?;
            break entry.meta();
        };
        let encoding: Encoding = new.encoding.unwrap_or(source.encoding);
        let new = NewMeta {
            mimetype: Some(new.mimetype.clone().unwrap_or_else(|| source.mimetype.clone())),
            encoding: Some(encoding),
            metadata: Some(new.metadata.clone().unwrap_or_else(|| source.metadata.clone())),
        };
        upload.commit(to, &new, conditions, flush)
    }

    /// Gives an object another name; it keeps its ID. An object at `to` is replaced. Neither may be locked.
    pub(crate) fn rename(
        &self,
        from: &str,
        to: &str,
        conditions: &Conditions,
        flush: bool,
    ) -> Result<Outcome> {
        self.refuse_read_only()?;
        if from == to {
            return Err(Error::bad("an object cannot be moved onto itself"));
        }
        let created = loop {
            let _pass = self.freezer.enter(&[from, to]);
            let (a, b) = (
                self.stripe(from).min(self.stripe(to)),
                self.stripe(from).max(self.stripe(to)),
            );
            let _first = lock(&self.names[a]);
            let _second = (a != b).then(|| lock(&self.names[b]));
            let source = self.load_locked(from)?;
            let target = self.find_locked(to)?;
            let (mut of_one, mut of_two) = (None, None);
            match &target {
                None => of_one = Some(source.gate_alone()?),
                Some(target) => of_two = Some(source.gate_alone_with(target)?),
            }
            if source.is_dead() || target.as_ref().is_some_and(|target| target.is_dead()) {
                continue;
            }
            conditions.check_tag(target.as_ref().map(|target| target.tag()))?;
            // The token is of one object, and here are two.
            for entry in [Some(&source), target.as_ref()].into_iter().flatten() {
                if let Some(held) = entry.lock()? {
                    return Err(held.refusal(&entry.path));
                }
            }
            let (old_dir, new_dir) = (
                self.root.open_dir(split(from).0)?,
                self.root.open_dir(split(to).0)?,
            );
            let flags = if target.is_some() {
                RenameFlags::empty()
            } else {
                RenameFlags::NOREPLACE
            };
            match fs::renameat_with(&old_dir, split(from).1, &new_dir, split(to).1, flags) {
                // Another server, or program, made it.
                Err(rustix::io::Errno::EXIST) if target.is_none() => continue,
                other => other.doing("move the object")?,
            }
            drop((of_one.take(), of_two.take()));
            source.kill();
            self.table.remove(from);
            if let Some(target) = &target {
                target.kill();
                self.ids.forget(&target.meta().id);
            }
            self.table.remove(to);
            self.ids.note(&source.meta().id, to);
            break target.is_none();
        };
        let entry = self.lookup(to)?;
        if flush {
            self.make_durable(&entry)?;
            self.root.sync_dir(split(from).0)?;
        }
        Ok(Outcome {
            created,
            tag: entry.tag(),
        })
    }
}
