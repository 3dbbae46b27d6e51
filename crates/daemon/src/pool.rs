//! One pool: its store proved and open, or why not.
//!
//! The store is reached by two ways over the same mirrors: control operations, which give up in time and tell the person
//! who waits (`patience`), and data, which waits as the pool's `on_outage` says. What one learns of a mirror the other knows.

use crate::{clock, error, error::Result, patience};
use restblk_api::{
    ErrorBody, MirrorChange, MirrorSpec, MirrorState, MirrorStatus, OutagePolicy, Pool, PoolSpec, PoolState,
    Proven, ProvenMirror,
};
use restblk_block::Limiter;
use restblk_engine::{Repository, Safety};
use restblk_format::{PoolRecord, Proved, ProvedMirror};
use restblk_store::prove::mirrors::compare_new;
use restblk_store::{
    Durability, MirrorOptions, MirrorProof, Mirrored, Outage, Proof, Store, StoreConfig, StoreKind,
    open_mirror_pinned, open_pinned,
};
use restblk_types::{ErrorKind, RateLimits};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// How long a mirror that is removed may take to end what it has.
const REMOVAL_DRAIN: Duration = Duration::from_secs(5);

/// A pool that can be used.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) repository: Arc<Repository>,
    pub(crate) data: Arc<Mirrored>,
    /// What all attached volumes of the pool share.
    pub(crate) limiter: Arc<Limiter>,
    proof: Proof,
    /// What was seen of each mirror, also of those that were added since.
    seen: RwLock<Vec<MirrorProof>>,
}

/// A pool of this host.
#[derive(Debug)]
pub(crate) struct PoolEntry {
    pub(crate) from_config: bool,
    spec: RwLock<PoolSpec>,
    state: RwLock<std::result::Result<Arc<Open>, ErrorBody>>,
    /// Whether opening was tried once, with whatever result.
    tried: watch::Sender<bool>,
}

impl PoolEntry {
    /// A pool that was not opened yet.
    pub(crate) fn new(spec: PoolSpec, from_config: bool) -> Self {
        let not_yet = ErrorBody::new(
            ErrorKind::Unavailable,
            format!("use pool {}: it is being opened", spec.name),
        );
        Self {
            from_config,
            spec: RwLock::new(spec),
            state: RwLock::new(Err(not_yet)),
            tried: watch::Sender::new(false),
        }
    }

