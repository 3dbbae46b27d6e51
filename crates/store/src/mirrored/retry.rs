//! The loop of one request: the choice of a mirror, tries elsewhere, pauses, the deadline, the grace after an ambiguous change.

use super::breaker::ASKED_MAX;
use super::deadline;
use super::hedge::{self, Raced};
use super::mirror::{Mirror, Outstanding, Start};
use super::recent::{MirrorId, Route, Touched};
use super::set::{Choice, Mirrored};
use crate::{Key, Store, StoreError};
use futures_util::future::BoxFuture;
use restblk_types::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A try has at least this long, while there is a deadline and another mirror to turn to.
const TRY_MIN: Duration = Duration::from_secs(1);

/// What a request does while no mirror works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It waits for as long as it takes.
    Wait,
    /// It fails after this long.
    FailAfter(Duration),
}

/// How requests are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// What a request does while no mirror works.
    pub outage: Outage,
    /// The first pause, after every mirror has failed once. It doubles with each round; half of it is chance.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// How long success is held back after a change that was given up unanswered (see the module's note).
    pub landing_grace: Duration,
    /// The same where the connection broke.
    pub broken_grace: Duration,
    /// How long after a change the other mirrors may show the state before it.
    pub propagation: Duration,
    /// What chance is drawn from; `None`: from the system.
    pub seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            outage: Outage::Wait,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            landing_grace: Duration::from_secs(2),
            broken_grace: Duration::from_millis(100),
            propagation: Duration::ZERO,
            seed: None,
        }
    }
}

/// What a request does to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Changes,
    Flushes,
}

/// A request, for the loop.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) operation: &'static str,
    pub(super) object: &'a (dyn std::fmt::Display + Sync),
    pub(super) effect: Effect,
    /// The object and what of it is touched; `None` where that is of no interest.
    pub(super) touches: Option<(&'a Key, Touched)>,
    /// A read of about so many bytes, which may be sent twice.
    pub(super) hedge: Option<u64>,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        operation: &'static str,
        object: &'a (dyn std::fmt::Display + Sync),
        effect: Effect,
    ) -> Self {
        Self {
            operation,
            object,
            effect,
            touches: None,
            hedge: None,
        }
    }

    /// One that touches this of an object.
    pub(super) fn on(operation: &'static str, key: &'a Key, effect: Effect, touched: Touched) -> Self {
        Self {
            touches: Some((key, touched)),
            ..Self::new(operation, key, effect)
        }
    }

    /// The failure is this mirror's: another may do better. What a change or a flush found broken stays broken: asking
    /// another mirror of the same repository would hide it.
    pub(super) fn is_of_mirror(&self, kind: ErrorKind) -> bool {
        kind.is_transient()
            || kind == ErrorKind::Denied
            || (kind == ErrorKind::Corrupt && self.effect == Effect::Reads)
    }

    pub(super) fn is_last_word<T>(&self, result: &Result<T, StoreError>) -> bool {
        !result
            .as_ref()
            .is_err_and(|error| self.is_of_mirror(error.kind()))
    }
}

/// One try, as a store's operations give it.
pub(super) type Try<'s, T> = BoxFuture<'s, Result<T, StoreError>>;

/// Says that what a try borrows besides its store (`'k`) lives as long as that (`'s`).
pub(super) type Held<'s, 'k> = [&'s &'k (); 0];

/// How a request ended, and whether a try before the last may have taken effect.
pub(super) struct Outcome<T> {
    pub(super) result: Result<T, StoreError>,
    pub(super) ambiguous: bool,
    /// Who answered; `None`: nobody did.
    pub(super) by: Option<Arc<Mirror>>,
}

