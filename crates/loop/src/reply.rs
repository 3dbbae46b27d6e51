//! The one answer that each request gets.
//!
//! A reply that is dropped unanswered (its future was dropped, or panicked) answers EIO: the kernel waits for
//! ever otherwise.

use crate::{session::Session, wire};
use restblk_block::BlockError;
use rustix::io::Errno;
use std::{
    io::IoSlice,
    sync::{Arc, atomic::Ordering},
};

/// The right, and the duty, to answer a request.
#[derive(Debug)]
pub(crate) struct Reply {
    session: Arc<Session>,
    unique: u64,
    answered: bool,
}

impl Reply {
    pub(crate) fn new(session: &Arc<Session>, unique: u64) -> Self {
        session.in_flight.fetch_add(1, Ordering::AcqRel);
        Self {
            session: session.clone(),
            unique,
            answered: false,
        }
    }

    /// Success, with what was asked for.
    pub(crate) fn data(mut self, body: &[u8]) {
        self.send(0, body);
    }

    /// An errno, positive.
    pub(crate) fn error(mut self, errno: i32) {
        self.send(errno, &[]);
    }

    /// Success without data, or the device's error.
    pub(crate) fn done(self, result: Result<(), BlockError>) {
        self.data_or_error(result, &[]);
    }

    /// Success with these data, or the device's error.
    pub(crate) fn data_or_error(self, result: Result<(), BlockError>, body: &[u8]) {
        match result {
            Ok(()) => self.data(body),
            Err(error) => {
                tracing::debug!(%error, "a request failed");
                self.error(error.errno());
            }
        }
    }

    fn send(&mut self, errno: i32, body: &[u8]) {
        self.answered = true;
        let header = wire::reply_header(self.unique, errno, body.len());
        let parts = [IoSlice::new(&header), IoSlice::new(body)];
        let parts = if body.is_empty() { &parts[..1] } else { &parts[..] };
        match rustix::io::writev(&self.session.fuse, parts) {
            // Whoever asked has gone, or the file system has.
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => {}
            Err(error) => tracing::error!(%error, unique = self.unique, "failed to answer a request"),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.answered {
            tracing::error!(unique = self.unique, "a request was dropped without an answer");
            self.send(Errno::IO.raw_os_error(), &[]);
        }
        self.session.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
