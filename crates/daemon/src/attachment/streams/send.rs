//! A snapshot, or what changed since an earlier one, as a stream.

use super::{Pieces, UNTAKEN, log_error};
use crate::{
    attachment::{
        Attachments,
        opened::Then,
        snapshots::{find, log_of},
    },
    error::Result,
};
use restblk_api::{ErrorBody, SendQuery};
use restblk_engine::log::stream::Token;
use restblk_types::{ErrorKind, VolumeRef};
use std::sync::Arc;
use tokio::sync::mpsc;

impl Attachments {
    /// Sends a snapshot, or what changed since an earlier one.
    pub(crate) async fn send(self: &Arc<Self>, snapshot: VolumeRef, how: SendQuery) -> Result<Pieces> {
        let token: Option<Token> = match &how.resume {
            Some(text) => Some(
                text.parse()
                    .map_err(|e| ErrorBody::new(ErrorKind::Invalid, format!("go on with {snapshot}: {e}")))?,
            ),
            None => None,
        };
        let opened = self.open_shared(&snapshot).await?;
        let begun = || {
            let log = log_of(&opened, &snapshot)?;
            if log.key().is_some() && !how.plaintext {
                let message = format!(
                    "send {snapshot}: its volume is encrypted, and what is sent would be in the clear"
                );
                return Err(ErrorBody::new(ErrorKind::Denied, message).hint(
                    "--plaintext does so all the same; encrypt the stream on its way and wherever it is kept (age, gpg)",
                ));
            }
            let to = find(&log, &snapshot).map_err(log_error)?;
            let named = how.from.clone().map(|name| snapshot.at(name));
            let named = named
                .map(|from| find(&log, &from))
                .transpose()
                .map_err(log_error)?;
            let from = match token.and_then(|token| token.from) {
                // The token says it, and a name that says otherwise is refused with the token.
                Some(origin) if named.is_none() => Some(log.snapshot_of(origin).ok_or_else(|| {
                    let message = format!(
                        "go on with {snapshot}: the snapshot that it was told from ({origin}) is not there any more"
                    );
                    ErrorBody::new(ErrorKind::NotFound, message)
                        .hint("roll the receiver back, and send from a snapshot that both have")
                })?),
                _ => named,
            };
            log.sending(snapshot.whole().to_string(), to, from, token)
                .map_err(log_error)
        };
        let sending = match begun() {
            Ok(sending) => sending,
            Err(e) => {
                self.close_volume(&opened, Then::LetGo).await;
                return Err(e);
            }
        };
        let (out, pieces) = mpsc::channel(UNTAKEN);
        let attachments = Arc::clone(self);
        tokio::spawn(async move {
            match sending.run(&out).await {
                Ok(()) => tracing::info!(%snapshot, "the stream has ended"),
                Err(error) => tracing::error!(%snapshot, %error, "the stream was given up"),
            }
            drop(out);
            attachments.close_volume(&opened, Then::LetGo).await;
        });
        Ok(pieces)
    }
}
