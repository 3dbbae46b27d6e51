//! What is open: the command that is being written, and the content that is being read.
//!
//! A command is whole when what was written ends with a newline, as `echo` does, or when the file is closed. A write
//! that makes it whole returns how it ended; so does `close` for one without a newline, where few programs look.

use crate::content;
use crate::control::Control;
use crate::errno::Refusal;
use crate::execute;
use crate::node::Node;
use nix::errno::Errno;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest command: ten thousand URLs.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// An open file.
pub(crate) struct Handle {
    node: Node,
    /// One operation at a time, in the order in which they came.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    content: String,
}

impl Handle {
    fn new(node: Node) -> Self {
        Self {
            node,
            state: tokio::sync::Mutex::default(),
        }
    }

    /// Takes what is written, and does the command if it is whole now.
    pub(crate) async fn write(&self, control: &Control, data: &[u8]) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        if state.pending.len() + data.len() > COMMAND_BYTES_MAX {
            state.pending.clear();
            return Err(Refusal::new(
                Errno::EINVAL,
                format!("a command of more than {COMMAND_BYTES_MAX} bytes"),
            ));
        }
        state.pending.extend_from_slice(data);
        if !data.ends_with(b"\n") {
            return Ok(());
        }
        let command = std::mem::take(&mut state.pending);
        execute::write(control, &self.node, &command).await
    }

    /// Does the command that was written without a newline, if there is one.
    pub(crate) async fn close(&self, control: &Control) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        if state.pending.is_empty() {
            return Ok(());
        }
        let command = std::mem::take(&mut state.pending);
        execute::write(control, &self.node, &command).await
    }

    /// The content from `offset`; asked for anew at the beginning, so that one reader sees one state.
    pub(crate) async fn read(&self, control: &Control, offset: u64, len: u32) -> Result<Vec<u8>, Refusal> {
        let mut state = self.state.lock().await;
        if offset == 0 {
            state.content = content::read(control, &self.node).await?;
        }
        let bytes = state.content.as_bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start
            .saturating_add(usize::try_from(len).unwrap_or(usize::MAX))
            .min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }
}

/// Everything that is open, by number: files and listings.
pub(crate) struct Handles<T> {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<T>>>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(1),
            open: Mutex::default(),
        }
    }
}

impl Handles<Handle> {
    /// Opens a file.
    pub(crate) fn open(&self, node: Node) -> u64 {
        self.keep(Handle::new(node))
    }
}

impl<T> Handles<T> {
    pub(crate) fn keep(&self, handle: T) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::new(handle));
        number
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<T>> {
        self.lock().get(&number).cloned()
    }

    pub(crate) fn release(&self, number: u64) {
        self.lock().remove(&number);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<T>>> {
        // Every change is made whole before anything can panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