impl Mirrored {
    /// Until when a request that begins now may take: by the policy, and by the operation that it is a part of.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let own = match self.policy.outage {
            Outage::Wait => None,
            Outage::FailAfter(limit) => Some(Instant::now() + limit),
        };
        own.into_iter().chain(deadline::current()).min()
    }

    /// Runs the request on mirrors until one answers for good, or the deadline passes.
    ///
    /// Nearly all requests are answered by the first mirror that they go to, in the time that most take. The way of those is here, and short;
    /// what the others need is made when they need it.
    pub(super) async fn run<'k, T, F>(&self, request: Request<'k>, attempt: F) -> Outcome<T>
    where
        F: for<'s> Fn(&'s dyn Store, Held<'s, 'k>) -> Try<'s, T> + Send + Sync,
        T: Send,
    {
        let deadline = self.deadline();
        let request = Request {
            hedge: request.hedge.filter(|_| !self.set.alone.load(Ordering::Relaxed)),
            ..request
        };
        // Not chosen where it is not taken: a trial of a mirror that may work again would be held by nobody.
        let first = if deadline.is_none() {
            self.first(&request)
        } else {
            None
        };
        let mut failed = None;
        if let Some((mirror, start)) = first {
            let outstanding = mirror.begin(start);
            let mut work = attempt(&*mirror.store, []);
            failed = match self.in_time(&mut work, start, request.hedge).await {
                Some(answer) => {
                    drop(work);
                    let result = self.ended(outstanding, request, answer).await;
                    if request.is_last_word(&result) {
                        self.set.answered();
                        return Outcome {
                            result,
                            ambiguous: false,
                            by: Some(mirror),
                        };
                    }
                    Some(Answered::One(mirror, result))
                }
                None => {
                    let first = async { self.ended(outstanding, request, work.await).await };
                    Some(aside(|| self.race(&mirror, first, request, deadline, &attempt)).await)
                }
            };
        }
        aside(|| self.try_on(request, deadline, failed, attempt)).await
    }

    /// What a try comes to; `None` where it is a read that takes longer than most do.
    async fn in_time<T>(
        &self,
        work: &mut (impl Future<Output = T> + Unpin),
        start: Start,
        hedge: Option<u64>,
    ) -> Option<T> {
        let Some(len) = hedge else {
            return Some(work.await);
        };
        self.set.hedges.succeeded();
        let delay = self.set.delays.of(len, start.at);
        tokio::select! {
            biased;
            answer = work => Some(answer),
            () = sleep_until(start.at + delay) => None,
        }
    }

    /// The mirror that a request goes to first; `None` where that takes a longer look.
    fn first(&self, request: &Request<'_>) -> Option<(Arc<Mirror>, Start)> {
        let set = &self.set;
        if set.recent.is_on() && request.touches.is_some() {
            return None;
        }
        let at = Instant::now();
        match set.choose(&[], request.effect == Effect::Changes, None, at) {
            Choice::Go(mirror, trial) => Some((mirror, Start { at, trial })),
            _ => None,
        }
    }

    /// The tries after one that failed, or all of them.
    async fn try_on<'k, T, F>(
        &self,
        request: Request<'k>,
        deadline: Option<Instant>,
        mut failed: Option<Answered<T>>,
        attempt: F,
    ) -> Outcome<T>
    where
        F: for<'s> Fn(&'s dyn Store, Held<'s, 'k>) -> Try<'s, T> + Send + Sync,
        T: Send,
    {
        let mut tries = Tries::new(self, request, deadline);
        loop {
            match failed {
                None => {}
                Some(Answered::One(mirror, result)) => match result {
                    Err(error) if request.is_of_mirror(error.kind()) => tries.note(&mirror, &error),
                    result => {
                        self.set.answered();
                        return tries.end(result, Some(mirror)).await;
                    }
                },
                Some(Answered::Neither(first, second)) => {
                    tries.note(&first.0, &first.1);
                    tries.note(&second.0, &second.1);
                }
            }
            let (mirror, start) = match tries.next().await {
                Ok(next) => next,
                Err(error) => return tries.end(Err(error), None).await,
            };
            let request = Request {
                hedge: request.hedge.filter(|_| tries.may_hedge),
                ..request
            };
            failed = Some(self.try_once(mirror, start, request, deadline, &attempt).await);
        }
    }

    /// One try, or two where a read takes long.
    async fn try_once<'k, T, F>(
        &self,
        mirror: Arc<Mirror>,
        start: Start,
        request: Request<'k>,
        deadline: Option<Instant>,
        attempt: &F,
    ) -> Answered<T>
    where
        F: for<'s> Fn(&'s dyn Store, Held<'s, 'k>) -> Try<'s, T> + Send + Sync,
        T: Send,
    {
        let mut first = Box::pin(self.once(&mirror, start, request, deadline, attempt));
        match self.in_time(&mut first, start, request.hedge).await {
            Some(result) => {
                drop(first);
                Answered::One(mirror, result)
            }
            None => self.race(&mirror, first, request, deadline, attempt).await,
        }
    }

    /// One try.
    pub(super) async fn once<'k, T, F>(
        &self,
        mirror: &Mirror,
        start: Start,
        request: Request<'k>,
        deadline: Option<Instant>,
        attempt: &F,
    ) -> Result<T, StoreError>
    where
        F: for<'s> Fn(&'s dyn Store, Held<'s, 'k>) -> Try<'s, T> + Send + Sync,
        T: Send,
    {
        let outstanding = mirror.begin(start);
        let work = attempt(&*mirror.store, []);
        let answer = match deadline {
            None => work.await,
            Some(deadline) => timeout_at(self.end_of_try(deadline), work)
                .await
                .unwrap_or_else(|_| {
                    let reason = "no answer within the time that the request has";
                    let error =
                        StoreError::new(ErrorKind::Unavailable, request.operation, request.object, reason);
                    Err(error.at(mirror.store.location()).may_land_later())
                }),
        };
        self.ended(outstanding, request, answer).await
    }

    /// Keeps what came of a try, and returns it; that an object is missing only where the repository is the pool's.
    async fn ended<T>(
        &self,
        outstanding: Outstanding<'_>,
        request: Request<'_>,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = match answer {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                aside(|| self.missing(outstanding.mirror(), error)).await
            }
            answer => answer,
        };
        let last_word = request.is_last_word(&result);
        let ended = outstanding.end(&result, !last_word);
        if ended.more {
            self.set.better.notify_waiters();
        }
        if !last_word {
            self.set.worse.notify_one();
        } else if let Some(len) = request.hedge {
            self.set.delays.took(len, ended.took, ended.at);
        }
        result
    }

    /// A second try of a read, elsewhere, beside the first that takes long.
    async fn race<'k, T, F>(
        &self,
        mirror: &Arc<Mirror>,
        first: impl Future<Output = Result<T, StoreError>>,
        request: Request<'k>,
        deadline: Option<Instant>,
        attempt: &F,
    ) -> Answered<T>
    where
        F: for<'s> Fn(&'s dyn Store, Held<'s, 'k>) -> Try<'s, T> + Send + Sync,
        T: Send,
    {
        let set = &self.set;
        let second = set.second(mirror.id).filter(|_| set.hedges.take(Instant::now()));
        let Some(second) = second else {
            return Answered::One(Arc::clone(mirror), first.await);
        };
        set.count(&set.figures.hedges);
        let other = self.once(&second, Start::now(), request, deadline, attempt);
        let is_answer = |result: &Result<T, StoreError>| request.is_last_word(result);
        match hedge::race(first, other, is_answer).await {
            Raced::First(result) => Answered::One(Arc::clone(mirror), result),
            Raced::Second(result) => {
                set.count(&set.figures.hedges_won);
                Answered::One(second, result)
            }
            Raced::Neither(Err(first), Err(other)) => {
                Answered::Neither((Arc::clone(mirror), first), (second, other))
            }
            // Whatever is good is an answer.
            Raced::Neither(result @ Ok(_), _) | Raced::Neither(_, result @ Ok(_)) => {
                Answered::One(Arc::clone(mirror), result)
            }
        }
    }

    /// When a try is given up. One mirror that is silent leaves half of the time to the others.
    fn end_of_try(&self, deadline: Instant) -> Instant {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.set.current().len() {
            0 | 1 => deadline,
            _ => deadline.min(Instant::now() + (left / 2).max(TRY_MIN)),
        }
    }
}

