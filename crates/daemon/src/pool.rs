//! One pool: its store proved and open, or why not.
//!
//! The store is reached by two ways over the same mirrors: control operations, which give up in time and tell the person
//! who waits (`patience`), and data, which waits as the pool's `on_outage` says. What one learns of a mirror the other knows.

use crate::{clock, error, error::Result, patience};
use restblk_api::{
    ErrorBody, MirrorChange, MirrorSpec, MirrorState, MirrorStatus, OutagePolicy, Pool, PoolSpec, PoolState,
    Proven,
};
use restblk_block::Limiter;
use restblk_engine::{Repository, Safety};
use restblk_format::PoolRecord;
use restblk_store::{
    Durability, MirrorOptions, Mirrored, Outage, Proof, Store, StoreConfig, StoreKind, open_mirror_pinned,
    open_pinned,
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
    pub(crate) proof: Proof,
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

    /// A client of a new mirror, which was seen to show the same repository.
    pub(crate) async fn look_at_mirror(&self, mirror: &MirrorSpec) -> Result<Arc<dyn Store>> {
        let (open, url) = (self.open()?, &mirror.url);
        let spec = self.spec_with(mirror)?;
        let mirror = open_mirror_pinned(&store_config(&spec)?, url, &open.proof).map_err(error::store)?;
        let look = tokio::time::timeout(patience::WORK, Repository::id_behind(&*mirror)).await;
        let id = look
            .map_err(|_| {
                ErrorBody::new(
                    ErrorKind::Unavailable,
                    format!(
                        "add the mirror {url}: it did not answer within {} s",
                        patience::WORK.as_secs()
                    ),
                )
            })?
            .map_err(error::engine)?;
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
        Ok(mirror)
    }

    /// Adds a mirror that was looked at. Returns the spec that now holds.
    pub(crate) fn add_mirror(&self, mirror: &MirrorSpec, store: Arc<dyn Store>) -> Result<PoolSpec> {
        let open = self.open()?;
        let spec = self.spec_with(mirror)?;
        open.data
            .add(&mirror.url, store, options(mirror))
            .map_err(error::store)?;
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

    fn proven(&self) -> Proven {
        let can = &self.proof.capabilities;
        Proven {
            dialect: self.proof.dialect.clone(),
            exclusive_create: can.exclusive_create,
            write_in_place: can.write_at,
            punch: can.punch,
            flush: can.durability != Durability::Unstated,
            fences: can.lock,
            notes: self.proof.notes.clone(),
        }
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
    let fresh = PoolRecord {
        id: restblk_types::VolumeId::random().to_string(),
        created_at: clock::now(),
        created_by: env!("CARGO_PKG_VERSION").to_owned(),
        incompat: Vec::new(),
        ro_compat: Vec::new(),
    };
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
    Ok(Open {
        repository: Arc::new(repository),
        data,
        limiter: Arc::new(Limiter::new(spec.rate_limits)),
        proof,
    })
}
