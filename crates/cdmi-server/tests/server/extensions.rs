//! What we add to CDMI: tags, exclusive create, set size, punch, flush.

use crate::rig::{Process, Reply, Rig};
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

#[test]
fn tags_change_with_every_change_and_with_nothing_else() {
    let mut rig = Rig::new();
    let mut c = rig.client();
    let mut seen = vec![c.put("o", b"0123456789").is(201).tag()];
    assert_eq!(c.get("o").tag(), seen[0]);
    let mut step = |tag: String| {
        assert!(!seen.contains(&tag), "{tag} was seen before");
        seen.push(tag);
    };
    step(c.patch("o", 0, b"x").is(204).tag());
    step(c.patch("o", 0, b"x").is(204).tag());
    step(c.send("PATCH", "o?restblk_size=20", &[], b"").is(204).tag());
    let same = c.send("PATCH", "o?restblk_size=20", &[], b"").is(204).tag();
    assert_eq!(same, c.get("o").tag());
    step(c.send("PATCH", "o?restblk_punch=0-4", &[], b"").is(204).tag());
    step(c.cdmi("PATCH", "o", r#"{"metadata":{"a":"b"}}"#).is(204).tag());
    step(c.put("o", b"new").is(204).tag());
    let last = c.send("PATCH", "o?restblk_flush", &[], b"").is(204).tag();
    for path in ["o", "o?metadata"] {
        assert_eq!(c.get(path).tag(), last);
    }
    assert_eq!(c.send("HEAD", "o", &[], b"").tag(), last);
    c.patch("o", 0, b"N").is(204);
    let last = c.get("o").tag();
    drop(c);
    rig = rig.restart();
    assert_eq!(rig.client().get("o").tag(), last, "a clean restart keeps the tag");
    rig = rig.restart();
    let mut c = rig.client();
    assert_eq!(c.get("o").tag(), last);
    assert_ne!(c.patch("o", 0, b"M").is(204).tag(), last);
}

#[test]
fn a_change_by_another_program_between_runs_changes_the_tag() {
    let mut rig = Rig::new();
    let tag = rig.client().put("o", b"one").is(201).tag();
    let server = rig.server.take().unwrap();
    rig.runtime
        .block_on(server.shutdown(std::time::Duration::from_secs(5)));
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(rig.path("o"), b"two").unwrap();
    let rig = Rig::on(rig.dir, |_| {});
    assert_ne!(rig.client().get("o").tag(), tag);
}

#[test]
fn evicted_objects_keep_their_tags() {
    let rig = Rig::with(|config| config.limits.open_files_max = 8);
    let mut c = rig.client();
    let tags: Vec<String> = (0..50)
        .map(|n| {
            c.put(&format!("o{n}"), b"x").is(201);
            c.patch(&format!("o{n}"), 0, b"y").is(204).tag()
        })
        .collect();
    for (n, tag) in tags.iter().enumerate() {
        assert_eq!(c.get(&format!("o{n}")).tag(), *tag);
    }
}

#[test]
fn conditions_hold_or_nothing_happens() {
    let rig = Rig::new();
    let mut c = rig.client();
    let tag = c.put("o", b"one").is(201).tag();
    let other = "\"0000000000000000-1\"";
    let (good, bad) = (format!("If-Match: {other}, {tag}"), format!("If-Match: {other}"));
    for (method, path, headers) in [
        ("PUT", "o", vec![]),
        ("PATCH", "o", vec!["Content-Range: bytes 0-0/*"]),
        ("DELETE", "o", vec![]),
        ("GET", "o", vec![]),
    ] {
        let mut with = headers.clone();
        with.push(&bad);
        c.send(
            method,
            path,
            &with,
            if method == "GET" || method == "DELETE" {
                b""
            } else {
                b"X"
            },
        )
        .is(412);
    }
    c.send("PATCH", "o?restblk_size=1", &[&bad], b"").is(412);
    c.send("PATCH", "o?restblk_punch=0-1", &[&bad], b"").is(412);
    assert_eq!(c.get("o").body, b"one");
    let next = c
        .send("PATCH", "o", &["Content-Range: bytes 0-0/*", &good], b"O")
        .is(204)
        .tag();
    c.send("PATCH", "o", &["Content-Range: bytes 0-0/*", &good], b"P")
        .is(412);
    assert_eq!(c.get("o").body, b"One");
    let reply = c
        .send("GET", "o", &[&format!("If-None-Match: {next}")], b"")
        .is(304);
    assert_eq!((reply.tag(), reply.body.len()), (next.clone(), 0));
    c.send("GET", "o", &[&format!("If-None-Match: W/{next}")], b"")
        .is(304);
    c.send("GET", "o", &[&format!("If-None-Match: {tag}")], b"")
        .is(200);
    c.send("PUT", "o", &["If-None-Match: *"], b"new").is(412);
    c.send("PUT", "o", &[&format!("If-Match: {next}")], b"new")
        .is(204);
    c.send("PUT", "n", &["If-Match: *"], b"new").is(412);
    c.send("PATCH", "n", &["If-Match: *", "Content-Range: bytes 0-0/*"], b"x")
        .is(404);
    c.send("PUT", "o", &["If-Match: nonsense"], b"x").is(400);
    c.cdmi("PUT", "j", "{}").is(201);
    c.send(
        "PUT",
        "j",
        &["Content-Type: application/cdmi-object", "If-None-Match: *"],
        b"{}",
    )
    .is(412);
    c.send(
        "PUT",
        "copy",
        &["Content-Type: application/cdmi-object", "If-None-Match: *"],
        br#"{"copy":"o"}"#,
    )
    .is(201);
    c.send(
        "PUT",
        "copy",
        &["Content-Type: application/cdmi-object", "If-None-Match: *"],
        br#"{"copy":"o"}"#,
    )
    .is(412);
    c.send("DELETE", "j", &["If-Match: *"], b"").is(204);
}

#[test]
fn sizes_are_set_and_ranges_punched() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("o", &vec![7; 64 << 10]).is(201);
    c.send("PATCH", "o?restblk_size=1099511627776&restblk_flush", &[], b"")
        .is(204);
    assert_eq!(std::fs::metadata(rig.path("o")).unwrap().len(), 1 << 40);
    assert_eq!(
        c.send("GET", "o", &["Range: bytes=65535-65537"], b"")
            .is(206)
            .body,
        [7, 0, 0]
    );
    c.send("PATCH", "o?restblk_size=10", &[], b"").is(204);
    c.send("PATCH", "o?restblk_size=65536", &[], b"").is(204);
    assert_eq!(
        c.send("GET", "o", &["Range: bytes=9-11"], b"").is(206).body,
        [7, 0, 0]
    );
    c.put("o", &vec![7; 64 << 10]).is(204);
    let before = std::fs::metadata(rig.path("o")).unwrap().blocks();
    c.send("PATCH", "o?restblk_punch=4000-32767", &[], b"").is(204);
    assert!(
        std::fs::metadata(rig.path("o")).unwrap().blocks() < before,
        "space is given back"
    );
    let mut wanted = vec![7; 64 << 10];
    wanted[4000..32768].fill(0);
    assert!(c.get("o").body == wanted);
    c.send("PATCH", "o?restblk_punch=65000-99999", &[], b"").is(204);
    c.send("PATCH", "o?restblk_punch=99999-100000", &[], b"").is(204);
    assert_eq!(std::fs::metadata(rig.path("o")).unwrap().len(), 64 << 10);
    for (query, status) in [
        ("restblk_size=x", 400),
        ("restblk_size=", 400),
        ("restblk_size=18446744073709551615", 413),
        ("restblk_punch=5-4", 400),
        ("restblk_punch=5", 400),
        ("restblk_flush=1", 400),
        ("restblk_flush&other", 400),
        ("restblk_size=1&restblk_punch=1-2", 400),
    ] {
        c.send("PATCH", &format!("o?{query}"), &[], b"").is(status);
    }
    c.send("PATCH", "o?restblk_size=5", &[], b"body").is(400);
    c.send("PATCH", "nothing?restblk_size=5", &[], b"").is(404);
    assert_eq!(std::fs::metadata(rig.path("o")).unwrap().len(), 64 << 10);
}

#[test]
fn flushes_are_answered() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.send("PUT", "c/", &[], b"").is(201);
    c.send("PUT", "c/o?restblk_flush", &[], b"x").is(201);
    c.send(
        "PATCH",
        "c/o?restblk_flush",
        &["Content-Range: bytes 0-0/*"],
        b"y",
    )
    .is(204);
    c.cdmi("PATCH", "c/o?value=0-0&restblk_flush", r#"{"value":"eg=="}"#)
        .is(204);
    c.send("PATCH", "c/o?restblk_flush", &[], b"").is(204);
    c.send("PATCH", "c/o?restblk_flush", &[], b"body").is(400);
    c.send("PATCH", "c/?restblk_flush", &[], b"").is(204);
    c.send("PATCH", "nothing?restblk_flush", &[], b"").is(404);
    c.send("PATCH", "nothing/?restblk_flush", &[], b"").is(404);
    assert_eq!(c.get("c/o").body, b"z");
    c.send("DELETE", "c/o?restblk_flush", &[], b"").is(204);
}

#[test]
fn changes_and_flushes_name_the_cache_that_holds_them() {
    let dir = TempDir::new().unwrap();
    let process = Process::start(dir.path(), &[]);
    let mut c = process.client();
    let first = c.put("o", b"0123").is(201);
    let instance = first.header("restblk-instance").unwrap().to_owned();
    assert!(instance.len() == 32 && instance.bytes().all(|b| b.is_ascii_hexdigit()));
    let told = |reply: Reply| reply.is(204).header("restblk-instance").map(str::to_owned);
    for path in ["o?restblk_size=9", "o?restblk_punch=0-1", "o?restblk_flush"] {
        assert_eq!(
            told(c.send("PATCH", path, &[], b"")),
            Some(instance.clone()),
            "{path}"
        );
    }
    assert_eq!(told(c.patch("o", 0, b"x")), Some(instance.clone()));
    for reply in [c.get("o"), c.send("PATCH", "no?restblk_flush", &[], b"")] {
        assert_eq!(reply.header("restblk-instance"), None);
    }
    let advertised = c.cdmi("GET", "cdmi_capabilities/", "").json();
    assert_eq!(advertised["capabilities"]["restblk_instance"], "true");
    // Neither a kill nor a clean end loses what the machine's memory holds.
    process.kill();
    let rig = Rig::on(dir.into(), |_| {});
    assert_eq!(told(rig.client().patch("o", 0, b"x")), Some(instance.clone()));
    let mut rig = rig.restart();
    assert_eq!(told(rig.client().patch("o", 0, b"x")), Some(instance.clone()));
    let server = rig.server.take().unwrap();
    rig.runtime
        .block_on(server.shutdown(std::time::Duration::from_secs(5)));
    let kept = rig.path(".cdmi-server/instance");
    assert!(std::fs::read_to_string(&kept).unwrap().ends_with(" ended\n"));
    // As after a loss of power: what was kept is of another boot, and its life did not end.
    let other = format!("{instance} {:032x} running\n", 1);
    std::fs::write(&kept, other).unwrap();
    let rig = Rig::on(rig.dir, |_| {});
    assert_ne!(told(rig.client().patch("o", 0, b"x")), Some(instance));
}

#[test]
fn a_request_that_is_cut_off_leaves_no_clean_end() {
    let mut rig = Rig::new();
    let mut c = rig.client();
    c.put("o", b"x").is(201);
    c.raw(b"PUT /cdmi/2.0.0/o HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nab");
    std::thread::sleep(std::time::Duration::from_millis(100));
    let server = rig.server.take().unwrap();
    rig.runtime
        .block_on(server.shutdown(std::time::Duration::from_millis(200)));
    let kept = std::fs::read_to_string(rig.path(".cdmi-server/instance")).unwrap();
    assert!(kept.ends_with(" running\n"), "{kept}");
}
