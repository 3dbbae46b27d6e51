//! Encrypted volumes: keys are read by the command, sent by value, and never shown.

use crate::harness::{Host, attachment, volume};
use serde_json::json;

const FILE: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

#[test]
fn keys_are_read_from_files_and_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (file, phrase) = (path("file", &FILE), path("phrase", b"open-sesame\nnot this\n"));
    let in_file = json!({"kind": "key-file", "value": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="});
    let in_phrase = json!({"kind": "passphrase", "value": "b3Blbi1zZXNhbWU="});
    let host = Host::always(201, volume("main/a", 1 << 30));
    let run = host.run(&format!(
        "create main/a 1G --layout log --compress zstd --encrypt --key-file {file}"
    ));
    assert_eq!(run.code, 0, "{}", run.err);
    host.run(&format!(
        "volume rekey main/a --key-file {file} --add --new-passphrase-file {phrase}"
    ));
    host.run(&format!(
        "volume rekey main/a --passphrase-file {phrase} --new-key-file {file}"
    ));
    host.run("volume rekey main/a --remove 3");
    host.run("volume compress main/a none");
    let asked = host.server.asked();
    assert_eq!(
        (
            &asked[0].body["compression"],
            &asked[0].body["encrypt"],
            &asked[0].body["key"]
        ),
        (&json!("zstd"), &json!(true), &in_file)
    );
    assert_eq!(asked[1].line(), "PUT /v1/volumes/main/a/keys");
    assert_eq!(
        asked[1].body,
        json!({"key": in_file, "change": {"add": in_phrase}})
    );
    assert_eq!(
        asked[2].body,
        json!({"key": in_phrase, "change": {"replace": in_file}})
    );
    assert_eq!(asked[3].body, json!({"change": {"remove": 3}}));
    assert_eq!(asked[4].line(), "PUT /v1/volumes/main/a/compression");
    assert_eq!(asked[4].body, json!({"compression": "none"}));

    let host = Host::always(201, attachment("main/a"));
    host.run(&format!("attach main/a --passphrase-file {phrase}"));
    assert_eq!(host.server.asked()[0].body["key"], in_phrase);
}

#[test]
fn what_is_no_key_is_told_before_the_daemon_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short");
    std::fs::write(&short, "word-of-a-user").unwrap();
    let (short, none) = (
        short.display().to_string(),
        dir.path().join("none").display().to_string(),
    );
    let host = Host::always(201, attachment("main/a"));
    for (words, code, said) in [
        (format!("attach main/a --key-file {short}"), 6, "32 are the least"),
        (format!("attach main/a --key-file {none}"), 3, "none"),
        (
            format!("attach main/a --key-file {short} --passphrase-file {short}"),
            2,
            "cannot be used",
        ),
        ("volume rekey main/a".to_owned(), 6, "--new-key-file"),
        (
            format!("volume rekey main/a --remove 1 --new-key-file {short}"),
            2,
            "cannot be used",
        ),
        (
            "create main/a 1G --compress gzip".to_owned(),
            6,
            "choose lz4, zstd or none",
        ),
    ] {
        let run = host.run(&words);
        assert_eq!(run.code, code, "{words}: {}", run.err);
        assert!(run.err.contains(said), "{words}: {}", run.err);
        assert!(!run.err.contains("word-of-a-user"), "{}", run.err);
    }
    assert!(host.server.asked().is_empty());
}

#[test]
fn show_tells_what_opens_a_volume_and_nothing_of_it() {
    let mut encrypted = volume("main/a", 1 << 30);
    encrypted["compression"] = json!("zstd");
    encrypted["encryption"] = json!({"cipher": "aes-256-gcm", "slots": [
        {"slot": 0, "kind": "key-file", "created_at": "2026-11-23T08:00:00Z"},
        {"slot": 2, "kind": "passphrase", "created_at": "2026-11-23T08:00:00Z"},
    ]});
    let host = Host::new(move |asked| match asked.line().as_str() {
        "GET /v1/attachments" => (200, json!([])),
        _ => (200, encrypted.clone()),
    });
    let run = host.run("show main/a");
    for wanted in ["zstd", "aes-256-gcm (slots: 0 key file, 2 passphrase)"] {
        assert!(run.out.contains(wanted), "{}", run.out);
    }
}
