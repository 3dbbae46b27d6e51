//! Locks, counters and queues: the standard library's, or, with the feature `shuttle`, those of a scheduler that tries the orders in which
//! threads can come (`schedules`).

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic, mpsc};
pub(crate) use std::sync::PoisonError;
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic, mpsc};
