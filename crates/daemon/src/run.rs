//! The daemon's life: before any thread, start, serve, end.
//!
//! Before the second thread starts: an own mount namespace (a device's users and its server must not wait for each
//! other's mounts at exit) and PR_SET_IO_FLUSHER (memory for answering I/O never waits for I/O). The control files run as
//! a child process in the *host's* namespace, started before that: they are for others to see, and know only the API.
//!
//! End: on SIGTERM and SIGINT devices are left to the next daemon where their transport can; nothing is detached.

use crate::{
    attachment::{Attachments, Checks, Context, Journals},
    cache, clock,
    config::Config,
    error::Result,
    host, http,
    keys::Keys,
    metrics::Registry,
    pools::Pools,
    service::Service,
    state::{StateDir, make_private},
    transports::Transports,
    trash,
};
use restblk_api::{ErrorBody, HostInfo};
use restblk_engine::log::Memory;
use restblk_nbd::{Exports, Limits, Listening, Server, Tls, TlsFiles, UnixAccess};
use restblk_types::ErrorKind;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

/// Runs the daemon until it is told to end. Call it from a process of one thread.
pub fn run(config_file: Option<&Path>) -> Result<()> {
    let config = Config::read(config_file)?;
    for folder in [&config.run_dir, &config.state_dir] {
        make_private(folder)?;
    }
    let mut control = config
        .control
        .enabled
        .then(|| start_control(&config))
        .transpose()?;
    restblk_device::memory::keep_freed_memory();
    for (what, done) in [
        (
            "own mount namespace",
            restblk_device::memory::own_mount_namespace(),
        ),
        ("I/O flusher", restblk_device::memory::be_io_flusher()),
        (
            "bound of freed memory",
            restblk_device::memory::bound_freed_memory(),
        ),
    ] {
        if let Err(error) = done {
            tracing::warn!(what, %error, "going on without");
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("restblk")
        .build();
    let runtime =
        runtime.map_err(|e| ErrorBody::new(ErrorKind::Unavailable, format!("start threads: {e}")))?;
    let outcome = runtime.block_on(serve(config));
    runtime.shutdown_timeout(Duration::from_secs(5));
    if let Some(child) = &mut control {
        end_control(child);
    }
    outcome
}

/// Starts the control files in the namespace that everybody sees.
fn start_control(config: &Config) -> Result<Child> {
    let failed =
        |e: std::io::Error| ErrorBody::new(ErrorKind::Unavailable, format!("start the control files: {e}"));
    // Also when the file has been replaced since.
    Command::new("/proc/self/exe")
        .arg("__control-files")
        .arg("--socket")
        .arg(config.socket())
        .arg("--mountpoint")
        .arg(config.control_mountpoint())
        .arg("--default-pool")
        .arg(config.control.default_pool.as_str())
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)
}

/// The child ends, and unmounts, when its standard input does.
fn end_control(child: &mut Child) {
    drop(child.stdin.take());
    for _ in 0..50 {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    tracing::warn!("the control files do not end by themselves");
    let _ = child.kill();
    let _ = child.wait();
}

async fn serve(config: Config) -> Result<()> {
    let state = Arc::new(StateDir::open(&config.state_dir)?);
    let listener = http::bind(&config)?;
    let pools = Pools::load(Arc::clone(&state), config.pools());
    let (transports, metrics, exports) = (
        Arc::new(Transports::new()),
        Arc::new(Registry::default()),
        Exports::new(),
    );
    let (servers, listening) = serve_exports(&config, &exports).await?;
    let cache = cache::open(&config)?;
    let attachments = Attachments::new(Context {
        state: Arc::clone(&state),
        pools: Arc::clone(&pools),
        transports: Arc::clone(&transports),
        exports: Arc::clone(&exports),
        nbd_uris: listening.iter().map(|l| l.uri().to_owned()).collect(),
        metrics: Arc::clone(&metrics),
        hostname: host::hostname(),
        boot_id: host::boot_id(),
        run_dir: config.run_dir.clone(),
        dev_dir: config.dev_dir.clone(),
        lease_check: Duration::from_secs(config.lease_check_s.max(1).into()),
        journal: Journals {
            folder: config.journals(),
            size: config.journal.size.0,
        },
        cache: cache.clone(),
        memory: Arc::new(Memory::new(config.memory.limit.0)),
        keys: Keys::new(config.encryption.clone(), &config.run_dir),
    });
    let info = HostInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host_id: state.host().to_string(),
        hostname: host::hostname(),
        pid: std::process::id(),
        started_at: clock::now(),
        state_dir: state.root().display().to_string(),
        cache: None,
    };
    let service = Arc::new(Service {
        state,
        pools,
        attachments: Arc::clone(&attachments),
        transports,
        metrics,
        checks: Checks::default(),
        info,
        cache,
        keep: config.trash.keep,
        swept: Notify::new(),
    });
    if let Some(address) = config.metrics.listen {
        http::serve_metrics(address, Arc::clone(&service)).await?;
    }
    attachments.recover_all().await;
    let ended = ended()?;
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(socket = %config.socket().display(), version = env!("CARGO_PKG_VERSION"), "the daemon serves");
    let watchdog = tokio::spawn(watchdog());
    let janitor = tokio::spawn(trash::keep_clean(Arc::clone(&service)));
    let served = axum::serve(listener, http::router(service))
        .with_graceful_shutdown(ended)
        .await;
    watchdog.abort();
    janitor.abort();
    notify(&[sd_notify::NotifyState::Stopping]);
    attachments.end_all(host::goes_down().await).await;
    for server in servers {
        server.close().await;
    }
    let _ = std::fs::remove_file(config.socket());
    tracing::info!("the daemon ends");
    served.map_err(|e| ErrorBody::new(ErrorKind::Unavailable, format!("serve the API: {e}")))
}

/// The NBD servers: the Unix socket in the clear (its mode guards it), TCP with TLS where a certificate is given.
async fn serve_exports(config: &Config, exports: &Arc<Exports>) -> Result<(Vec<Server>, Vec<Listening>)> {
    let failed = |e: restblk_nbd::ServerError| ErrorBody::new(e.kind(), e.to_string());
    let unix = Server::new(Arc::clone(exports), Limits::default(), Tls::Off);
    let mut listening = vec![
        unix.listen_unix(&config.nbd_socket(), UnixAccess::default())
            .await
            .map_err(failed)?,
    ];
    let mut servers = vec![unix];
    if !config.nbd.listen.is_empty() {
        let tls = match (&config.nbd.tls_cert, &config.nbd.tls_key) {
            (Some(cert), Some(key)) => {
                let files = TlsFiles {
                    certificate: cert.clone(),
                    key: key.clone(),
                    client_ca: config.nbd.tls_client_ca.clone(),
                };
                Tls::Require(files.load().map_err(failed)?)
            }
            (None, None) => Tls::Off,
            _ => {
                let message = "serve NBD with TLS: nbd.tls_cert and nbd.tls_key belong together";
                return Err(ErrorBody::new(ErrorKind::Invalid, message));
            }
        };
        let tcp = Server::new(Arc::clone(exports), Limits::default(), tls);
        for address in &config.nbd.listen {
            listening.push(tcp.listen_tcp(*address).await.map_err(failed)?);
        }
        servers.push(tcp);
    }
    Ok((servers, listening))
}

/// Resolves on SIGTERM or SIGINT.
fn ended() -> Result<impl Future<Output = ()>> {
    let failed = |e: std::io::Error| ErrorBody::new(ErrorKind::Unavailable, format!("wait for signals: {e}"));
    let (mut term, mut int) = (
        signal(SignalKind::terminate()).map_err(failed)?,
        signal(SignalKind::interrupt()).map_err(failed)?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd was not told");
    }
}

/// Tells systemd that the runtime still runs tasks, where it asked to be told.
async fn watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        notify(&[sd_notify::NotifyState::Watchdog]);
        tokio::time::sleep(interval / 2).await;
    }
}