    pub(crate) fn spec(&self) -> PoolSpec {
        self.spec.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pool, open; else why it is not.
    pub(crate) fn open(&self) -> Result<Arc<Open>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the pool, by what was proved before where that is known.
    pub(crate) async fn try_open(&self, known: Option<Proof>) -> Result<Arc<Open>> {
        let spec = self.spec();
        let opened = open(&spec, known).await.map(Arc::new);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = opened.clone();
        self.tried.send_replace(true);
        opened
    }

    /// Returns once opening was tried: at a start of the daemon, so that what needs the pool does not come too early.
    pub(crate) async fn tried(&self) {
        // The sender is in `self`, so waiting cannot fail.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// The pool's spec with one mirror more; `Exists` where it has it.
    fn spec_with(&self, mirror: &MirrorSpec) -> Result<PoolSpec> {
        let (mut spec, url) = (self.spec(), &mirror.url);
        if spec.urls.iter().any(|known| known.url == *url) {
            return Err(ErrorBody::new(
                ErrorKind::Exists,
                format!("add the mirror {url}: pool {} has it already", spec.name),
            ));
        }
        spec.urls.push(mirror.clone());
        Ok(spec)
    }

    /// A client of a new mirror, which was seen to show the same repository and to do with the others what the pool counts on.
    pub(crate) async fn look_at_mirror(&self, mirror: &MirrorSpec) -> Result<(Arc<dyn Store>, MirrorProof)> {
        let looked = tokio::time::timeout(patience::WORK, self.look(mirror)).await;
        looked.unwrap_or_else(|_| {
            Err(ErrorBody::new(
                ErrorKind::Unavailable,
                format!(
                    "add the mirror {}: it did not answer within {} s",
                    mirror.url,
                    patience::WORK.as_secs()
                ),
            ))
        })
    }

    async fn look(&self, mirror: &MirrorSpec) -> Result<(Arc<dyn Store>, MirrorProof)> {
        let (open, url) = (self.open()?, &mirror.url);
        let others = self.spec();
        let spec = self.spec_with(mirror)?;
        let config = store_config(&spec)?;
        let client = |url: &str| open_mirror_pinned(&config, url, &open.proof).map_err(error::store);
        let mirror = client(url)?;
        let id = Repository::id_behind(&*mirror).await.map_err(error::engine)?;
        if id.as_deref() != Some(open.repository.id()) {
            let found = id.map_or("no repository".to_owned(), |id| format!("the repository {id}"));
            let message = format!(
                "add the mirror {url}: it shows {found}, and pool {} is {}",
                spec.name,
                open.repository.id()
            );
            return Err(ErrorBody::new(ErrorKind::Invalid, message)
                .hint("all mirrors of a pool show the same files: check the URL's path"));
        }
        let others = others.urls.iter().filter(|other| !other.drained);
        let others: Vec<_> = others
            .map(|other| Ok((other.url.clone(), client(&other.url)?)))
            .collect::<Result<_>>()?;
        let new = (url.clone(), mirror);
        let seen = compare_new(&new, &others, &open.proof).await.map_err(|e| {
            let e = error::store(e);
            ErrorBody {
                message: format!("add the mirror {url}: {}", e.message),
                ..e
            }
        })?;
        Ok((new.1, seen))
    }

    /// Adds a mirror that was looked at. Returns the spec that now holds.
    pub(crate) fn add_mirror(
        &self,
        mirror: &MirrorSpec,
        store: Arc<dyn Store>,
        seen: MirrorProof,
    ) -> Result<PoolSpec> {
        let open = self.open()?;
        let spec = self.spec_with(mirror)?;
        open.data
            .add(&mirror.url, store, options(mirror))
            .map_err(error::store)?;
        open.forget_seen(&mirror.url);
        open.seen
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(seen);
        *self.spec.write().unwrap_or_else(PoisonError::into_inner) = spec.clone();
        Ok(spec)
    }

    /// Takes a mirror away; never the last one.
    pub(crate) fn remove_mirror(&self, url: &str) -> Result<PoolSpec> {
        let mut spec = self.spec();
        let at = position(&spec, "remove", url)?;
        if spec.urls.len() == 1 {
            return Err(ErrorBody::new(
                ErrorKind::Busy,
                format!(
                    "remove the mirror {url}: it is the last one of pool {}",
                    spec.name
                ),
            )
            .hint("add another first, or delete the pool"));
        }
        if let Ok(open) = self.open() {
            open.data.remove(url).map_err(error::store)?;
            open.forget_seen(url);
        }
        spec.urls.remove(at);
        *self.spec.write().unwrap_or_else(PoisonError::into_inner) = spec.clone();
        Ok(spec)
    }

    /// Has a mirror end what it has before it is removed, for so long as a person would wait. What is left over ends by itself.
    pub(crate) async fn drain_to_remove(&self, url: &str) {
        let spec = self.spec();
        if let (Ok(open), true) = (self.open(), spec.urls.len() > 1) {
            let drained = tokio::time::timeout(REMOVAL_DRAIN, open.data.drain(url)).await;
            if !matches!(drained, Ok(Ok(()))) {
                tracing::warn!(pool = %spec.name, mirror = url, "it is removed with requests under way");
            }
        }
    }

    /// Changes how a mirror is used. Returns the spec that now holds.
    pub(crate) fn set_mirror(&self, change: &MirrorChange) -> Result<PoolSpec> {
        let mut spec = self.spec();
        let at = position(&spec, "change", &change.url)?;
        let mirror = &mut spec.urls[at];
        if change.weight == Some(0) {
            let message = format!("change the mirror {}: its weight must be at least 1", change.url);
            return Err(ErrorBody::new(ErrorKind::Invalid, message)
                .hint("to send it no requests, drain it: restblk mirror drain"));
        }
        mirror.weight = change.weight.unwrap_or(mirror.weight);
        mirror.priority = change.priority.unwrap_or(mirror.priority);
        mirror.drained = change.drained.unwrap_or(mirror.drained);
        if let Ok(open) = self.open() {
            open.data
                .set(&mirror.url, options(mirror))
                .map_err(error::store)?;
        }
        *self.spec.write().unwrap_or_else(PoisonError::into_inner) = spec.clone();
        Ok(spec)
    }

    /// Waits until the last request of a drained mirror has ended, and what it took is flushed.
    pub(crate) async fn drained(&self, url: &str) -> Result<()> {
        self.open()?.data.drain(url).await.map_err(error::store)
    }

    /// Sets how much I/O the pool's volumes may do together. Returns the spec that now holds.
    pub(crate) fn limit(&self, limits: RateLimits) -> Result<PoolSpec> {
        check_limits(limits)?;
        let mut spec = self.spec();
        spec.rate_limits = limits;
        *self.spec.write().unwrap_or_else(PoisonError::into_inner) = spec.clone();
        if let Ok(open) = self.open() {
            open.limiter.set(limits);
        }
        Ok(spec)
    }

    /// The pool as the API tells it.
    pub(crate) fn describe(&self) -> Pool {
        let spec = self.spec();
        let (state, problem, proven, mirrors) = match self.open() {
            Ok(open) => {
                let mirrors = open.mirrors();
                let down = !mirrors.is_empty() && mirrors.iter().all(|m| !m.state.works());
                let problem = down
                    .then(|| mirrors.iter().find_map(|m| m.last_error.clone()))
                    .flatten();
                (
                    if down {
                        PoolState::Unreachable
                    } else {
                        PoolState::Ready
                    },
                    problem,
                    Some(open.proven()),
                    mirrors,
                )
            }
            Err(e) => {
                let state = if e.kind.is_transient() {
                    PoolState::Unreachable
                } else {
                    PoolState::Refused
                };
                let mirror = |mirror: &MirrorSpec| MirrorStatus {
                    url: mirror.url.clone(),
                    state: MirrorState::Down,
                    weight: mirror.weight,
                    priority: mirror.priority,
                    outstanding: 0,
                    share: 0.0,
                    requests: 0,
                    errors: 0,
                    latency_ms: None,
                    latency_p50_ms: None,
                    latency_p95_ms: None,
                    latency_p99_ms: None,
                    last_error: None,
                };
                (
                    state,
                    Some(e.message),
                    None,
                    spec.urls.iter().map(mirror).collect(),
                )
            }
        };
        Pool {
            spec,
            state,
            problem,
            proven,
            mirrors,
            from_config: self.from_config,
        }
    }
}

impl Open {
    /// How each mirror does.
    pub(crate) fn mirrors(&self) -> Vec<MirrorStatus> {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a latency")]
        let ms = |us: u64| us as f64 / 1000.0;
        let one = |mirror: restblk_store::MirrorStatus| {
            use restblk_store::MirrorState as Is;
            let quantile = |at: usize| Some(ms(mirror.latency_us_quantiles?[at]));
            MirrorStatus {
                state: match mirror.state {
                    Is::Up => MirrorState::Up,
                    Is::Slow => MirrorState::Slow,
                    Is::HalfOpen => MirrorState::HalfOpen,
                    Is::Down => MirrorState::Down,
                    Is::Draining => MirrorState::Draining,
                    Is::Foreign => MirrorState::Foreign,
                },
                weight: mirror.options.weight,
                priority: mirror.options.priority,
                outstanding: mirror.outstanding,
                share: mirror.share,
                latency_p50_ms: quantile(0),
                latency_p95_ms: quantile(1),
                latency_p99_ms: quantile(2),
                url: mirror.name,
                requests: mirror.requests,
                errors: mirror.errors,
                latency_ms: mirror.latency_us.map(ms),
                last_error: mirror.error_last,
            }
        };
        self.data.mirrors().into_iter().map(one).collect()
    }

    fn forget_seen(&self, url: &str) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|mirror| mirror.name != url);
    }

