//! Several servers over one directory: each sees at once what another did. `races` has what they do at the same time.

use crate::rig::{Process, Rig};
use restblk_cdmi_server::{Config, Mode, ServeError, Server};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn each_server_sees_at_once_what_another_did() {
    let rigs = Rig::sharing(2);
    let (mut a, mut b) = (rigs[0].client(), rigs[1].client());
    let made = a.put("o", b"0123456789").is(201).tag();
    assert_eq!(b.get("o").is(200).tag(), made);
    let written = b.patch("o", 2, b"xx").is(204).tag();
    let read = a.get("o").is(200);
    assert_eq!(
        (read.tag(), read.body.as_slice()),
        (written.clone(), &b"01xx456789"[..])
    );
    a.send("PATCH", "o?restblk_size=4", &[], b"").is(204);
    b.send(
        "PATCH",
        "o",
        &[&format!("If-Match: {written}"), "Content-Range: bytes 0-0/*"],
        b"!",
    )
    .is(412);
    assert_eq!(b.get("o").is(200).body, b"01xx");
    // Replaced, deleted, made anew, moved: the file that the other has open is no longer meant.
    a.put("o", b"new").is(204);
    assert_eq!(b.get("o").is(200).body, b"new");
    b.send("DELETE", "o", &[], b"").is(204);
    a.get("o").is(404);
    a.patch("o", 0, b"x").is(404);
    b.put("o", b"again").is(201);
    b.put("p", b"other").is(201);
    assert_eq!(a.get("p").is(200).body, b"other");
    b.cdmi("PUT", "q", r#"{"move":"o"}"#).is(201);
    b.cdmi("PUT", "o", r#"{"move":"p"}"#).is(201);
    assert_eq!(a.get("o").is(200).body, b"other");
    a.patch("q", 0, b"A").is(204);
    assert_eq!(b.get("q").is(200).body, b"Again");
    a.get("p").is(404);
    // A swap through a third name leaves no file where it was, while every name is still there.
    a.cdmi("PUT", "t", r#"{"move":"o"}"#).is(201);
    a.cdmi("PUT", "o", r#"{"move":"q"}"#).is(201);
    a.cdmi("PUT", "q", r#"{"move":"t"}"#).is(201);
    b.patch("q", 0, b"O").is(204);
    assert_eq!(a.get("q").is(200).body, b"Other");
    assert_eq!(a.get("o").is(200).body, b"Again");
}

#[test]
fn fields_and_ids_are_the_same_through_each() {
    let rigs = Rig::sharing(2);
    let (mut a, mut b) = (rigs[0].client(), rigs[1].client());
    // Files of another program get one ID, whoever sees them first.
    std::fs::write(rigs[0].path("theirs"), b"x").unwrap();
    std::fs::create_dir(rigs[0].path("folder")).unwrap();
    for path in ["theirs", "folder/"] {
        let ids: Vec<_> = std::thread::scope(|scope| {
            let looks: Vec<_> = (0..8)
                .map(|n| {
                    let mut c = rigs[n % 2].client();
                    scope.spawn(move || c.cdmi("GET", path, "").is(200).json()["objectID"].clone())
                })
                .collect();
            looks.into_iter().map(|look| look.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    a.cdmi("PUT", "o", r#"{"value":"v","metadata":{"colour":"red"}}"#)
        .is(201);
    assert_eq!(b.cdmi("GET", "o", "").json()["metadata"]["colour"], "red");
    b.cdmi("PATCH", "o?metadata=size", r#"{"metadata":{"size":"1"}}"#)
        .is(204);
    let seen = a.cdmi("GET", "o?metadata", "").json()["metadata"].clone();
    assert_eq!((&seen["colour"], &seen["size"]), (&json!("red"), &json!("1")));
    // An object that the other server makes is found by its ID at once, also after a search that did not find it.
    let id = a.cdmi("GET", "o", "").json()["objectID"].clone();
    b.get(&format!("cdmi_objectid/{}", id.as_str().unwrap())).is(200);
    for n in 0..3 {
        let made = a
            .cdmi("PUT", &format!("new{n}"), r#"{"value":"v"}"#)
            .is(201)
            .json();
        b.get(&format!("cdmi_objectid/{}", made["objectID"].as_str().unwrap()))
            .is(200);
    }
}

#[test]
fn what_needs_the_whole_tree_is_refused_and_not_advertised() {
    let rigs = Rig::sharing(1);
    let mut c = rigs[0].client();
    c.cdmi("PUT", "c/", "{}").is(201);
    c.cdmi("PATCH", "c/", r#"{"snapshot":"s"}"#).is(403);
    c.cdmi("PUT", "d/", r#"{"move":"c/"}"#).is(403);
    c.cdmi("PUT", "d/", r#"{"copy":"c/"}"#).is(403);
    for place in ["", "container/"] {
        let can = c.cdmi("GET", &format!("cdmi_capabilities/{place}"), "").json();
        let can = can["capabilities"].as_object().unwrap();
        assert!(
            !can.keys()
                .any(|name| name.contains("snapshot") || name.contains("move_container")),
            "{can:?}"
        );
    }
    c.send("DELETE", "c/", &[], b"").is(204);
}

fn bind(config: Config, rig: &Rig) -> Result<Server, ServeError> {
    rig.runtime.block_on(Server::bind(config))
}

#[test]
fn a_directory_is_shared_by_those_alone_who_say_so() {
    let rigs = Rig::sharing(1);
    let config = |change: fn(&mut Config)| {
        let mut config = Config::new(rigs[0].dir.path());
        config.listen.push("127.0.0.1:0".parse().unwrap());
        change(&mut config);
        config
    };
    for change in [(|_| {}) as fn(&mut Config), |config| config.read_only = true] {
        assert!(matches!(
            bind(config(change), &rigs[0]),
            Err(ServeError::InUse { .. })
        ));
    }
    let both = config(|config| (config.read_only, config.shared) = (true, true));
    assert!(matches!(bind(both, &rigs[0]), Err(ServeError::Config(_))));
    let alone = Rig::new();
    let mut second = Config::new(alone.dir.path());
    second.listen.push("127.0.0.1:0".parse().unwrap());
    second.shared = true;
    let until = std::time::Instant::now() + Duration::from_secs(10);
    assert!(matches!(bind(second, &alone), Err(ServeError::InUse { .. })));
    assert!(std::time::Instant::now() < until);
}

/// Tags last for as long as any of the servers lives, however the others end, and no longer.
#[test]
fn tags_live_as_long_as_any_of_the_servers() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let start = || Process::start(dir.path(), &["--shared"]);
    let (first, second) = (start(), start());
    first.client().put("o", b"0123").is(201);
    let tag = first.client().patch("o", 0, b"x").is(204).tag();
    first.kill();
    assert_eq!(second.client().get("o").is(200).tag(), tag);
    let third = start();
    assert_eq!(third.client().get("o").is(200).tag(), tag);
    second.kill();
    third.kill();
    let last = start();
    let read = last.client().get("o").is(200);
    assert_eq!(read.body, b"x123");
    assert_ne!(read.tag(), tag);
}

/// A server that is alone keeps a mark on what it leaves; servers that share do not believe it, and leave none that a later
/// one believes.
#[test]
fn marks_of_a_server_that_was_alone_do_not_outlive_a_change() {
    let rig = Rig::new();
    let tag = rig.client().put("o", b"0123").is(201).tag();
    let rig = rig.restart();
    assert_eq!(rig.client().get("o").is(200).tag(), tag);
    let (dir, server) = (Arc::clone(&rig.dir), rig.server.unwrap());
    rig.runtime.block_on(server.shutdown(Duration::from_secs(5)));
    let shared = Rig::on(Arc::clone(&dir), |config| config.shared = true);
    let written = shared.client().patch("o", 0, b"x").is(204).tag();
    let server = shared.server.unwrap();
    shared.runtime.block_on(server.shutdown(Duration::from_secs(5)));
    let alone = Rig::on(dir, |_| {});
    let read = alone.client().get("o").is(200);
    assert_eq!(read.body, b"x123");
    assert!(read.tag() != tag && read.tag() != written);
}

#[test]
fn half_made_things_of_living_servers_are_not_swept() {
    let rigs = Rig::sharing(1);
    let tmp = rigs[0].path(".cdmi-server/tmp/half");
    std::fs::write(&tmp, b"x").unwrap();
    let second = Rig::on(Arc::clone(&rigs[0].dir), |config| config.shared = true);
    assert!(tmp.exists());
    let dir = Arc::clone(&second.dir);
    for rig in rigs.into_iter().chain([second]) {
        let server = rig.server.unwrap();
        rig.runtime.block_on(server.shutdown(Duration::from_secs(5)));
    }
    let _first = Rig::on(dir, |config| config.shared = true);
    assert!(!tmp.exists());
}

#[test]
fn the_other_dialects_share_too() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let rigs: Vec<_> = (0..2)
        .map(|_| {
            Rig::on(Arc::clone(&dir), |config| {
                (config.shared, config.mode) = (true, Mode::Scality);
            })
        })
        .collect();
    let (mut a, mut b) = (rigs[0].client(), rigs[1].client());
    a.put("o", b"0123456789").is(201);
    b.send("PUT", "o", &["X-Scal-Truncate: 4"], b"").is(200);
    assert_eq!(a.get("o").is(200).body, b"0123");
    a.send("HEAD", "o", &["X-Scal-Synchronize: data"], b"").is(200);
}

/// Their memory is one page cache, and what it holds is safe only when the last of them has ended.
#[test]
fn all_tell_one_instance_and_the_last_one_ends_it() {
    let rigs = Rig::sharing(3);
    let told = |rig: &Rig| {
        let written = rig.client().put("o", b"x");
        written.header("restblk-instance").unwrap().to_owned()
    };
    let instance = told(&rigs[0]);
    let kept = rigs[0].path(".cdmi-server/instance");
    let kept = || std::fs::read_to_string(&kept).unwrap();
    let dir = Arc::clone(&rigs[0].dir);
    for (ended, rig) in rigs.into_iter().enumerate() {
        assert_eq!(told(&rig), instance, "server {ended}");
        assert!(kept().ends_with("running\n"), "{}", kept());
        let server = rig.server.unwrap();
        rig.runtime.block_on(server.shutdown(Duration::from_secs(5)));
    }
    assert!(
        kept().starts_with(&instance) && kept().ends_with("ended\n"),
        "{}",
        kept()
    );
    drop(dir);
}
