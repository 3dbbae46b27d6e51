//! Runs the server by hand: `serve ROOT [--listen ADDR] [--mode cdmi2|cdmi1|srb|scality] [--prefix URI] [--user NAME:PASSWORD]
//! [--cert FILE --key FILE [--client-ca FILE]] [--read-only] [--shared] [--recursive-delete] [--no-sync-put]`.
//!
//! Prints its root URI on one line once it listens, and ends on SIGINT or SIGTERM.

use restblk_cdmi_server::{Auth, Config, Mode, Server, Tls, User};
use std::error::Error;
use std::io::Write;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let config = parse(std::env::args().skip(1))?;
    let server = Server::bind(config).await?;
    println!("{}", server.base_uri());
    std::io::stdout().flush()?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Config, Box<dyn Error>> {
    let mut config = Config::new(
        args.next()
            .ok_or("usage: serve ROOT [options]; see the head of the source")?,
    );
    let mut listen = "127.0.0.1:0".parse()?;
    let (mut cert, mut key, mut client_ca) = (None, None, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--listen" => listen = value()?.parse()?,
            "--mode" => {
                config.mode = match value()?.as_str() {
                    "cdmi2" => Mode::Cdmi2,
                    "cdmi1" => Mode::Cdmi1,
                    "srb" => Mode::Srb,
                    "scality" => Mode::Scality,
                    other => return Err(format!("no such mode: {other}").into()),
                }
            }
            "--prefix" => config.uri_prefix = Some(value()?),
            "--user" => {
                let pair = value()?;
                let (name, password) = pair.split_once(':').ok_or("--user needs NAME:PASSWORD")?;
                let user = User {
                    name: name.to_owned(),
                    password: password.to_owned(),
                };
                config.auth.get_or_insert_with(Auth::default).users.push(user);
            }
            "--cert" => cert = Some(value()?.into()),
            "--key" => key = Some(value()?.into()),
            "--client-ca" => client_ca = Some(value()?.into()),
            "--read-only" => config.read_only = true,
            "--shared" => config.shared = true,
            "--recursive-delete" => config.recursive_delete = true,
            "--no-sync-put" => config.sync_put = false,
            other => return Err(format!("no such option: {other}").into()),
        }
    }
    match (cert, key) {
        (Some(cert), Some(key)) => {
            config.tls = Some(Tls {
                listen: vec![listen],
                cert,
                key,
                client_ca,
            })
        }
        (None, None) => config.listen.push(listen),
        _ => return Err("--cert and --key go together".into()),
    }
    Ok(config)
}