    /// What was proved, with the mirrors that there are now.
    pub(crate) fn proof(&self) -> Proof {
        Proof {
            mirrors: self.seen.read().unwrap_or_else(PoisonError::into_inner).clone(),
            ..self.proof.clone()
        }
    }

    /// Keeps on the store what was proved. That it cannot be kept is told, and harms nothing.
    pub(crate) async fn keep_proof(&self) {
        let kept = patience::bounded(self.repository.keep_proof(proved(&self.proof()))).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "what the store was proved to do is not kept on it");
        }
    }

    fn proven(&self) -> Proven {
        let seen = |mirror: MirrorProof| ProvenMirror {
            url: mirror.name,
            lag_ms: mirror.lag_ms,
            clock_skew_ms: mirror.clock_skew_ms,
            problem: mirror.problem,
        };
        let can = &self.proof.capabilities;
        Proven {
            dialect: self.proof.dialect.clone(),
            exclusive_create: can.exclusive_create,
            write_in_place: can.write_at,
            punch: can.punch,
            flush: can.durability != Durability::Unstated,
            fences: can.lock,
            notes: self.proof.notes.clone(),
            mirrors: self.proof().mirrors.into_iter().map(seen).collect(),
        }
    }
}

/// The proof as the repository's marker has it.
fn proved(proof: &Proof) -> Proved {
    let can = &proof.capabilities;
    let abilities = [
        ("exclusive_create", can.exclusive_create),
        ("compare_and_set", can.compare_and_set),
        ("write_in_place", can.write_at),
        ("punch", can.punch),
        ("flush", can.durability != Durability::Unstated),
        ("lock", can.lock),
    ];
    let can = abilities.iter().filter(|(_, able)| *able);
    let mirror = |mirror: &MirrorProof| ProvedMirror {
        url: mirror.name.clone(),
        lag_ms: mirror.lag_ms,
        clock_skew_ms: mirror.clock_skew_ms,
        problem: mirror.problem.clone(),
    };
    Proved {
        at: clock::now(),
        by: env!("CARGO_PKG_VERSION").to_owned(),
        dialect: proof.dialect.clone(),
        can: can.map(|(name, _)| (*name).to_owned()).collect(),
        mirrors: proof.mirrors.iter().map(mirror).collect(),
        notes: proof.notes.clone(),
    }
}

