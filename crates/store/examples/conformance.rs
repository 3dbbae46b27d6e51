//! Proves a real store, as `pool create` does, and runs the conformance suite on it.
//!
//! `conformance CONFIG [--races N] [--model STEPS] [--prove | --once]`: CONFIG is a file with a `StoreConfig` in JSON (`-`: standard input). Prints
//! the proof as `proof: JSON`; what was not proved is not used, and must be refused as such. Then every check of the suite
//! (not with `--prove`; `--once` proves nothing and makes, reads, lists and removes one object), random operations beside a model, and, where exclusive create was proved, N more rounds of eight
//! racing creates (default 40). Ends with 0 only if all holds, and with `failed to …` where the store cannot be used.

use bytes::Bytes;
use futures_util::future::join_all;
use restblk_store::conformance::{run, run_model};
use restblk_store::{
    Key, MemoryStore, Precondition, Proof, Store, StoreConfig, StoreError, open_mirror, open_mirror_pinned,
    open_pinned,
};
use restblk_types::{ErrorKind, Extent};
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

const RACERS: usize = 8;

struct Arguments {
    config: StoreConfig,
    races: usize,
    model: usize,
    prove_only: bool,
    once: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut given = std::env::args().skip(1);
    let file = given
        .next()
        .ok_or("which store? Name a file with its configuration in JSON")?;
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(&file).map(|found| text = found)
    };
    read.map_err(|error| format!("{file}: {error}"))?;
    let config = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    let mut arguments = Arguments {
        config,
        races: 40,
        model: 300,
        prove_only: false,
        once: false,
    };
    while let Some(option) = given.next() {
        let mut number = || {
            let value = given.next().unwrap_or_default();
            value
                .parse()
                .map_err(|error| format!("{option} {value}: {error}"))
        };
        match option.as_str() {
            "--races" => arguments.races = number()?,
            "--model" => arguments.model = number()?,
            "--prove" => arguments.prove_only = true,
            "--once" => arguments.once = true,
            _ => return Err(format!("{option} is no option")),
        }
    }
    Ok(arguments)
}

/// Rounds of racing creates with another number of winners than one.
async fn race(store: &dyn Store, rounds: usize) -> Result<usize, String> {
    let folder = format!("races/{:016x}", rand::random::<u64>());
    let mut wrong = 0;
    for round in 0..rounds {
        let key = Key::new(format!("{folder}/{round}")).map_err(|error| error.to_string())?;
        let put = |racer: usize| {
            let body = format!("racer {racer} ").repeat(512);
            store.put(&key, Bytes::from(body), Precondition::Absent)
        };
        let mut winners = 0;
        for result in join_all((0..RACERS).map(put)).await {
            match result {
                Ok(_) => winners += 1,
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(format!("failed to {error}")),
            }
        }
        wrong += usize::from(winners != 1);
        store
            .delete(&key, Precondition::Always)
            .await
            .map_err(|error| format!("failed to {error}"))?;
    }
    Ok(wrong)
}

/// Makes, reads, lists and removes one object, believing nothing but that.
async fn use_once(config: &StoreConfig, url: &str) -> Result<(), StoreError> {
    let proof = Proof {
        mirrors: Vec::new(),
        dialect: None,
        capabilities: MemoryStore::new().capabilities(),
        notes: Vec::new(),
        proved_at_s: 0,
    };
    let store = open_mirror_pinned(config, url, &proof)?;
    let name = format!("once/{:016x}", rand::random::<u64>());
    let wrong = |error: String| StoreError::new(ErrorKind::Corrupt, "use", &name, error);
    let key = Key::new(name.clone()).map_err(|error| wrong(error.to_string()))?;
    let body = Bytes::from_static(b"once upon a time");
    store.put(&key, body.clone(), Precondition::Always).await?;
    let range = Extent::new(5, 4).ok_or_else(|| wrong("no range".to_owned()))?;
    let part = store.get(&key, Some(range)).await?.payload.into_bytes();
    let whole = store.get(&key, None).await?.payload.into_bytes();
    let folder = Key::new("once").map_err(|error| wrong(error.to_string()))?;
    let listed = store.list(Some(&folder), None, 1000).await?;
    if whole != body || part != "upon" || !listed.entries.iter().any(|entry| entry.key == key) {
        return Err(wrong("other bytes or names came back".to_owned()));
    }
    store.delete(&key, Precondition::Always).await?;
    println!("used once");
    Ok(())
}

async fn show(arguments: Arguments) -> Result<(), String> {
    let Arguments {
        config,
        races,
        model,
        prove_only,
        once,
    } = arguments;
    let url = config.urls.first().ok_or("the configuration has no URL")?;
    if once {
        return use_once(&config, url)
            .await
            .map_err(|error| format!("failed to {error}"));
    }
    let opened = open_mirror(&config, url)
        .await
        .map_err(|error| format!("failed to {error}"))?;
    println!(
        "proof: {}",
        serde_json::to_string(&opened.proof).map_err(|error| error.to_string())?
    );
    if prove_only {
        return Ok(());
    }
    // As pools do, with their retries: servers may close kept connections as they like.
    let store: Arc<dyn Store> =
        open_pinned(&config, &opened.proof).map_err(|error| format!("failed to {error}"))?;
    let checks = run(|| Arc::clone(&store)).await;
    println!("{checks} checks of the suite passed");
    run_model(Arc::clone(&store), 17, model).await;
    println!("{model} random operations agree with the model");
    if opened.proof.capabilities.exclusive_create {
        match race(&*store, races).await? {
            0 => println!("{races} rounds of {RACERS} racing creates had one winner each"),
            wrong => {
                return Err(format!(
                    "{wrong} of {races} rounds of racing creates had not one winner"
                ));
            }
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match arguments() {
        Ok(arguments) => show(arguments).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
