//! Every exit code, and what is said with it.

use crate::harness::{Host, error, finish, pool, restblk};
use serde_json::{Value, json};

#[test]
fn every_kind_of_error_has_its_code() {
    for (kind, status, code) in [
        ("bug", 500, 1),
        ("not_found", 404, 3),
        ("exists", 409, 4),
        ("conflict", 409, 4),
        ("busy", 409, 5),
        ("invalid", 422, 6),
        ("denied", 403, 7),
        ("unavailable", 503, 8),
        ("retry", 503, 8),
        ("no_space", 507, 9),
        ("corrupt", 500, 10),
        ("unsupported", 501, 11),
        ("fenced", 409, 13),
    ] {
        let mut body = error(kind, "because");
        body["hint"] = json!("try this");
        let host = Host::always(status, body.clone());
        let run = host.run("attach main/disk1");
        assert_eq!(run.code, code, "{kind}");
        assert_eq!(run.out, "", "{kind}");
        assert_eq!(
            run.err, "error: failed to attach main/disk1: because\nhint: try this\n",
            "{kind}"
        );
        let run = host.run("attach main/disk1 --output json");
        assert_eq!(serde_json::from_str::<Value>(&run.err).unwrap(), body, "{kind}");
    }
}

#[test]
fn a_command_line_that_cannot_be_understood_is_2() {
    for words in [
        "",
        "attack main/disk1",
        "attach",
        "attach main/disk1 --loud",
        "list --output xml",
        "volume",
    ] {
        assert_eq!(finish(restblk(words)).code, 2, "{words}");
    }
    let run = finish(restblk("attach -o json"));
    let body: Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!((run.code, &body["kind"]), (2, &json!("invalid")));
    assert!(body["message"].as_str().unwrap().contains("POOL/NAME"), "{body}");
}

#[test]
fn a_missing_command_tells_no_hidden_ones() {
    for words in ["", "volume", "pool"] {
        let mut command = restblk(words);
        command.env("RESTBLK_SOCKET", "/run/x.sock");
        let run = finish(command);
        assert_eq!(run.code, 2, "{words}");
        assert!(
            run.err.contains("--help") && !run.err.contains("__"),
            "{}",
            run.err
        );
    }
}

#[test]
fn what_stands_in_the_way_of_the_long_lived_commands_is_told_with_what_to_do() {
    let dir = tempfile::TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    let run = finish(restblk(&format!("serve {}", missing.display())));
    assert_eq!(run.code, 3);
    assert!(
        run.err.contains(&format!("hint: mkdir {}", missing.display())),
        "{}",
        run.err
    );
    // A directory in which nothing can be made.
    let run = finish(restblk("serve /proc --listen 127.0.0.1:0"));
    assert_ne!(run.code, 0);
    assert!(!run.err.contains("mkdir"), "{}", run.err);
    let here = dir.path().display();
    // A documentation address (RFC 5737), which no host has.
    let run = finish(restblk(&format!("serve {here} --listen 192.0.2.1:80")));
    assert!(
        run.err.contains("hint: choose an address of this host"),
        "{}",
        run.err
    );
}

#[test]
fn a_taken_name_is_told_with_what_to_do() {
    let host = Host::always(409, error("exists", "create main/a: the name is taken"));
    let run = host.run("create main/a 1G");
    assert_eq!(run.code, 4);
    assert!(
        run.err.contains("hint: restblk show main/a tells what it is"),
        "{}",
        run.err
    );
}