fn options(mirror: &MirrorSpec) -> MirrorOptions {
    MirrorOptions {
        weight: mirror.weight,
        priority: mirror.priority,
        drained: mirror.drained,
    }
}

/// Where the pool has the mirror; else the error, with those that it has.
fn position(spec: &PoolSpec, operation: &str, url: &str) -> Result<usize> {
    let found = spec.urls.iter().position(|known| known.url == url);
    found.ok_or_else(|| {
        let message = format!(
            "{operation} the mirror {url}: pool {} has none of that URL",
            spec.name
        );
        let known: Vec<_> = spec.urls.iter().map(|mirror| mirror.url.as_str()).collect();
        ErrorBody::new(ErrorKind::NotFound, message).hint(format!("it has {}", known.join(", ")))
    })
}

fn check_limits(limits: RateLimits) -> Result<()> {
    let checked = limits.check();
    checked.map_err(|e| ErrorBody::new(ErrorKind::Invalid, format!("limit the pool: {e}")))
}

/// The configuration of the pool's store.
pub(crate) fn store_config(spec: &PoolSpec) -> Result<StoreConfig> {
    let invalid = |message: String| ErrorBody::new(ErrorKind::Invalid, message);
    let kind: StoreKind = spec
        .store
        .parse()
        .map_err(|e: restblk_store::UnknownKind| invalid(format!("use pool {}: {e}", spec.name)))?;
    let mut config = StoreConfig::new(kind, spec.urls.iter().map(|mirror| mirror.url.as_str()));
    if kind == StoreKind::Memory && config.urls.is_empty() {
        config.urls.push(spec.name.to_string());
    }
    config.dialect = spec.dialect.clone().filter(|dialect| dialect != "auto");
    check_limits(spec.rate_limits)?;
    config.settings.clone_from(&spec.settings);
    config.user.clone_from(&spec.user);
    config.password_file = spec.password_file.as_deref().map(Into::into);
    config.ca_file = spec.ca_file.as_deref().map(Into::into);
    config.cert_file = spec.cert_file.as_deref().map(Into::into);
    config.key_file = spec.key_file.as_deref().map(Into::into);
    if let Some(seconds) = spec.request_timeout_s {
        config.request_timeout_ms = u64::from(seconds) * 1000;
    }
    if let Some(most) = spec.connections_max {
        config.connections_max = usize::try_from(most).unwrap_or(usize::MAX);
    }
    config.propagation_ms = spec.propagation_ms.unwrap_or(0).into();
    config.fail_after_ms = match spec.on_outage {
        OutagePolicy::Wait => None,
        OutagePolicy::FailAfter(seconds) => Some(u64::from(seconds) * 1000),
    };
    config.check().map_err(error::store)?;
    Ok(config)
}

async fn open(spec: &PoolSpec, known: Option<Proof>) -> Result<Open> {
    let config = store_config(spec)?;
    let is_new = known.is_none();
    let proof = match known {
        Some(proof) => proof,
        None => {
            let opened = restblk_store::open(&patience::for_proof(&config)).await;
            opened.map_err(error::store)?.proof
        }
    };
    let data = open_pinned(&config, &proof).map_err(error::store)?;
    data.set_name(spec.name.as_str());
    for mirror in &spec.urls {
        data.set(&mirror.url, options(mirror)).map_err(error::store)?;
    }
    let control: Arc<dyn Store> = Arc::new(data.with_outage(Outage::FailAfter(patience::WORK)));
    let mut fresh = PoolRecord {
        id: restblk_types::VolumeId::random().to_string(),
        created_at: clock::now(),
        created_by: env!("CARGO_PKG_VERSION").to_owned(),
        incompat: Vec::new(),
        ro_compat: Vec::new(),
        proved: None,
        other: restblk_format::OtherFields::new(),
    };
    fresh.keep_proof(proved(&proof));
    let safety = if spec.single_host {
        Safety::SingleHost
    } else {
        Safety::Proved
    };
    let dialect = proof.dialect.clone();
    let repository = patience::bounded(Repository::open(
        spec.name.as_str(),
        control,
        proof.capabilities.clone(),
        dialect,
        safety,
        fresh,
    ))
    .await
    .map_err(error::engine)?;
    data.watch(repository.marker());
    let open = Open {
        repository: Arc::new(repository),
        data,
        limiter: Arc::new(Limiter::new(spec.rate_limits)),
        seen: RwLock::new(proof.mirrors.clone()),
        proof,
    };
    if is_new {
        open.keep_proof().await;
    }
    Ok(open)
}
