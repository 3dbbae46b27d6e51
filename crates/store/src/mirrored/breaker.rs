//! The circuit breaker of one mirror: when a mirror that fails is left alone, and how it is tried again.
//!
//! ```text
//!            certain failure, or several in a row, or most
//!   Closed ───────────────────────────────────────────────► Open ◄─┐
//!     ▲                                                      │     │ the trial fails: twice the pause
//!     │          the trial succeeds              pause over, │     │
//!     └──────────────────────────────────────────── HalfOpen◄┴─────┘
//!                                             or a probe answered
//! ```
//! Half-open, one request at a time is let through. The pause doubles with each opening until a success. A pause that the server
//! asked for (`Retry-After`) is kept to the end, whatever succeeds meanwhile. Where *every* mirror is open
//! ([`Breaker::admit`] with `desperate`) the pause is at most [`PAUSE_DESPERATE_MAX`], unless it was asked for: requests have
//! nowhere else to go. Where another is closed, a change waits for an answered probe (`timid`): it cannot be hedged, and would
//! hang for as long as a request may.
//!
//! Time comes in; nothing here waits.

use std::time::Duration;
use tokio::time::Instant;

/// The first pause; a server that was restarted is often back by then.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest pause while no mirror is closed.
const PAUSE_DESPERATE_MAX: Duration = Duration::from_millis(500);
/// The longest pause that a server gets by asking for it.
pub(super) const ASKED_MAX: Duration = Duration::from_secs(60);
/// So many failures in a row open it, where each alone says little.
const IN_A_ROW_MAX: u32 = 3;
/// So does a share of failures above this among about the last `SHARE_MEMORY` requests.
const SHARE_MAX: f32 = 0.5;
const SHARE_MEMORY: f32 = 32.0;
/// Below this a share is none.
const SHARE_NONE: f32 = 0.01;
/// A trial that has not ended by then holds up no other.
const TRIAL_MAX: Duration = Duration::from_secs(5);

/// How much a failure says of the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Little: a connection that broke, a status of 500.
    Sporadic,
    /// All: nobody listens, no answer in time, it says itself that it is not available.
    Certain,
}

/// Whether a request may go to the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Free,
    /// As the one request that tries whether it works again. It must be told how that ended.
    Trial,
    /// Not before this.
    Refused(Instant),
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open {
        at: Instant,
        until: Instant,
        /// The server named the time.
        asked: bool,
    },
    HalfOpen {
        /// When the trial under way began.
        trial: Option<Instant>,
    },
}

/// See the module's note.
#[derive(Debug)]
pub(super) struct Breaker {
    phase: Phase,
    in_a_row: u32,
    share: f32,
    /// Openings since the last success.
    openings: u32,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Closed,
            in_a_row: 0,
            share: 0.0,
            openings: 0,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    pub(super) fn is_half_open(&self) -> bool {
        matches!(self.phase, Phase::HalfOpen { .. })
    }