/// A future that few requests need: neither its size nor its making is any of the others' business.
#[inline(never)]
pub(super) fn aside<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

type Failed = (Arc<Mirror>, StoreError);

/// What came of one or two tries.
enum Answered<T> {
    One(Arc<Mirror>, Result<T, StoreError>),
    Neither(Failed, Failed),
}

/// The tries of one request.
struct Tries<'a> {
    mirrored: &'a Mirrored,
    request: Request<'a>,
    deadline: Option<Instant>,
    count: u32,
    /// The mirrors that failed in this round.
    tried: Vec<MirrorId>,
    /// What is told if this round is the last one.
    worst: Option<StoreError>,
    /// That of the round before.
    earlier: Option<StoreError>,
    /// Once, what failed for a reason that says little of its mirror is tried there again at once.
    again: bool,
    may_hedge: bool,
    backoff: Duration,
    /// A change may have taken effect, and success is to be told not before this.
    grace: Option<Instant>,
    /// A change may take effect yet.
    late: bool,
    /// The mirrors on which a change may have taken effect without an answer.
    unanswered: Vec<MirrorId>,
}

impl<'a> Tries<'a> {
    fn new(mirrored: &'a Mirrored, request: Request<'a>, deadline: Option<Instant>) -> Self {
        Self {
            mirrored,
            request,
            deadline,
            count: 0,
            tried: Vec::new(),
            worst: None,
            earlier: None,
            again: true,
            may_hedge: true,
            backoff: mirrored.policy.backoff_min,
            grace: None,
            late: false,
            unanswered: Vec::new(),
        }
    }

