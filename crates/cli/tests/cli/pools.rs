//! Pools and mirrors.

use crate::harness::{Host, error, pool};
use serde_json::{Value, json};

#[test]
fn a_pool_is_described_whole() {
    let host = Host::always(201, pool("main"));
    let words = "pool create main --store cdmi --url https://a/v/ --url https://b/v/ --user me --password-file secret \
        --ca-file /etc/ca.pem --cert-file c.pem --key-file k.pem --dialect cdmi1 --request-timeout 5 --connections 64 \
        --on-outage fail-after=60 --single-host";
    let run = host.run(words);
    assert_eq!((run.code, run.out.as_str()), (0, "main\n"), "{}", run.err);
    for wanted in ["speaks cdmi2", "no punch", "restblk create main/disk1 10G"] {
        assert!(run.err.contains(wanted), "{wanted} in {}", run.err);
    }
    let here = |name: &str| host.dir.path().join(name).to_str().unwrap().to_owned();
    let wanted = json!({
        "name": "main", "store": "cdmi", "urls": ["https://a/v/", "https://b/v/"], "dialect": "cdmi1", "user": "me",
        "password_file": here("secret"), "ca_file": "/etc/ca.pem", "cert_file": here("c.pem"), "key_file": here("k.pem"),
        "request_timeout_s": 5, "connections_max": 64, "on_outage": {"fail-after": 60}, "single_host": true,
    });
    assert_eq!(host.server.asked()[0].body, wanted);
}

#[test]
fn a_directory_is_sent_whole() {
    let host = Host::always(201, pool("local"));
    assert_eq!(host.run("pool create local --store file --url images").code, 0);
    let wanted = host.dir.path().join("images");
    assert_eq!(host.server.asked()[0].body["urls"], json!([wanted]));
    assert_eq!(host.run("pool create scratch --store memory").code, 0);
}

#[test]
fn half_a_credential_is_refused() {
    let host = Host::always(201, pool("main"));
    let refused = [
        ("--user me", 2),
        ("--password-file f", 6),
        ("--cert-file c", 2),
        ("--key-file k", 2),
    ];
    for (words, code) in refused {
        let run = host.run(&format!("pool create main --url http://a {words}"));
        assert_eq!(run.code, code, "{words}: {}", run.err);
    }
    assert!(host.server.asked().is_empty());
}

#[test]
fn pools_are_listed_and_shown() {
    let host = Host::new(|asked| match asked.path.as_str() {
        "/v1/pools" => (200, json!([pool("main")])),
        "/v1/pools/main" => (200, pool("main")),
        _ => (404, error("not_found", "there is no pool nope")),
    });
    let wanted =
        "POOL  STORE         STATE  MIRRORS UP  URL\nmain  cdmi (cdmi2)  ready  1 of 1      http://a/v/\n";
    assert_eq!(host.run("pool list").out, wanted);
    let shown = host.run("pool show main").out;
    for wanted in [
        "Exclusive create:  yes",
        "Gives space back:  no",
        "Fences by itself:  no",
        "Mirrors seen:      http://a/v/ shows the others' changes at once, clock right",
        "http://a/v/  up            0       1   50 %     2        12       0  1.2 ms  1.0 ms  2.0 ms  4.0 ms",
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    assert_eq!(host.json("pool show main"), pool("main"));
    let run = host.run("pool show nope");
    assert!(
        run.code == 3 && run.err.contains("restblk pool list"),
        "{}",
        run.err
    );
}

#[test]
fn a_pool_is_forgotten() {
    let host = Host::always(204, Value::Null);
    assert_eq!(host.run("pool delete main").code, 0);
    assert_eq!(host.server.changes(), ["DELETE /v1/pools/main"]);
}

#[test]
fn mirrors_come_and_go() {
    let host = Host::always(200, pool("main"));
    assert!(host.run("mirror list main").out.starts_with("MIRROR       STATE"));
    assert_eq!(host.json("mirror list main"), pool("main")["mirrors"]);
    assert_eq!(host.run("mirror add main http://b/v/").code, 0);
    assert_eq!(
        host.run("mirror set main http://b/v/ --weight 3 --priority -1")
            .code,
        0
    );
    assert_eq!(host.run("mirror drain main http://b/v/").code, 0);
    assert_eq!(host.run("mirror resume main http://b/v/").code, 0);
    assert_eq!(host.run("mirror remove main http://b/v/").code, 0);
    assert_eq!(host.run("mirror set main http://b/v/ --weight 0").code, 6);
    let wanted = [
        "POST /v1/pools/main/mirrors",
        "PUT /v1/pools/main/mirrors",
        "POST /v1/pools/main/mirrors/drain",
        "PUT /v1/pools/main/mirrors",
        "DELETE /v1/pools/main/mirrors?url=http%3A%2F%2Fb%2Fv%2F",
    ];
    assert_eq!(host.server.changes(), wanted);
}