    /// Closed and without any failure to remember: a success changes nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.is_closed() && self.in_a_row == 0 && self.share == 0.0
    }

    /// Whether a request may go to the mirror now.
    pub(super) fn admit(&mut self, desperate: bool, timid: bool, now: Instant) -> Admission {
        match self.phase {
            Phase::Closed => return Admission::Free,
            Phase::Open { at, until, asked } => {
                let until = if desperate && !asked {
                    until.min(at + PAUSE_DESPERATE_MAX)
                } else {
                    until
                };
                if now < until || (timid && !desperate) {
                    return Admission::Refused(until);
                }
            }
            Phase::HalfOpen { trial: Some(since) } if now < since + TRIAL_MAX => {
                return Admission::Refused(since + TRIAL_MAX);
            }
            Phase::HalfOpen { .. } => {}
        }
        self.phase = Phase::HalfOpen { trial: Some(now) };
        Admission::Trial
    }

    /// A request that began at `began` succeeded. Those that were under way when it opened prove nothing.
    pub(super) fn succeeded(&mut self, began: Instant, now: Instant) {
        self.in_a_row = 0;
        self.share -= self.share / SHARE_MEMORY;
        if self.share < SHARE_NONE {
            self.share = 0.0;
        }
        let closes = match self.phase {
            Phase::Closed => false,
            Phase::Open { at, until, asked } => began >= at && !(asked && now < until),
            Phase::HalfOpen { trial } => trial.is_some_and(|since| began >= since),
        };
        if closes {
            (self.phase, self.share, self.openings) = (Phase::Closed, 0.0, 0);
        }
    }

    /// A request that began at `began` failed, and the mirror asked to be left alone for so long.
    pub(super) fn failed(
        &mut self,
        severity: Severity,
        began: Instant,
        asked: Option<Duration>,
        now: Instant,
    ) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.share += (1.0 - self.share) / SHARE_MEMORY;
        let opens = match self.phase {
            Phase::Closed => {
                severity == Severity::Certain || self.in_a_row >= IN_A_ROW_MAX || self.share > SHARE_MAX
            }
            // One of many that were under way when it opened says nothing new.
            Phase::Open { at, .. } => began >= at,
            Phase::HalfOpen { trial } => trial.is_some_and(|since| began >= since),
        };
        if opens {
            let pause = PAUSE_MIN
                .saturating_mul(1 << self.openings.min(10))
                .min(PAUSE_MAX);
            self.openings = self.openings.saturating_add(1);
            self.phase = Phase::Open {
                at: now,
                until: now + pause,
                asked: false,
            };
        }
        if let (Some(pause), Phase::Open { until, asked, .. }) = (asked, &mut self.phase) {
            (*until, *asked) = ((*until).max(now + pause.min(ASKED_MAX)), true);
        }
    }

    /// A probe was answered: the next request may try.
    pub(super) fn answered_probe(&mut self, now: Instant) {
        match self.phase {
            Phase::Open { asked, until, .. } if !asked || now >= until => {
                self.phase = Phase::HalfOpen { trial: None };
            }
            _ => {}
        }
    }

    /// The trial that began at `began` was dropped before it ended.
    pub(super) fn abandoned(&mut self, began: Instant) {
        if let Phase::HalfOpen { trial } = &mut self.phase
            && trial.is_some_and(|since| began >= since)
        {
            *trial = None;
        }
    }

    /// When it opened last, while it is open.
    pub(super) fn open_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { at, .. } => Some(at),
            _ => None,
        }
    }

    /// The time that the server asked for, while it lasts: nothing at all is to be sent.
    pub(super) fn asked_until(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Open {
                until, asked: true, ..
            } if now < until => Some(until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        breaker.failed(Severity::Certain, now, None, now);
        breaker
    }

    #[test]
    fn a_certain_failure_opens_it_and_a_trial_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(
            breaker.admit(false, false, now),
            Admission::Refused(now + PAUSE_MIN)
        );
        let later = now + PAUSE_MIN;
        assert_eq!(breaker.admit(false, false, later), Admission::Trial);
        assert_eq!(
            breaker.admit(true, false, later),
            Admission::Refused(later + TRIAL_MAX),
            "one at a time"
        );
        breaker.succeeded(now, later);
        assert!(breaker.is_half_open(), "an old success is not the trial's");
        breaker.succeeded(later, later);
        assert_eq!(breaker.admit(false, false, later), Admission::Free);
        assert!(breaker.is_clean());
    }

    #[test]
    fn pauses_double_with_each_failed_trial_and_not_with_the_many_that_were_under_way() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..50 {
            breaker.failed(Severity::Certain, now - SECOND, None, now);
        }
        for doubled in [1, 2, 4, 8] {
            let Admission::Refused(until) = breaker.admit(false, false, now) else {
                panic!("admitted at once")
            };
            assert_eq!(until - now, PAUSE_MIN * doubled);
            now = until;
            assert_eq!(breaker.admit(false, false, now), Admission::Trial);
            breaker.failed(Severity::Certain, now - SECOND, None, now);
            assert!(breaker.is_half_open(), "an old failure does not end the trial");
            breaker.failed(Severity::Certain, now, None, now);
        }
        for _ in 0..20 {
            let Admission::Refused(until) = breaker.admit(false, false, now) else {
                panic!("admitted at once")
            };
            assert!(until - now <= PAUSE_MAX);
            now = until;
            breaker.admit(false, false, now);
            breaker.failed(Severity::Sporadic, now, None, now);
        }
        let at = now;
        assert_eq!(
            breaker.admit(true, false, now),
            Admission::Refused(at + PAUSE_DESPERATE_MAX)
        );
    }

    #[test]
    fn failures_that_say_little_open_it_when_there_are_many() {
        let now = Instant::now();
        let fail = |breaker: &mut Breaker| breaker.failed(Severity::Sporadic, now, None, now);
        let mut breaker = Breaker::new();
        for _ in 0..100 {
            fail(&mut breaker);
            fail(&mut breaker);
            assert!(breaker.is_closed() && !breaker.is_clean());
            (0..4).for_each(|_| breaker.succeeded(now - SECOND, now));
        }
        (0..200).for_each(|_| breaker.succeeded(now - SECOND, now));
        assert!(breaker.is_clean());
        fail(&mut breaker);
        fail(&mut breaker);
        fail(&mut breaker);
        assert!(!breaker.is_closed(), "three in a row");
        let mut breaker = Breaker::new();
        let mut rounds = 0;
        while breaker.is_closed() && rounds < 1000 {
            fail(&mut breaker);
            fail(&mut breaker);
            breaker.succeeded(now - SECOND, now);
            rounds += 1;
        }
        assert!((5..100).contains(&rounds), "two of three, in {rounds} rounds");
    }

    #[test]
    fn what_the_server_asked_for_is_kept() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        breaker.failed(Severity::Certain, now, Some(10 * SECOND), now);
        breaker.succeeded(now + SECOND, now + SECOND);
        breaker.answered_probe(now + SECOND);
        for desperate in [false, true] {
            let refused = breaker.admit(desperate, false, now + 9 * SECOND);
            assert_eq!(refused, Admission::Refused(now + 10 * SECOND));
        }
        assert_eq!(breaker.asked_until(now), Some(now + 10 * SECOND));
        assert_eq!(breaker.admit(false, false, now + 10 * SECOND), Admission::Trial);
        let mut breaker = Breaker::new();
        breaker.failed(Severity::Certain, now, Some(3600 * SECOND), now);
        assert_eq!(breaker.asked_until(now), Some(now + ASKED_MAX));
    }

    #[test]
    fn an_answered_probe_lets_the_next_request_try() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + 3600 * SECOND;
        assert_eq!(
            breaker.admit(false, true, later),
            Admission::Refused(now + PAUSE_MIN)
        );
        breaker.answered_probe(now);
        assert_eq!(breaker.admit(false, true, now), Admission::Trial);
        breaker.abandoned(now - SECOND);
        assert!(matches!(breaker.admit(false, false, now), Admission::Refused(_)));
        breaker.abandoned(now);
        assert_eq!(breaker.admit(false, false, now), Admission::Trial);
        assert_eq!(
            breaker.admit(false, false, now + TRIAL_MAX),
            Admission::Trial,
            "one that does not end"
        );
    }
}
