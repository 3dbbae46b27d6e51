//! Misbehaviour on demand does what it says: tests of clients rely on it.

use crate::rig::Rig;
use restblk_cdmi_server::{Landing, Late, Quirks};
use std::time::{Duration, Instant};

fn rig(quirks: Quirks) -> Rig {
    Rig::with(|config| config.quirks = quirks)
}

#[test]
fn partial_writes_replace_or_land_at_zero() {
    let rig1 = rig(Quirks {
        replace_on_partial: true,
        ..Quirks::default()
    });
    let mut c = rig1.client();
    c.put("o", b"0123456789").is(201);
    c.patch("o", 4, b"ab").is(204);
    assert_eq!(c.get("o").body, b"ab");
    let rig2 = rig(Quirks {
        partial_at_zero: true,
        ..Quirks::default()
    });
    let mut c = rig2.client();
    c.put("o", b"0123456789").is(201);
    c.patch("o", 4, b"ab").is(204);
    assert_eq!(c.get("o").body, b"ab23456789");
}

#[test]
fn exclusive_create_is_ignored() {
    let rig = rig(Quirks {
        ignore_if_none_match: true,
        ..Quirks::default()
    });
    let mut c = rig.client();
    c.put("o", b"one").is(201);
    c.send("PUT", "o", &["If-None-Match: *"], b"two").is(204);
    assert_eq!(c.get("o").body, b"two");
    assert!(
        c.get("cdmi_capabilities/").json()["capabilities"]
            .get("restblk_exclusive_create")
            .is_none()
    );
}

#[test]
fn reads_are_cut_shortened_or_whole() {
    let cut = rig(Quirks {
        truncate_reads_bytes: Some(4),
        ..Quirks::default()
    });
    let mut c = cut.client();
    c.put("o", b"0123456789").is(201);
    c.raw(format!("GET {}o HTTP/1.1\r\nHost: x\r\n\r\n", c.prefix).as_bytes());
    assert_eq!(c.reply(false).unwrap_err().to_string(), "the body is cut");
    let short = rig(Quirks {
        shorten_reads_bytes: Some(1),
        ..Quirks::default()
    });
    let mut c = short.client();
    c.put("o", b"0123456789").is(201);
    assert_eq!(
        c.send("GET", "o", &["Range: bytes=2-5"], b"").is(206).body,
        b"234"
    );
    let whole = rig(Quirks {
        ignore_range: true,
        ..Quirks::default()
    });
    let mut c = whole.client();
    c.put("o", b"0123456789").is(201);
    assert_eq!(
        c.send("GET", "o", &["Range: bytes=2-5"], b"").is(200).body,
        b"0123456789"
    );
}

#[test]
fn late_answers_land() {
    let late = Late {
        fraction: 0.5,
        delay_ms: 600,
        landing: Landing::AtOnce,
    };
    let rig1 = rig(Quirks {
        late: Some(late),
        ..Quirks::default()
    });
    let mut c = rig1.client();
    c.put("o", b"0").is(201);
    let started = Instant::now();
    c.patch("o", 0, b"1").is(204);
    assert!(started.elapsed() >= Duration::from_millis(600));
    let rig2 = rig(Quirks {
        late: Some(Late {
            fraction: 1.0,
            delay_ms: 400,
            landing: Landing::AfterDelay,
        }),
        ..Quirks::default()
    });
    std::fs::write(rig2.path("o"), b"0").unwrap();
    let mut c = rig2.client();
    c.raw(
        format!(
            "PATCH {}o HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/*\r\n\r\n1",
            c.prefix
        )
        .as_bytes(),
    );
    std::thread::sleep(Duration::from_millis(100));
    drop(c);
    assert_eq!(std::fs::read(rig2.path("o")).unwrap(), b"0");
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(
        std::fs::read(rig2.path("o")).unwrap(),
        b"1",
        "the write landed after the client had gone"
    );
}

#[test]
fn flushes_lie() {
    let rig = rig(Quirks {
        lie_on_flush: true,
        ..Quirks::default()
    });
    let mut c = rig.client();
    c.put("o", b"x").is(201);
    c.send("PATCH", "o?restblk_flush", &[], b"").is(204);
    c.send("PATCH", "missing?restblk_flush", &[], b"").is(404);
}
