//! Greetings: a look at who answers on a new connection, before it carries anything else.
//!
//! Behind a server's name another one may turn up, and that takes a new connection. So a client that has a [`Greeter`] lends it each connection
//! before its first use; what it reads then goes over that connection by the store's ordinary operations, whatever the protocol.
//!
//! The connection lies in a *lane* meanwhile, a slot known to the greeter's task alone. The client's requests made there take their connection from it
//! and put it back. They are not greeted, and have the place of the request that waits for them: one more could not be had where there is only one.
//! Clients of other servers (of tokens, say) that the greeter comes to use have nothing to do with the lane.

use super::connection::Connection;
use super::error::HttpError;
use super::stats::Stats;
use crate::StoreError;
use async_trait::async_trait;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Looks at who answers.
#[async_trait]
pub trait Greeter: fmt::Debug + Send + Sync {
    /// Whether the connection that the client's requests go over in this call may be used from then on: the error says why not. They have to be
    /// made in the task that calls, not in one that it spawns.
    async fn greet(&self) -> Result<(), StoreError>;
}

tokio::task_local! {
    static LANE: Lane;
}

/// A connection that is being looked at, for the requests of one client.
#[derive(Clone)]
pub(super) struct Lane {
    /// Which client: its counters are its own.
    client: Arc<Stats>,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Lane {
    /// The lane of this client that the task is in.
    pub(super) fn current(client: &Arc<Stats>) -> Option<Self> {
        let lane = LANE.try_with(|lane| Arc::ptr_eq(&lane.client, client).then(|| lane.clone()));
        lane.ok().flatten()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Option<Connection> {
        self.slot().take()
    }

    /// Puts back a connection after a complete exchange, if it can carry another.
    pub(super) async fn put(&self, mut connection: Connection) {
        if connection.is_usable().await {
            *self.slot() = Some(connection);
        }
    }
}

/// Has the connection looked at. `None`: it may be used, but was closed meanwhile. Where it may not, nothing was sent but the look.
pub(super) async fn greeted(
    greeter: &dyn Greeter,
    connection: Connection,
    client: &Arc<Stats>,
) -> Result<Option<Connection>, HttpError> {
    let lane = Lane {
        client: Arc::clone(client),
        connection: Arc::new(Mutex::new(Some(connection))),
    };
    let looked = LANE.scope(lane.clone(), greeter.greet()).await;
    looked.map_err(|error| HttpError::of_greeting(&error))?;
    Ok(lane.take().map(|mut connection| {
        connection.greeted = true;
        connection
    }))
}
