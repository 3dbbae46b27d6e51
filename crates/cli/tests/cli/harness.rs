//! A host with a server of canned answers, and the program run on it.

use restblk_api::testing::{Answer, Asked, Server};
use serde_json::{Value, json};
use std::process::{Command, Output};
use tempfile::TempDir;

pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) server: Server,
}

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Host {
    pub(crate) fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let dir = TempDir::new().unwrap();
        let server = Server::start(&dir.path().join("api.sock"), answer).unwrap();
        Self { dir, server }
    }

    /// Every request gets this answer.
    pub(crate) fn always(status: u16, body: Value) -> Self {
        Self::new(move |_| (status, body.clone()))
    }

    /// Runs `restblk` with these words, split at spaces.
    pub(crate) fn run(&self, words: &str) -> Run {
        let mut command = restblk(words);
        command
            .env("RESTBLK_SOCKET", self.server.socket())
            .current_dir(self.dir.path());
        finish(command)
    }

    /// Runs `restblk`, which has to succeed, and takes its result as JSON.
    pub(crate) fn json(&self, words: &str) -> Value {
        let run = self.run(&format!("{words} -o json"));
        assert_eq!(run.code, 0, "{}", run.err);
        serde_json::from_str(&run.out).unwrap()
    }
}

pub(crate) fn restblk(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restblk"));
    command
        .args(words.split_whitespace())
        .env_remove("RESTBLK_SOCKET")
        .stdin(std::process::Stdio::null());
    command
}

pub(crate) fn finish(mut command: Command) -> Run {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        code: status.code().unwrap(),
        out: text(stdout),
        err: text(stderr),
    }
}

pub(crate) fn volume(name: &str, size: u64) -> Value {
    json!({
        "volume": name, "id": "6c0e", "size": size, "block_size": 512, "layout": "direct", "dialect": "cdmi2",
        "created_at": "2026-11-23T08:00:00Z", "state": "ready",
    })
}

pub(crate) fn attachment(name: &str) -> Value {
    json!({
        "volume": name, "transport": "ublk", "device": "/dev/ublkb0", "link": format!("/dev/restblk/{name}"),
        "alias": "disk", "state": "active", "size": 10_u64 << 30, "block_size": 512, "persist": true, "read_only": false,
        "since": "2026-11-23T08:00:00Z", "limits": ["no resize while attached"],
        "holders": [{"kind": "mount", "description": "mounted on /srv"}],
    })
}

pub(crate) fn pool(name: &str) -> Value {
    json!({
        "spec": {"name": name, "store": "cdmi", "urls": ["http://a/v/"], "on_outage": "wait", "single_host": false},
        "state": "ready",
        "proven": {"dialect": "cdmi2", "exclusive_create": true, "write_in_place": true, "punch": false, "flush": true, "fences": false, "notes": ["no punch"], "mirrors": [{"url": "http://a/v/", "lag_ms": 0, "clock_skew_ms": 0}]},
        "mirrors": [{
            "url": "http://a/v/", "state": "up", "weight": 1, "priority": 0, "outstanding": 2, "share": 0.5, "requests": 12, "errors": 0,
            "latency_ms": 1.25, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "latency_p99_ms": 4.0,
        }],
        "from_config": false,
    })
}

pub(crate) fn error(kind: &str, message: &str) -> Value {
    json!({"kind": kind, "message": message})
}
