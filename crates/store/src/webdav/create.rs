//! Exclusive create by `MOVE`, for servers whose `PUT` knows no `If-None-Match`.
//!
//! The body is put under a temporary name that nobody else uses, and moved to its own with `Overwrite: F`. A server that
//! looks first and renames then may let two win, so the winner reads back what is there: only if it is its own has it won.
//! The temporary object is removed on every way out; one that a crash of this host leaves is in no listing.

use super::client::{WebdavStore, method};
use super::folder::TEMPORARY;
use crate::{Key, StoreError, Written};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use restblk_types::ErrorKind;

/// nginx with two workers lets two win in one race of two hundred, Apache in one of two.
const RACES: usize = 400;
const RACERS: usize = 8;
const DESTINATION: HeaderName = HeaderName::from_static("destination");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");

impl WebdavStore {
    pub(super) async fn create_by_move(&self, key: &Key, body: Bytes) -> Result<Written, StoreError> {
        let temporary = self.temporary(key)?;
        if let Err(error) = self.put_once(&temporary, body.clone(), Vec::new()).await {
            self.sweep(&temporary).await;
            // Whatever became of the temporary object, the one that was asked for is as it was.
            return Err(self.error(error.kind(), "put", key, error.reason()));
        }
        match self.rename(&temporary, key).await {
            Ok(()) => {}
            Err(error) => {
                self.sweep(&temporary).await;
                return Err(error);
            }
        }
        let found = self.get_whole(key).await.map_err(StoreError::ambiguous)?;
        let etag = found.etag.clone();
        if found.payload.into_bytes() == body {
            return Ok(Written {
                etag,
                ..Written::default()
            });
        }
        let reason = "somebody else created it at the same time, and the server let both";
        Err(self.error(ErrorKind::Conflict, "put", key, reason))
    }

    /// Why of several that move to one name at once more than one may win, without the reading back; `None` where that was not
    /// seen. `scratch` names objects that nobody else uses.
    pub(super) async fn race_of_moves(&self, scratch: &Key) -> Result<Option<String>, StoreError> {
        let name = |what: &str, n: usize| {
            Key::new(format!("{scratch}-{what}-{n}"))
                .map_err(|bad| self.error(ErrorKind::Invalid, "race for", scratch, bad.to_string()))
        };
        let runners = (0..RACERS)
            .map(|n| name("runner", n))
            .collect::<Result<Vec<Key>, _>>()?;
        let goals = (0..RACES)
            .map(|n| name("goal", n))
            .collect::<Result<Vec<Key>, _>>()?;
        let mut used = 0;
        let found = self.run_races(&runners, &goals, &mut used).await;
        join_all(runners.iter().chain(&goals[..used]).map(|key| self.sweep(key))).await;
        found
    }

    async fn run_races(
        &self,
        runners: &[Key],
        goals: &[Key],
        used: &mut usize,
    ) -> Result<Option<String>, StoreError> {
        let mut missing: Vec<usize> = (0..runners.len()).collect();
        for goal in goals {
            *used += 1;
            let puts = missing
                .iter()
                .map(|&n| self.put_once(&runners[n], Bytes::from_static(b"runner"), Vec::new()));
            try_join_all(puts).await?;
            let results = join_all(runners.iter().map(|runner| self.rename(runner, goal))).await;
            missing.clear();
            for (n, result) in results.into_iter().enumerate() {
                match result {
                    Ok(()) => missing.push(n),
                    Err(error) if error.kind() == ErrorKind::Conflict => {}
                    Err(error) if error.kind().is_transient() => return Err(error),
                    Err(error) => return Ok(Some(error.to_string())),
                }
            }
            if missing.len() != 1 {
                let (all, won) = (runners.len(), missing.len());
                return Ok(Some(format!(
                    "of {all} that moved to one name at once {won} were told that they won"
                )));
            }
        }
        Ok(None)
    }

    /// A name beside the object, so that the move stays within a file system.
    fn temporary(&self, key: &Key) -> Result<Key, StoreError> {
        let folder = key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        let slash = if folder.is_empty() { "" } else { "/" };
        let name = format!("{folder}{slash}{TEMPORARY}{:032x}", rand::random::<u128>());
        Key::new(name).map_err(|bad| self.error(ErrorKind::Invalid, "put", key, bad.to_string()))
    }

    async fn rename(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        let destination = format!("{}{}", self.http.endpoint().origin(), self.target(to));
        let token = self.presented(to);
        let tagged = token.as_ref().map(|token| token.condition_on(&destination));
        let Ok(destination) = HeaderValue::try_from(destination) else {
            return Err(self.error(ErrorKind::Invalid, "put", to, "its URL cannot be a header"));
        };
        let mut headers = vec![
            (DESTINATION, destination),
            (OVERWRITE, HeaderValue::from_static("F")),
        ];
        headers.extend(tagged);
        let call = self.call(method("MOVE"), self.target(from), headers);
        let answer = self.ask(call, "put", to, true).await?;
        match answer.status {
            status if status.is_success() && status != StatusCode::MULTI_STATUS => Ok(()),
            StatusCode::PRECONDITION_FAILED | StatusCode::LOCKED => {
                Err(self.kept_out(answer, "put", to, token, ErrorKind::Conflict).await)
            }
            _ => Err(self.refused(answer, "put", to, true)),
        }
    }

    /// Removes a temporary object, if it is there.
    async fn sweep(&self, temporary: &Key) {
        let call = self.call(Method::DELETE, self.target(temporary), Vec::new());
        match self.ask(call, "delete", temporary, true).await {
            Ok(answer) if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND => {}
            Ok(answer) => {
                tracing::warn!(status = %answer.status, object = %temporary, "a temporary object is left behind")
            }
            Err(error) => tracing::warn!(%error, "a temporary object is left behind"),
        }
    }
}
