//! What a shell offers where the name of a pool or a volume goes.
//!
//! The shell runs this program with `RESTBLK_COMPLETE` set at each TAB (the script of `restblk completions` does). The daemon
//! is asked, and whoever types must not wait for it nor read its troubles: what is not known within [`PATIENCE`] is not
//! offered, and nothing is ever said on standard error.

use crate::cli;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use restblk_api::client::Client;
use restblk_api::{Layout, TransportChoice};
use restblk_types::{Compression, Durability, PoolName};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::Duration;

/// The variable that makes a run of the program a completion; its value is the shell.
const VARIABLE: &str = "RESTBLK_COMPLETE";

/// How long the daemon may take. A person notices a third of a second.
const PATIENCE: Duration = Duration::from_millis(200);

/// Answers a shell's question, if this run is one.
pub(crate) fn answered(args: &[OsString]) -> bool {
    let folder = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(cli::command)
        .var(VARIABLE)
        .try_complete(args.iter().cloned(), folder.as_deref());
    // An unknown shell, or a closed pipe: nothing is offered.
    answered.unwrap_or(true)
}

/// Writes what makes a shell ask; false for a shell that is not known.
pub(crate) fn write_script(shell: &str, out: &mut dyn Write) -> io::Result<bool> {
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(shell) else {
        return Ok(false);
    };
    completer.write_registration(VARIABLE, "restblk", "restblk", "restblk", out)?;
    if shell == "zsh" {
        // Found in a folder of completions, the script is run as a function at the first TAB, which it then has to answer.
        let first = "if [ \"$funcstack[1]\" = _restblk ]; then _clap_dynamic_completer_restblk \"$@\"; fi";
        writeln!(out, "{first}")?;
    }
    Ok(true)
}

/// Names of pools.
pub(crate) fn pools() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offered(typed, |client, _| async move {
            let pools = client.pools().await.ok()?;
            Some(pools.into_iter().map(|pool| plain(pool.spec.name)).collect())
        })
    })
}

/// A pool's name, for a volume that does not exist yet.
pub(crate) fn new_volumes() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offered(typed, |client, _| beginnings(client)))
}

/// Volumes.
pub(crate) fn volumes() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offered(typed, |client, typed| known(client, typed, false)))
}

/// Volumes that nobody has attached.
pub(crate) fn free_volumes() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offered(typed, |client, typed| known(client, typed, true)))
}

/// Snapshots, once their volume is typed; volumes before.
pub(crate) fn snapshots() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offered(typed, |client, typed| async move {
            let Some((volume, _)) = typed.split_once('@') else {
                return known(client, typed, false).await;
            };
            let found = client.snapshots(&volume.parse().ok()?).await.ok()?;
            Some(
                found
                    .into_iter()
                    .map(|one| with_help(one.snapshot.to_string(), one.created_at))
                    .collect(),
            )
        })
    })
}

/// What is attached to this host; by the paths of the devices where a path was begun.
pub(crate) fn attached() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offered(typed, |client, typed| async move {
            let by_path = typed.starts_with('/');
            let attachments = client.attachments().await.ok()?.into_iter();
            let named = attachments.flat_map(|attachment| {
                let volume = attachment.volume.to_string();
                if by_path {
                    let paths = attachment.device.into_iter().chain(attachment.link);
                    paths.map(|path| with_help(path, volume.clone())).collect()
                } else {
                    vec![with_help(volume, attachment.device.unwrap_or_default())]
                }
            });
            Some(named.collect())
        })
    })
}

/// What is exported by this host.
pub(crate) fn exported() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        offered(typed, |client, _| async move {
            let attachments = client.attachments().await.ok()?.into_iter();
            let exports = attachments.filter(|attachment| attachment.transport == TransportChoice::NbdExport);
            Some(exports.map(|export| plain(export.volume)).collect())
        })
    })
}

/// Ways to lie on a store.
pub(crate) fn layouts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        [Layout::Direct, Layout::Log]
            .map(|layout| plain(layout.as_str()))
            .into()
    })
}

/// What a flush may wait for.
pub(crate) fn durabilities() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        [Durability::Local, Durability::Remote]
            .map(|one| plain(one.as_str()))
            .into()
    })
}

/// Ways to pack data.
pub(crate) fn compressions() -> ArgValueCandidates {
    ArgValueCandidates::new(|| Compression::ALL.map(|one| plain(one.as_str())).into())
}

/// Ways to become a device.
pub(crate) fn transports() -> ArgValueCandidates {
    use TransportChoice as T;
    ArgValueCandidates::new(|| {
        [T::Auto, T::Ublk, T::Nbd, T::Loop]
            .map(|choice| plain(choice.as_str()))
            .into()
    })
}

fn plain(name: impl ToString) -> CompletionCandidate {
    CompletionCandidate::new(name.to_string())
}

fn with_help(name: String, help: String) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(help.into()))
}

/// `POOL/` for each pool: shells do not put a space after it.
async fn beginnings(client: Client) -> Option<Vec<CompletionCandidate>> {
    let pools = client.pools().await.ok()?;
    Some(
        pools
            .into_iter()
            .map(|pool| plain(format!("{}/", pool.spec.name)))
            .collect(),
    )
}

/// The volumes of the pool that was begun, or of all; the pools where their stores take too long.
async fn known(client: Client, typed: String, free: bool) -> Option<Vec<CompletionCandidate>> {
    let pool = typed.split_once('/').map(|(pool, _)| pool.parse::<PoolName>());
    let pool = pool.transpose().ok()?;
    // Well within the time for the whole, so that the pools can still be told.
    let listing = tokio::time::timeout(PATIENCE * 3 / 4, client.volumes(pool.as_ref()));
    match listing.await {
        Ok(Ok(volumes)) => Some(
            volumes
                .into_iter()
                .filter(|volume| !free || volume.attached_by.is_none())
                .map(|volume| with_help(volume.volume.to_string(), volume.size.to_string()))
                .collect(),
        ),
        Ok(Err(_)) | Err(_) if pool.is_none() => beginnings(client).await,
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Asks the daemon, and leaves what does not begin as was typed.
fn offered<F>(typed: &OsStr, ask: impl FnOnce(Client, String) -> F) -> Vec<CompletionCandidate>
where
    F: Future<Output = Option<Vec<CompletionCandidate>>>,
{
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let args: Vec<OsString> = std::env::args_os().collect();
    let client = Client::new(cli::socket_of(&args));
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let asked =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(client, typed.to_owned())).await });
    let mut found = asked.ok().flatten().unwrap_or_default();
    found.retain(|candidate| candidate.get_value().to_string_lossy().starts_with(typed));
    found
}
