//! The commands, one file each. An `Args` struct defines one for help, man page, completions and reference at once;
//! its `run` does it.

mod attach;
mod cache;
mod check;
mod completions;
mod control_files;
mod daemon;
mod detach;
mod devices;
mod diff;
mod doctor;
mod export;
mod image;
mod keys;
mod limits;
mod loop_helper;
mod man;
mod mirror;
mod pool;
mod receive;
mod reference;
mod send;
mod serve;
mod snapshot;
mod trash;
mod unexport;
mod volume;

use crate::cli::Cli;
use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Subcommand;
use restblk_types::ErrorKind;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(volume::create::Create),
    Clone(volume::clone::Clone),
    #[command(alias = "ls")]
    List(volume::list::List),
    Show(volume::show::Show),
    Extend(volume::extend::Extend),
    Convert(volume::convert::Convert),
    #[command(alias = "rm")]
    Delete(volume::delete::Delete),
    /// Everything about volumes, also what is rarely needed
    #[command(subcommand)]
    Volume(volume::Volume),
    /// The trash: log volumes that were deleted and can be restored
    #[command(subcommand)]
    Trash(trash::Trash),
    /// Snapshots: states of log volumes that stay
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    Check(check::Check),
    Diff(diff::Diff),
    Send(send::Send),
    Receive(receive::Receive),
    /// Disk images (raw, qcow2, …) of volumes, and volumes of them
    #[command(subcommand)]
    Image(image::Image),
    Attach(attach::Attach),
    Detach(detach::Detach),
    Devices(devices::Devices),
    Export(export::Export),
    Unexport(unexport::Unexport),
    /// Pools: the repositories of volumes that this host knows
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Mirrors: the servers through which a pool is reached
    #[command(subcommand)]
    Mirror(mirror::Mirror),
    /// The cache: what log volumes read, on a disk of this host
    #[command(subcommand)]
    Cache(cache::Cache),
    Daemon(daemon::Daemon),
    Serve(serve::Serve),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
    #[command(name = "__control-files", hide = true)]
    ControlFiles(control_files::ControlFiles),
    #[command(name = "__loop-helper", hide = true)]
    LoopHelper(loop_helper::LoopHelper),
    #[command(name = "__reference", hide = true)]
    Reference(reference::Reference),
}

/// Runs a command. The long-lived ones get the process before there is any thread or runtime in it.
pub(crate) fn run(cli: Cli) -> Result {
    let session = Session::new(&cli.global);
    match cli.command {
        Command::Daemon(daemon) => daemon.run(),
        Command::Serve(serve) => serve.run(&session),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(&session),
        Command::ControlFiles(control_files) => control_files.run(&session),
        Command::LoopHelper(loop_helper) => loop_helper.run(),
        Command::Reference(reference) => reference.run(&session),
        command => {
            let runtime = runtime(tokio::runtime::Builder::new_current_thread())?;
            runtime.block_on(ask(command, &session))
        }
    }
}

/// The runtime that a builder makes.
fn runtime(mut builder: tokio::runtime::Builder) -> Result<tokio::runtime::Runtime> {
    let built = builder.enable_all().build();
    built.map_err(|error| Failure::new(ErrorKind::Bug, format!("failed to start the runtime: {error}")))
}

/// Resolves when the process is told to end.
fn told_to_end() -> Result<impl Future<Output = ()>> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Failure::new(ErrorKind::Bug, format!("failed to wait for signals: {error}")))
    };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Runs a command that asks the daemon.
async fn ask(command: Command, session: &Session) -> Result {
    match command {
        Command::Create(create) => create.run(session).await,
        Command::Clone(clone) => clone.run(session).await,
        Command::List(list) => list.run(session).await,
        Command::Show(show) => show.run(session).await,
        Command::Extend(extend) => extend.run(session).await,
        Command::Convert(convert) => convert.run(session).await,
        Command::Delete(delete) => delete.run(session).await,
        Command::Volume(volume) => volume.run(session).await,
        Command::Trash(trash) => trash.run(session).await,
        Command::Snapshot(snapshot) => snapshot.run(session).await,
        Command::Check(check) => check.run(session).await,
        Command::Diff(diff) => diff.run(session).await,
        Command::Send(send) => send.run(session).await,
        Command::Receive(receive) => receive.run(session).await,
        Command::Image(image) => image.run(session).await,
        Command::Attach(attach) => attach.run(session).await,
        Command::Detach(detach) => detach.run(session).await,
        Command::Devices(devices) => devices.run(session).await,
        Command::Export(export) => export.run(session).await,
        Command::Unexport(unexport) => unexport.run(session).await,
        Command::Pool(pool) => pool.run(session).await,
        Command::Mirror(mirror) => mirror.run(session).await,
        Command::Cache(cache) => cache.run(session).await,
        Command::Doctor(doctor) => doctor.run(session).await,
        Command::Daemon(_)
        | Command::Serve(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::ControlFiles(_)
        | Command::LoopHelper(_)
        | Command::Reference(_) => Err(Failure::new(
            ErrorKind::Bug,
            "this command does not ask the daemon",
        )),
    }
}
