//! `PATCH …?restblk_lock=MODE`: the lock of a data object (an extension, docs/cdmi.md).

use super::path::Node;
use super::query::{LockMode, Query};
use super::respond::{self, Answer};
use super::route::Request;
use super::{Kind, Shared, conditions};
use crate::error::Error;
use crate::store::Held;
use http::StatusCode;
use std::sync::Arc;

/// Takes or ends the lock, or looks whether this request's token would let a change in.
pub(super) async fn change(
    shared: &Arc<Shared>,
    request: Request<'_>,
    node: &Node,
    query: &Query,
    mode: LockMode,
) -> Answer {
    let mut conditions = conditions::read(&request.head.headers, false)?;
    request.no_body(shared).await?;
    let path = node.path.clone();
    let forget = shared.config.quirks.forget_locks;
    let owner = query.get("restblk_owner").unwrap_or_default().to_owned();
    let tag = shared
        .blocking(Kind::Change, move |store| {
            if mode == LockMode::Check {
                return store.check_conditions(&path, &conditions);
            }
            let token = conditions.lock.take();
            if forget {
                return store.check_conditions(&path, &conditions);
            }
            let token = token.ok_or_else(|| Error::bad("X-Restblk-Lock with the lock's token is missing"))?;
            match mode {
                LockMode::Release => store.unlock_object(&path, &token, &conditions),
                _ => {
                    let claim = Held::by(token, &owner)?;
                    store.lock_object(&path, &claim, mode == LockMode::Steal, &conditions)
                }
            }
        })
        .await?;
    Ok(respond::tagged(StatusCode::NO_CONTENT, tag))
}
