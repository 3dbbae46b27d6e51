//! A daemon of which the tests decide what goes wrong: a name such as `err-no_space` fails with that kind of error.

use restblk_api::testing::{Answer, Asked};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Daemon {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pools: Vec<(String, Vec<String>)>,
    volumes: Vec<(String, u64)>,
    attachments: Vec<Value>,
}

fn fail(status: u16, kind: &str, message: &str) -> Answer {
    (
        status,
        json!({"kind": kind, "message": message, "hint": "look at it"}),
    )
}

/// The error that a name asks for.
fn injected(name: &str) -> Option<Answer> {
    let kind = name.rsplit('/').next()?.strip_prefix("err-")?;
    Some(fail(500, kind, "as you asked"))
}

impl Daemon {
    pub(crate) fn answer(&self, asked: &Asked) -> Answer {
        let mut state = self.state.lock().unwrap();
        let line = asked.line();
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let words: Vec<&str> = path.split('/').skip(2).collect();
        match (asked.method.as_str(), words.as_slice()) {
            ("GET", ["pools"]) => (200, state.pools.iter().map(pool).collect()),
            ("POST", ["pools"]) => state.create_pool(&asked.body),
            ("GET", ["pools", name]) => state
                .pool(name)
                .map_or_else(|| none(name), |found| (200, pool(found))),
            ("DELETE", ["pools", name]) => {
                state.pools.retain(|(known, _)| known != name);
                (204, Value::Null)
            }
            ("POST", ["pools", name, "mirrors"]) => {
                state.add_mirror(name, asked.body["url"].as_str().unwrap())
            }
            ("DELETE", ["pools", name, "mirrors"]) => state.remove_mirror(name, query),
            ("GET", ["volumes"]) => {
                let prefix = format!("{}/", query.strip_prefix("pool=").unwrap());
                if state.pool(prefix.trim_end_matches('/')).is_none() {
                    return none(&prefix);
                }
                let volumes = state.volumes.iter().filter(|(name, _)| name.starts_with(&prefix));
                (200, volumes.map(|(name, size)| volume(name, *size)).collect())
            }
            ("POST", ["volumes"]) => state.create(&asked.body),
            (_, ["volumes", pool, name, ..]) => {
                state.volume(&asked.method, &format!("{pool}/{name}"), &words, &asked.body)
            }
            ("GET", ["attachments"]) => (200, Value::Array(state.attachments.clone())),
            ("POST", ["attachments"]) => state.attach(&asked.body),
            ("POST", ["attachments", pool, name, "detach"]) => state.detach(&format!("{pool}/{name}")),
            _ => fail(500, "bug", &format!("not expected: {line}")),
        }
    }
}

fn none(name: &str) -> Answer {
    fail(404, "not_found", &format!("there is no {name}"))
}

impl State {
    fn pool(&self, name: &str) -> Option<&(String, Vec<String>)> {
        self.pools.iter().find(|(known, _)| known == name)
    }

    fn create_pool(&mut self, spec: &Value) -> Answer {
        let (name, url) = (spec["name"].as_str().unwrap(), spec["urls"][0].as_str().unwrap());
        assert_eq!(
            (&spec["store"], spec.get("dialect")),
            (&json!("cdmi"), None),
            "CDMI, of a dialect that is found"
        );
        if url.contains("unreachable") {
            return fail(503, "unavailable", "no answer");
        }
        let made = (name.to_owned(), vec![url.to_owned()]);
        self.pools.push(made.clone());
        (201, pool(&made))
    }

    fn add_mirror(&mut self, name: &str, url: &str) -> Answer {
        if url.contains("unreachable") {
            return fail(503, "unavailable", "no answer");
        }
        let found = self.pools.iter_mut().find(|(known, _)| known == name).unwrap();
        found.1.push(url.to_owned());
        (200, pool(found))
    }

    fn remove_mirror(&mut self, name: &str, query: &str) -> Answer {
        let quoted = query.strip_prefix("url=").unwrap();
        let url = quoted.replace("%3A", ":").replace("%2F", "/").replace("%2E", ".");
        let found = self.pools.iter_mut().find(|(known, _)| known == name).unwrap();
        let before = found.1.len();
        found.1.retain(|known| *known != url);
        if found.1.len() == before {
            none(&url)
        } else {
            (200, pool(found))
        }
    }

    fn create(&mut self, body: &Value) -> Answer {
        let (name, size) = (body["volume"].as_str().unwrap(), body["size"].as_u64().unwrap());
        let pool = name.split('/').next().unwrap();
        if let Some(error) = injected(name) {
            return error;
        }
        if self.pool(pool).is_none() {
            return none(pool);
        }
        if size == 0 {
            return fail(422, "invalid", "a volume cannot have the size 0");
        }
        if self.volumes.iter().any(|(known, _)| known == name) {
            return fail(409, "exists", "taken");
        }
        if name.ends_with("/slow") {
            std::thread::sleep(Duration::from_millis(600));
        }
        self.volumes.push((name.to_owned(), size));
        (201, volume(name, size))
    }

    fn volume(&mut self, method: &str, name: &str, words: &[&str], body: &Value) -> Answer {
        let Some(index) = self.volumes.iter().position(|(known, _)| known == name) else {
            return injected(name).unwrap_or_else(|| none(name));
        };
        let attached = self
            .attachments
            .iter()
            .any(|attachment| attachment["volume"] == json!(name));
        match (method, words.get(3)) {
            ("GET", None) => (200, volume(name, self.volumes[index].1)),
            ("DELETE", None) if attached => fail(409, "busy", "attached"),
            ("DELETE", None) => {
                self.volumes.remove(index);
                (204, Value::Null)
            }
            ("POST", Some(&"extend")) => {
                self.volumes[index].1 = body["size"].as_u64().unwrap();
                (200, volume(name, self.volumes[index].1))
            }
            _ => fail(500, "bug", "not expected"),
        }
    }

    fn attach(&mut self, body: &Value) -> Answer {
        let name = body["volume"].as_str().unwrap();
        if let Some(error) = injected(name) {
            return error;
        }
        let Some((_, size)) = self.volumes.iter().find(|(known, _)| known == name) else {
            return none(name);
        };
        let attachment = json!({
            "volume": name, "transport": "ublk", "device": format!("/dev/ublkb{}", self.attachments.len()),
            "alias": body["alias"], "state": "active", "size": size, "block_size": 512, "persist": false,
            "read_only": false, "since": "2026-11-23T08:00:00Z",
        });
        self.attachments.push(attachment.clone());
        (201, attachment)
    }

    fn detach(&mut self, name: &str) -> Answer {
        if name.ends_with("/open") {
            return fail(409, "busy", "open by fio (pid 123)");
        }
        self.attachments
            .retain(|attachment| attachment["volume"] != json!(name));
        (204, Value::Null)
    }
}

fn pool((name, urls): &(String, Vec<String>)) -> Value {
    json!({
        "spec": {"name": name, "store": "cdmi", "urls": urls}, "state": "ready", "mirrors": [], "from_config": false,
    })
}

fn volume(name: &str, size: u64) -> Value {
    json!({
        "volume": name, "id": "6c0e", "size": size, "block_size": 512, "layout": "direct",
        "created_at": "2026-11-23T08:00:00Z", "state": "ready",
    })
}
