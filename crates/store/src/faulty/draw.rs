//! Which fault the next call has: from the script, else by chance.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use restblk_types::ErrorKind;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and the answer is lost: an ambiguous `Retry`.
    LostAnswer,
    /// It is not answered in time, and done this much later.
    LateLanding(Duration),
    /// A read's body is cut (`Corrupt`); the first half of a write arrives, and no answer.
    ShortBody,
    /// It is done twice.
    Duplicate,
    /// It is refused with this kind, and not done.
    Refuse(ErrorKind),
    /// It is neither done nor answered.
    Hang,
    /// It is neither done nor answered, and given up after this long, as a client does.
    Silence(Duration),
    /// It is refused, and not done: the server wants to be left alone for so long.
    Busy(Duration),
    /// One bit of the data is another, silently.
    BitFlip,
    /// It is done this much later, and answered then.
    Delay(Duration),
}

/// The operations of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the methods of the trait")]
pub enum Operation {
    Get,
    Head,
    Put,
    Create,
    WriteAt,
    SetSize,
    Punch,
    Flush,
    Delete,
    List,
    Usage,
    Lock,
    RefreshLock,
    Unlock,
}

impl Operation {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::Head => "inspect",
            Self::Put => "put",
            Self::Create => "create",
            Self::WriteAt => "write",
            Self::SetSize => "resize",
            Self::Punch => "punch",
            Self::Flush => "flush",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Usage => "measure",
            Self::Lock => "lock",
            Self::RefreshLock => "refresh the lock of",
            Self::Unlock => "unlock",
        }
    }

    pub(super) fn changes(self) -> bool {
        matches!(
            self,
            Self::Put
                | Self::Create
                | Self::WriteAt
                | Self::SetSize
                | Self::Punch
                | Self::Delete
                | Self::Lock
                | Self::Unlock
        )
    }
}

/// How often a fault happens.
#[derive(Clone, Debug)]
pub struct Rate {
    /// To which operation; `None`: to any.
    pub operation: Option<Operation>,
    /// What happens.
    pub fault: Fault,
    /// Its probability, 0 to 1. Rates are tried in order; the first that hits is taken.
    pub probability: f64,
}

impl Rate {
    /// This fault on any operation.
    #[must_use]
    pub fn any(fault: Fault, probability: f64) -> Self {
        Self {
            operation: None,
            fault,
            probability,
        }
    }

    /// This fault on one operation.
    #[must_use]
    pub fn on(operation: Operation, fault: Fault, probability: f64) -> Self {
        Self {
            operation: Some(operation),
            fault,
            probability,
        }
    }
}

#[derive(Debug)]
struct State {
    chance: StdRng,
    script: VecDeque<(Option<Operation>, Fault)>,
    enabled: bool,
    calls: u64,
    drawn: u64,
    /// Calls before the first of those that hang, all of them.
    until_death: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Draw {
    rates: Vec<Rate>,
    state: Mutex<State>,
}

impl Draw {
    pub(super) fn new(seed: u64, rates: Vec<Rate>) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        let state = State {
            chance,
            script: VecDeque::new(),
            enabled: true,
            calls: 0,
            drawn: 0,
            until_death: None,
        };
        Self {
            rates,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn draw(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.state();
        state.calls += 1;
        if state.until_death.is_some_and(|last| state.calls > last) {
            state.drawn += 1;
            return Some(Fault::Hang);
        }
        let is_for = |wanted: Option<Operation>| wanted.is_none_or(|wanted| wanted == operation);
        let fault = match state.script.iter().position(|(wanted, _)| is_for(*wanted)) {
            Some(at) => state.script.remove(at).map(|(_, fault)| fault),
            None if !state.enabled => None,
            None => {
                // Every rate is drawn, so that the sequence does not depend on what hits.
                let mut hit = None;
                for rate in self.rates.iter().filter(|rate| is_for(rate.operation)) {
                    if state.chance.random_bool(rate.probability) && hit.is_none() {
                        hit = Some(rate.fault.clone());
                    }
                }
                hit
            }
        };
        state.drawn += u64::from(fault.is_some());
        fault
    }

    pub(super) fn below(&self, limit: usize) -> usize {
        self.state().chance.random_range(0..limit)
    }

    pub(super) fn next(&self, operation: Option<Operation>, fault: Fault) {
        self.state().script.push_back((operation, fault));
    }

    pub(super) fn die_after(&self, calls: u64) {
        let mut state = self.state();
        state.until_death = Some(state.calls + calls);
    }

    pub(super) fn is_dead(&self) -> bool {
        let state = self.state();
        state.until_death.is_some_and(|last| state.calls > last)
    }

    pub(super) fn forget(&self) {
        self.state().script.clear();
    }

    pub(super) fn set_enabled(&self, enabled: bool) {
        self.state().enabled = enabled;
    }

    pub(super) fn drawn(&self) -> u64 {
        self.state().drawn
    }

    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }
}
