//! The one answer that each request gets.
//!
//! A reply that is dropped unanswered (its future was dropped, or panicked) answers EIO: the kernel waits for
//! ever otherwise.

use crate::{session::Session, wire};
use bytes::Bytes;
use restblk_block::BlockError;
use rustix::io::Errno;
use std::{
    io::IoSlice,
    iter,
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
        self.send(0, body.len(), iter::once(body));
    }

    /// Success with these pieces, or the device's error.
    pub(crate) fn pieces_or_error(mut self, result: Result<Vec<Bytes>, BlockError>) {
        match result {
            Ok(pieces) => self.send(
                0,
                pieces.iter().map(Bytes::len).sum(),
                pieces.iter().map(Bytes::as_ref),
            ),
            Err(error) => self.refuse(&error),
        }
    }

    /// An errno, positive.
    pub(crate) fn error(mut self, errno: i32) {
        self.send(errno, 0, iter::empty());
    }

    /// Success without data, or the device's error.
    pub(crate) fn done(self, result: Result<(), BlockError>) {
        self.data_or_error(result, &[]);
    }

    /// Success with these data, or the device's error.
    pub(crate) fn data_or_error(mut self, result: Result<(), BlockError>, body: &[u8]) {
        match result {
            Ok(()) => self.data(body),
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&mut self, error: &BlockError) {
        tracing::debug!(%error, "a request failed");
        self.send(error.errno(), 0, iter::empty());
    }

    fn send<'a>(&mut self, errno: i32, len: usize, body: impl Iterator<Item = &'a [u8]>) {
        self.answered = true;
        let header = wire::reply_header(self.unique, errno, len);
        let mut parts = vec![IoSlice::new(&header)];
        for part in body.filter(|part| !part.is_empty()) {
            parts.push(IoSlice::new(part));
        }
        match rustix::io::writev(&self.session.fuse, &parts) {
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
            self.send(Errno::IO.raw_os_error(), 0, iter::empty());
        }
        self.session.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