    /// The mirror of the next try, and how that begins; waits for it. The error where there is none.
    async fn next(&mut self) -> Result<(Arc<Mirror>, Start), StoreError> {
        let set = &self.mirrored.set;
        if self.count > 0 {
            set.count(&set.figures.retries);
            // Slowed, and never failed by it.
            while !set.retries.take(Instant::now()) {
                self.sleep(set.retries.next(Instant::now())).await?;
            }
        }
        loop {
            let better = set.better.notified();
            let now = Instant::now();
            let until = match self.choose(now) {
                Choice::Go(mirror, trial) => return Ok((mirror, Start { at: now, trial })),
                Choice::Settle(until) => {
                    self.sleep(until).await?;
                    continue;
                }
                Choice::Wait(until) => until,
                Choice::Tried => match self.round_is_over(now)? {
                    Some(until) => until,
                    None => continue,
                },
            };
            let reason = self.reason();
            if !reason.kind().is_transient() {
                return Err(reason);
            }
            // One that failed for this request alone is no outage.
            if !set.works() {
                set.outage.failed(&reason);
            }
            tokio::select! {
                slept = self.sleep(until) => slept?,
                () = better => {}
            }
        }
    }

    fn choose(&mut self, now: Instant) -> Choice {
        let set = &self.mirrored.set;
        let changes = self.request.effect == Effect::Changes;
        let Some((key, touched)) = self.request.touches.filter(|_| set.recent.is_on()) else {
            return set.choose(&self.tried, changes, None, now);
        };
        let route = set.recent.route(key, touched, now);
        self.may_hedge = route == Route::Free;
        match route {
            Route::Free => {
                let preferred = if changes {
                    set.recent.preferred(key, now)
                } else {
                    None
                };
                set.choose(&self.tried, changes, preferred, now)
            }
            Route::Wait(until) => Choice::Settle(until),
            Route::Via(mirror, until) => match set.by_id(mirror) {
                Some(mirror) if mirror.is_used() && mirror.is_closed() => {
                    if self.tried.contains(&mirror.id) && !self.may_try_again() {
                        return Choice::Settle(until);
                    }
                    Choice::Go(mirror, false)
                }
                _ => Choice::Settle(until),
            },
        }
    }

    /// `Retry` says little of the server (a kept connection had died, say). True once.
    fn may_try_again(&mut self) -> bool {
        let says_little = self
            .worst
            .as_ref()
            .is_some_and(|worst| worst.kind() == ErrorKind::Retry);
        says_little && std::mem::take(&mut self.again)
    }

