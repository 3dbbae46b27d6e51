//! `restblk pool show`: all that is known of one pool.

use super::{advise, state};
use crate::commands::{limits, mirror};
use crate::complete;
use crate::failure::Result;
use crate::output::pairs;
use crate::session::Session;
use clap::Args;
use restblk_api::{OutagePolicy, Pool, ProvenMirror};
use restblk_types::PoolName;

/// Show a pool: its state, its mirrors, and what its store was proved to do
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Name of the pool
    #[arg(add = complete::pools())]
    name: PoolName,
}

impl Show {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("show the pool {}", self.name);
        let pool = session
            .call(&what, session.client.pool(&self.name))
            .await
            .map_err(advise)?;
        session.result(&pool, words)
    }
}

fn words(pool: &Pool) -> String {
    let spec = &pool.spec;
    let proven = pool.proven.clone().unwrap_or_default();
    let able = |able: bool| if able { "yes" } else { "no" }.to_owned();
    let shown = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut lines = vec![
        ("Pool", spec.name.to_string()),
        ("Store", spec.store.clone()),
        ("State", state(pool.state).to_owned()),
        ("Problem", shown(&pool.problem)),
        (
            "Defined by",
            if pool.from_config {
                "the configuration file"
            } else {
                "restblk pool create"
            }
            .to_owned(),
        ),
        ("User", shown(&spec.user)),
        ("Password file", shown(&spec.password_file)),
        ("CA file", shown(&spec.ca_file)),
        ("Certificate", shown(&spec.cert_file)),
        ("On outage", outage(spec.on_outage)),
        ("Rate limits", limits::words(&spec.rate_limits)),
        (
            "Single host",
            if spec.single_host { "yes, on your word" } else { "" }.to_owned(),
        ),
    ];
    if pool.proven.is_some() {
        lines.extend([
            ("Dialect", shown(&proven.dialect)),
            ("Exclusive create", able(proven.exclusive_create)),
            ("Writes in place", able(proven.write_in_place)),
            ("Gives space back", able(proven.punch)),
            ("Durable flush", able(proven.flush)),
            ("Fences by itself", able(proven.fences)),
            ("Notes", proven.notes.join("; ")),
        ]);
        let of_mirrors: Vec<_> = proven.mirrors.iter().map(seen).collect();
        lines.push(("Mirrors seen", of_mirrors.join("; ")));
    }
    format!("{}\n{}", pairs(&lines), mirror::table(&pool.mirrors))
}

/// What was seen of a mirror beside the others.
fn seen(mirror: &ProvenMirror) -> String {
    if let Some(problem) = &mirror.problem {
        return format!("{} not looked at: {problem}", mirror.url);
    }
    let lag = match mirror.lag_ms {
        0 => "at once".to_owned(),
        ms => format!("after {ms} ms"),
    };
    let clock = match mirror.clock_skew_ms {
        None => String::new(),
        Some(0) => ", clock right".to_owned(),
        Some(ms) => format!(", clock {:+} s", ms / 1000),
    };
    format!("{} shows the others' changes {lag}{clock}", mirror.url)
}

fn outage(policy: OutagePolicy) -> String {
    match policy {
        OutagePolicy::Wait => "I/O waits".to_owned(),
        OutagePolicy::FailAfter(seconds) => format!("I/O fails after {seconds} s"),
    }
}