#[test]
fn a_value_that_is_not_possible_is_6_wherever_it_is_found() {
    let host = Host::new(|asked| match asked.path.as_str() {
        "/v1/pools" => (200, json!([pool("main"), pool("backup")])),
        _ => (422, error("invalid", "the size 0 is no size")),
    });
    for (words, wanted) in [
        ("create main/disk1 0", "the size 0"),
        ("create main/disk1 10", "10G"),
        ("create main/disk1 10Q", "not a size"),
        ("create main/disk1 16E", "64 bits"),
        ("extend main/disk1 -1G", ""),
        ("create main/disk1 1G --block-size 1024", "512 or 4096"),
        ("create disk1 1G", "the pools here are main, backup"),
        ("create main/a/b 1G", "'/'"),
        ("create main/.. 1G", "'.'"),
        ("attach main/disk1 --transport usb", "ublk"),
        (
            "pool create main --url http://a --on-outage never",
            "fail-after=60",
        ),
        ("pool create a/b --url http://a", "'/'"),
        ("pool create new --store cdmi", "--url"),
    ] {
        let run = host.run(words);
        let code = if words.contains(" -1G") { 2 } else { 6 };
        assert_eq!(run.code, code, "{words}: {}", run.err);
        assert!(run.err.contains(wanted), "{words}: {wanted} in {}", run.err);
    }
    assert_eq!(
        host.server.changes(),
        ["POST /v1/volumes"],
        "only the size 0 needs the daemon's judgement"
    );
}

#[test]
fn the_only_pool_is_suggested() {
    let host = Host::always(200, json!([pool("main")]));
    let run = host.run("attach disk1");
    assert!(run.err.contains("did you mean main/disk1?"), "{}", run.err);
}

#[test]
fn what_is_not_found_comes_with_what_there_is() {
    for (pools, words, wanted) in [
        (json!([]), "create main/a 1G", "restblk pool create main"),
        (json!([pool("main")]), "show mian/a", "the pools here are main"),
        (json!([pool("main")]), "show main/a", "restblk list main"),
    ] {
        let host = Host::new(move |asked| match asked.path.as_str() {
            "/v1/pools" => (200, pools.clone()),
            _ => (404, error("not_found", "there is no such thing")),
        });
        let run = host.run(words);
        assert_eq!(run.code, 3, "{words}");
        assert!(run.err.contains(wanted), "{words}: {wanted} in {}", run.err);
    }
}

#[test]
fn a_daemon_that_is_not_there_is_12() {
    let dir = tempfile::TempDir::new().unwrap();
    let none = dir.path().join("none.sock");
    for words in ["list", "create main/a 1G", "attach disk1", "detach /dev/sda"] {
        let mut command = restblk(words);
        command.arg("--socket").arg(&none);
        let run = finish(command);
        // Without a pool the name is wrong whether the daemon is there or not.
        assert_eq!(
            run.code,
            if words == "attach disk1" { 6 } else { 12 },
            "{words}: {}",
            run.err
        );
        assert!(
            run.err.contains("hint") || words == "attach disk1",
            "{words}: {}",
            run.err
        );
    }
    let dead = dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let mut command = restblk("list -o json");
    command.env("RESTBLK_SOCKET", &dead);
    let run = finish(command);
    let body: Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!((run.code, &body["kind"]), (12, &json!("unavailable")));
    assert!(
        body["hint"].as_str().unwrap().contains("restblk daemon"),
        "{body}"
    );
}

#[test]
fn a_snapshot_is_not_its_volume() {
    let host = Host::always(204, Value::Null);
    let run = host.run("delete main/disk1@monday");
    assert_eq!(run.code, 11, "{}", run.err);
    assert!(host.server.changes().is_empty());
}

#[test]
fn colors_come_when_they_are_asked_for() {
    let host = Host::always(409, error("busy", "in use"));
    assert!(
        host.run("detach main/disk1 --color always")
            .err
            .starts_with("\x1b[1;31merror:\x1b[0m ")
    );
    assert!(host.run("detach main/disk1").err.starts_with("error: "));
}

#[test]
fn doctor_fails_with_a_failed_check() {
    for (state, code) in [("ok", 0), ("warn", 0), ("fail", 1)] {
        let report = json!({"checks": [{"name": "transport/ublk", "state": state, "detail": "no module ublk_drv"}],
            "best_transport": "loop"});
        let host = Host::always(200, report.clone());
        let run = host.run("doctor");
        assert_eq!(run.code, code, "{state}: {}", run.err);
        assert!(
            run.out.contains("transport/ublk  no module ublk_drv") && run.out.contains("takes loop"),
            "{}",
            run.out
        );
        let run = host.run("doctor -o json");
        assert_eq!(
            (run.code, serde_json::from_str::<Value>(&run.out).unwrap()),
            (code, report)
        );
    }
}