    /// Every mirror has failed: when the next round begins; `None`: at once. The error where it is the last word.
    fn round_is_over(&mut self, now: Instant) -> Result<Option<Instant>, StoreError> {
        let at_once = self.may_try_again();
        self.tried.clear();
        let worst = self.worst.take();
        if let Some(last_word) = worst.as_ref().filter(|worst| !worst.kind().is_transient()) {
            return Err(last_word.clone());
        }
        let asked = worst.as_ref().and_then(StoreError::retry_after);
        self.earlier = worst.or(self.earlier.take());
        if at_once {
            return Ok(None);
        }
        let pause = self.backoff.mul_f64(0.5 + self.mirrored.set.dice.share() / 2.0);
        self.backoff = (self.backoff * 2).min(self.mirrored.policy.backoff_max);
        Ok(Some(now + asked.map_or(pause, |asked| asked.min(ASKED_MAX))))
    }

    /// Why the request waits.
    fn reason(&self) -> StoreError {
        let request = &self.request;
        if let Some(own) = self.worst.as_ref().or(self.earlier.as_ref()) {
            return own.clone();
        }
        let list = self.mirrored.set.current();
        let used = list.iter().filter(|mirror| mirror.is_used());
        let failures: Vec<_> = used.filter_map(|mirror| mirror.error_last()).collect();
        // What somebody must do something about is told only where nothing else is wrong: else waiting may help.
        let told = failures
            .iter()
            .find(|error| error.kind().is_transient())
            .or(failures.first());
        let (kind, reason) = match told {
            Some(error) => (
                error.kind(),
                format!("no mirror works; the last failure was: {error}"),
            ),
            None => {
                let reason = "no mirror takes requests: each is drained, or shows another repository";
                (ErrorKind::Unavailable, reason.to_owned())
            }
        };
        StoreError::new(kind, request.operation, request.object, reason)
    }

    /// Sleeps, at most until the deadline; then the error.
    async fn sleep(&self, until: Instant) -> Result<(), StoreError> {
        let Some(deadline) = self.deadline.filter(|deadline| *deadline <= until) else {
            sleep_until(until).await;
            return Ok(());
        };
        sleep_until(deadline).await;
        Err(self
            .reason()
            .because(format!("given up after {} tries", self.count)))
    }

    fn note(&mut self, mirror: &Mirror, error: &StoreError) {
        self.count = self.count.saturating_add(1);
        self.tried.push(mirror.id);
        // What passes by itself is told before what somebody must do something about.
        if error.kind().is_transient()
            || self
                .worst
                .as_ref()
                .is_none_or(|worst| !worst.kind().is_transient())
        {
            self.worst = Some(error.clone());
        }
        if self.request.effect == Effect::Changes && error.is_ambiguous() {
            self.unanswered.push(mirror.id);
            self.late |= error.is_late();
            let policy = &self.mirrored.policy;
            let wait = if error.is_late() {
                policy.landing_grace
            } else {
                policy.broken_grace
            };
            self.grace = self.grace.max(Some(Instant::now() + wait));
        }
    }

    async fn end<T>(&mut self, result: Result<T, StoreError>, by: Option<Arc<Mirror>>) -> Outcome<T> {
        let ambiguous = self.grace.is_some();
        let result = match (result, self.grace) {
            (Ok(done), Some(until)) => {
                sleep_until(until).await;
                Ok(done)
            }
            (Err(error), Some(_)) if self.late => Err(error.may_land_later()),
            (Err(error), Some(_)) => Err(error.ambiguous()),
            (result, None) => result,
        };
        let recent = &self.mirrored.set.recent;
        let touches = self.request.touches.filter(|_| recent.is_on());
        if let (Effect::Changes, Some((key, touched))) = (self.request.effect, touches) {
            let took = by.as_ref().filter(|_| result.is_ok()).map(|mirror| mirror.id);
            for mirror in self.unanswered.drain(..).chain(took) {
                recent.changed(key, touched, mirror, Instant::now());
            }
        }
        Outcome {
            result,
            ambiguous,
            by,
        }
    }
}
