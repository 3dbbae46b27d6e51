//! Makes a device from nothing: file system, loop device, holder. All of it blocks, on one thread.
//!
//! Invariant: a device that nobody receives (because the caller gave up meanwhile) is taken back.

use crate::{attached::Parts, filesystem, helper::HelperProgram, holder::Holder, loopback, session::Session};
use restblk_device::{DeviceError, loopdev::LoopSetup};
use rustix::fd::{AsFd, OwnedFd};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is to be made.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) session: Arc<Session>,
    pub(crate) mount: PathBuf,
    pub(crate) label: String,
    pub(crate) threads: u16,
    /// A loop device's number, if it is free.
    pub(crate) preferred: Option<u32>,
}

/// What was made, until somebody takes it over.
#[derive(Debug)]
pub(crate) struct Made {
    index: u32,
    mount: PathBuf,
    program: HelperProgram,
    /// None once taken over.
    attributes: Option<OwnedFd>,
    holder: Option<Holder>,
}

impl Fresh {
    /// Makes it, with a holder in the folder `hold_in`, where one is wanted and the kernel can go on with its help.
    pub(crate) fn make(self, program: HelperProgram, hold_in: Option<&Path>) -> Result<Made, DeviceError> {
        let geometry = self.session.device.geometry();
        let setup = LoopSetup {
            block_size: geometry.block_size.bytes(),
            read_only: geometry.features.read_only,
            label: format!("restblk:{}", self.label),
        };
        let root = filesystem::make(&self.session, self.threads)?;
        let path = self.session.path();
        let (index, attributes) = loopback::take(&program, root.as_fd(), &path, setup, self.preferred)?;
        drop(root);
        let mut made = Made {
            index,
            mount: self.mount,
            program,
            attributes: None,
            holder: None,
        };
        if let Some(run_dir) = hold_in
            && self.session.state.borrow().resend
        {
            made.holder = Holder::start(&made.program, run_dir, self.session.fuse(), attributes.as_fd())
                .inspect_err(|error| tracing::warn!(%error, index, "the device will end with the daemon"))
                .ok();
        }
        made.attributes = Some(attributes);
        Ok(made)
    }
}

impl Made {
    /// Takes it over.
    pub(crate) fn into_parts(mut self, session: Arc<Session>, threads: u16) -> Parts {
        let attributes = self
            .attributes
            .take()
            .expect("taken over once, as this takes self");
        let (mount, holder) = (std::mem::take(&mut self.mount), self.holder.take());
        Parts {
            index: self.index,
            mount,
            program: self.program.clone(),
            session,
            attributes,
            holder,
            threads,
            resumed: false,
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.attributes.take().is_none() {
            return;
        }
        if let Some(mut holder) = self.holder.take() {
            holder.quit();
        }
        if let Err(error) = loopback::abandon(&self.program, self.index, &self.mount) {
            tracing::warn!(%error, index = self.index, "an attachment that was given up leaves its loop device");
        }
    }
}
