//! Something that ends, such as a token: loaded when it is first needed, renewed in time.
//!
//! One request loads, the others wait for it; while the old one still holds, nobody waits: a service of credentials that is down does not stop the
//! store before it must.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// It is renewed this long before its end: Amazon's and Google's own tools take about as long.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// And is used up to this long before it, so that a request is not overtaken by it.
const USE_UNTIL: Duration = Duration::from_secs(15);
/// After a renewal, well or not, the next one waits this long while the old one holds.
const RENEW_PAUSE: Duration = Duration::from_secs(15);

/// What has an end.
pub(crate) trait Ends {
    /// When it ends, if it does.
    fn ends(&self) -> Option<SystemTime>;

    /// It can be used now.
    fn holds(&self) -> bool {
        self.holds_for(USE_UNTIL)
    }

    /// It does not end within this time.
    fn holds_for(&self, time: Duration) -> bool {
        self.ends().is_none_or(|end| end > SystemTime::now() + time)
    }
}

/// The one in use.
#[derive(Debug)]
pub(crate) struct Renewed<T> {
    now: RwLock<Option<Arc<T>>>,
    /// Held while loading: when that was begun last.
    loading: Mutex<Option<Instant>>,
}

impl<T> Default for Renewed<T> {
    fn default() -> Self {
        Self {
            now: RwLock::default(),
            loading: Mutex::default(),
        }
    }
}

impl<T: Ends> Renewed<T> {
    fn kept(&self) -> Option<Arc<T>> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().filter(|now| now.holds()).map(Arc::clone)
    }

    /// The one in use, or a new one from `load`.
    pub(crate) async fn get<E: std::fmt::Display>(
        &self,
        load: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let old = self.kept();
        if let Some(old) = &old
            && old.holds_for(RENEW_BEFORE)
        {
            return Ok(Arc::clone(old));
        }
        let mut begun = match &old {
            None => self.loading.lock().await,
            Some(old) => match self.loading.try_lock() {
                Ok(begun) if begun.is_none_or(|at| at.elapsed() >= RENEW_PAUSE) => begun,
                _ => return Ok(Arc::clone(old)),
            },
        };
        // Somebody else may have been here first.
        if old.is_none()
            && let Some(new) = self.kept()
        {
            return Ok(new);
        }
        *begun = Some(Instant::now());
        match (load.await, old) {
            (Ok(new), _) => {
                let new = Arc::new(new);
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&new));
                Ok(new)
            }
            (Err(error), Some(old)) => {
                tracing::warn!(%error, "credentials are not renewed yet; the old ones hold for now");
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The server does not take this one: the next request loads another.
    pub(crate) fn forget(&self, used: &Arc<T>) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        now.take_if(|current| Arc::ptr_eq(current, used));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Token(u32, Option<SystemTime>);

    impl Ends for Token {
        fn ends(&self) -> Option<SystemTime> {
            self.1
        }
    }

    fn after(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::now() + Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn one_loads_and_all_use_it() {
        let (renewed, loads) = (Renewed::default(), AtomicU32::new(0));
        let get = || {
            renewed.get(async {
                let number = loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, String>(Token(number, after(3600)))
            })
        };
        let found = futures_util::future::join_all((0..10).map(|_| get())).await;
        assert!(found.into_iter().all(|token| token.unwrap().0 == 0));
        let used = get().await.unwrap();
        renewed.forget(&used);
        assert_eq!(get().await.unwrap().0, 1);
        // A late refusal of the first one changes nothing.
        renewed.forget(&used);
        assert_eq!(get().await.unwrap().0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_one_is_used_while_it_holds() {
        let renewed = Renewed::default();
        let good = |n, end| async move { Ok::<_, String>(Token(n, end)) };
        let bad = || async { Err::<Token, _>("down".to_owned()) };
        assert_eq!(renewed.get(good(1, after(100))).await.unwrap().0, 1);
        // It ends soon: renewed in time, but not with every request.
        assert_eq!(renewed.get(bad()).await.unwrap().0, 1);
        tokio::time::sleep(RENEW_PAUSE).await;
        assert_eq!(renewed.get(bad()).await.unwrap().0, 1);
        tokio::time::sleep(RENEW_PAUSE).await;
        assert_eq!(renewed.get(good(2, after(5))).await.unwrap().0, 2);
        // It cannot be used any more.
        assert!(renewed.get(bad()).await.is_err());
    }
}
