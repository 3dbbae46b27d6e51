//! kill -9: what was flushed is there, nothing is half-made, and no old tag names new content.

use crate::rig::{Process, Rig};
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn what_was_flushed_survives_a_kill() {
    let dir = TempDir::new().unwrap();
    let process = Process::start(dir.path(), &[]);
    let mut c = process.client();
    c.send("PUT", "c/", &[], b"").is(201);
    c.put("c/o", &[1; 100_000]).is(201);
    let mut wanted = vec![1; 100_000];
    for n in 0..50u8 {
        let at = usize::from(n) * 1999;
        c.patch("c/o", at as u64, &[n; 1000]).is(204);
        wanted[at..at + 1000].fill(n);
    }
    c.send("PATCH", "c/o?restblk_size=123456", &[], b"").is(204);
    wanted.resize(123_456, 0);
    c.cdmi("PATCH", "c/o", r#"{"metadata":{"k":"v"}}"#).is(204);
    let tag = c.send("PATCH", "c/o?restblk_flush", &[], b"").is(204).tag();
    process.kill();
    let process = Process::start(dir.path(), &[]);
    let mut c = process.client();
    let read = c.get("c/o").is(200);
    assert!(read.body == wanted);
    assert_ne!(read.tag(), tag, "written in place and killed: another tag");
    assert_eq!(c.cdmi("GET", "c/o?metadata", "").json()["metadata"]["k"], "v");
}

#[test]
fn whole_objects_that_were_not_written_into_keep_their_tags_over_a_kill() {
    let dir = TempDir::new().unwrap();
    let process = Process::start(dir.path(), &[]);
    let tag = process.client().put("o", b"x").is(201).tag();
    process.kill();
    let process = Process::start(dir.path(), &[]);
    let mut c = process.client();
    assert_eq!(c.get("o").tag(), tag);
    let changed = c.patch("o", 0, b"y").is(204).tag();
    process.kill();
    let process = Process::start(dir.path(), &[]);
    let now = process.client().get("o").is(200);
    assert_eq!(now.body, b"y");
    assert!(now.tag() != tag && now.tag() != changed);
}

#[test]
fn twenty_kills_under_load_leave_every_acknowledged_write_and_nothing_half_made() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged = [0u8; 64];
    let mut whole = 0u8;
    for round in 1..=20u8 {
        let process = Process::start(dir.path(), &[]);
        let mut c = process.client();
        if round == 1 {
            c.put("v", &[0; 64 * 4096]).is(201);
            c.put("w", &[0; 300_000]).is(201);
        } else {
            let body = c.get("v").is(200).body;
            for (block, value) in acknowledged.iter().enumerate() {
                let bytes = &body[block * 4096..(block + 1) * 4096];
                // The write under way at the kill may have landed, so a block may be one ahead.
                assert!(
                    bytes[0] == *value || bytes[0] == value.wrapping_add(1),
                    "round {round}, block {block}"
                );
            }
            let body = c.get("w").is(200).body;
            assert!(
                body.len() == 300_000 && body.iter().all(|b| *b == body[0]),
                "a torn object"
            );
            assert!(body[0] == whole || body[0] == whole.wrapping_add(1));
            whole = body[0];
            for (block, value) in acknowledged.iter_mut().enumerate() {
                *value = c
                    .send("GET", "v", &[&format!("Range: bytes={0}-{0}", block * 4096)], b"")
                    .is(206)
                    .body[0];
            }
        }
        let pid = process.child.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20 + u64::from(round) * 7));
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
        });
        let mut n = 0usize;
        loop {
            let block = n % 64;
            let value = acknowledged[block].wrapping_add(1);
            let range = format!("Content-Range: bytes {}-{}/*", block * 4096, block * 4096 + 4095);
            let request = format!(
                "PATCH {}v HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n{range}\r\n\r\n",
                c.prefix
            );
            c.raw(&[request.as_bytes(), &[value; 4096]].concat());
            match c.reply(false) {
                Ok(reply) => assert_eq!(reply.status, 204),
                Err(_) => break,
            }
            acknowledged[block] = value;
            if n.is_multiple_of(5) {
                let request = format!(
                    "PUT {}w HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n",
                    c.prefix
                );
                c.raw(&[request.as_bytes(), &[whole.wrapping_add(1); 300_000]].concat());
                match c.reply(false) {
                    Ok(reply) => assert_eq!(reply.status, 204),
                    Err(_) => break,
                }
                whole = whole.wrapping_add(1);
            }
            n += 1;
        }
        killer.join().unwrap();
    }
    let _process = Process::start(dir.path(), &[]);
    assert_eq!(
        std::fs::read_dir(dir.path().join(".cdmi-server/tmp"))
            .unwrap()
            .count(),
        0,
        "swept"
    );
}

#[test]
fn half_made_things_are_swept_and_never_listed() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path(".cdmi-server/tmp/dir")).unwrap();
    std::fs::write(rig.path(".cdmi-server/tmp/dir/file"), b"x").unwrap();
    let mut c = rig.client();
    assert_eq!(
        c.cdmi("GET", "/cdmi/2.0.0/", "").json()["children"],
        serde_json::json!([])
    );
    c.get(".cdmi-server/tmp/dir/file").is(404);
    c.put(".cdmi-server/x", b"x").is(404);
    drop(c);
    let rig = rig.restart();
    assert_eq!(
        std::fs::read_dir(rig.path(".cdmi-server/tmp")).unwrap().count(),
        0
    );
}

#[test]
fn one_server_at_a_time_has_a_root() {
    let rig = Rig::new();
    let mut config = restblk_cdmi_server::Config::new(rig.dir.path());
    config.listen.push("127.0.0.1:0".parse().unwrap());
    let error = rig
        .runtime
        .block_on(restblk_cdmi_server::Server::bind(config.clone()))
        .unwrap_err();
    assert!(error.to_string().contains("another server"), "{error}");
    config.root = "/nowhere/at/all".into();
    let error = rig
        .runtime
        .block_on(restblk_cdmi_server::Server::bind(config))
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}
