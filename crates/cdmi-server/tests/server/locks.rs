//! Locks of objects: who is kept out of what, and that nothing of a former holder's lands once a steal was answered, through one server,
//! through two processes of one directory, and over their kills.

use crate::rig::{Client, Process, Reply, Rig};
use restblk_cdmi_server::Mode;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MINE: &str = "mine-0123456789abcdef";
const OTHERS: &str = "others-0123456789abcdef";

fn token(token: &str) -> String {
    format!("X-Restblk-Lock: {token}")
}

/// `PATCH …?restblk_lock=MODE` with the token.
fn lock(c: &mut Client, path: &str, mode: &str, with: &str) -> Reply {
    c.send(
        "PATCH",
        &format!("{path}?restblk_lock={mode}"),
        &[&token(with)],
        b"",
    )
}

/// Every form of a change of `o`, with these headers besides.
fn changes(c: &mut Client, more: &[&str]) -> Vec<(&'static str, Reply)> {
    let json = "Content-Type: application/cdmi-object";
    let forms: [(&str, &str, &[&str], &[u8]); 11] = [
        ("PATCH", "o", &["Content-Range: bytes 0-0/*"], b"x"),
        ("PATCH", "o?restblk_flush", &["Content-Range: bytes 0-0/*"], b"x"),
        ("PATCH", "o?value=0-0", &[json], br#"{"value":"eA=="}"#),
        ("PATCH", "o", &[json], br#"{"metadata":{"a":"b"}}"#),
        ("PATCH", "o", &[json], br#"{"value":"eHh4"}"#),
        ("PATCH", "o?restblk_size=5", &[], b""),
        ("PATCH", "o?restblk_punch=1-2", &[], b""),
        ("PUT", "o", &[], b"xxx"),
        ("PUT", "o", &[json], br#"{"value":"xxx"}"#),
        ("PUT", "o", &[json], br#"{"copy":"source"}"#),
        ("DELETE", "o", &[], b""),
    ];
    forms
        .into_iter()
        .map(|(method, path, headers, body)| {
            let headers = [headers, more].concat();
            (path, c.send(method, path, &headers, body))
        })
        .collect()
}

#[test]
fn a_locked_object_is_changed_with_its_token_alone() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("source", b"copied").is(201);
    let tag = c.put("o", b"0123456789").is(201).tag();
    lock(&mut c, "o", "acquire&restblk_owner=a%20test%20%C3%BC", MINE).is(204);
    for more in [vec![], vec![token(OTHERS)]] {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        for (path, reply) in changes(&mut c, &more) {
            let told = reply.json()["error"].as_str().unwrap().to_owned();
            assert_eq!(reply.status, 423, "{path}: {reply:?}");
            assert!(told.starts_with("o is locked by a test ü since 2"), "{told}");
        }
    }
    let read = c.get("o").is(200);
    assert_eq!((read.tag(), read.body.as_slice()), (tag, &b"0123456789"[..]));
    // A flush changes nothing, but says so to who believes to hold the lock.
    c.send("PATCH", "o?restblk_flush", &[], b"").is(204);
    c.send("PATCH", "o?restblk_flush", &[&token(OTHERS)], b"").is(423);
    c.send("PATCH", "o?restblk_flush", &[&token(MINE)], b"").is(204);
    for (path, reply) in changes(&mut c, &[&token(MINE)]) {
        assert_eq!(reply.status, 204, "{path}: {reply:?}");
    }
    // The last of them was its deletion, and the lock went with it.
    c.put("o", b"new").is(201);
    c.put("o", b"newer").is(204);
}

#[test]
fn a_token_of_no_lock_lets_nothing_in() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("source", b"copied").is(201);
    c.put("o", b"0123456789").is(201);
    for (path, reply) in changes(&mut c, &[&token(MINE)]) {
        assert_eq!(reply.status, 423, "{path}: {reply:?}");
    }
    c.send("PUT", "missing", &[&token(MINE)], b"x").is(423);
    c.send(
        "PATCH",
        "missing",
        &[&token(MINE), "Content-Range: bytes 0-0/*"],
        b"x",
    )
    .is(404);
    assert_eq!(c.get("o").body, b"0123456789");
}

#[test]
fn locks_are_taken_kept_stolen_and_let_go() {
    let rig = Rig::new();
    let mut c = rig.client();
    lock(&mut c, "o", "acquire", MINE).is(404);
    let tag = c.put("o", b"x").is(201).tag();
    lock(&mut c, "o", "check", MINE).is(423);
    lock(&mut c, "o", "release", MINE).is(204);
    assert_eq!(lock(&mut c, "o", "acquire", MINE).is(204).tag(), tag);
    // An answer that was lost may be asked for again.
    lock(&mut c, "o", "acquire", MINE).is(204);
    lock(&mut c, "o", "check", MINE).is(204);
    lock(&mut c, "o", "acquire", OTHERS).is(423);
    lock(&mut c, "o", "check", OTHERS).is(423);
    c.send("PATCH", "o?restblk_lock=check", &[], b"").is(423);
    lock(&mut c, "o", "release", OTHERS).is(423);
    lock(&mut c, "o", "check", MINE).is(204);
    lock(&mut c, "o", "steal", OTHERS).is(204);
    lock(&mut c, "o", "check", MINE).is(423);
    lock(&mut c, "o", "release", MINE).is(423);
    lock(&mut c, "o", "check", OTHERS).is(204);
    c.send(
        "PATCH",
        "o?restblk_lock=steal",
        &[&token(MINE), "If-Match: \"another\""],
        b"",
    )
    .is(412);
    lock(&mut c, "o", "release", OTHERS).is(204);
    lock(&mut c, "o", "release", OTHERS).is(204);
    assert_eq!(
        c.send("PATCH", "o?restblk_lock=check", &[], b"").is(204).tag(),
        tag
    );
    c.put("o", b"y").is(204);
}

#[test]
fn nonsense_about_locks_is_refused() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("o", b"x").is(201);
    c.send("PUT", "c/", &[], b"").is(201);
    for bad in [
        "",
        "short",
        &"x".repeat(65),
        "with spaces in its midst",
        "0123456789abcdef\"",
        "0123456789abcdeü",
    ] {
        lock(&mut c, "o", "acquire", bad).is(400);
        c.send("PUT", "o", &[&token(bad)], b"y").is(400);
    }
    for mode in [
        "",
        "Acquire",
        "acquire&restblk_flush",
        "acquire&other",
        "acquire&restblk_owner=a%0Ab",
    ] {
        lock(&mut c, "o", mode, MINE).is(400);
    }
    let long = "x".repeat(257);
    lock(&mut c, "o", &format!("acquire&restblk_owner={long}"), MINE).is(400);
    c.send("PATCH", "o?restblk_lock=acquire", &[], b"").is(400);
    c.send(
        "PATCH",
        "o?restblk_lock=acquire",
        &[&token(MINE), &token(OTHERS)],
        b"",
    )
    .is(400);
    c.send("PATCH", "o?restblk_lock=acquire", &[&token(MINE)], b"body")
        .is(400);
    lock(&mut c, "c/", "acquire", MINE).is(400);
    c.send("PATCH", "o?restblk_lock=check", &[], b"").is(204);
}

#[test]
fn a_lock_is_advertised_where_it_is() {
    let advertised = |rig: &Rig, place: &str| {
        let can = rig
            .client()
            .cdmi("GET", &format!("cdmi_capabilities/{place}"), "")
            .is(200);
        can.json()["capabilities"].get("restblk_lock").cloned()
    };
    for mode in [Mode::Cdmi2, Mode::Cdmi1, Mode::Scality] {
        let rig = Rig::with(|config| config.mode = mode);
        for (place, wanted) in [("", true), ("dataobject/", true), ("container/", false)] {
            let told = advertised(&rig, place);
            assert_eq!(told, wanted.then(|| "true".into()), "{mode:?} {place}");
        }
    }
    let rig = Rig::with(|config| config.read_only = true);
    assert_eq!(advertised(&rig, ""), None);
}

#[test]
fn a_lock_goes_with_its_object_and_into_no_copy() {
    let rig = Rig::with(|config| config.recursive_delete = true);
    let mut c = rig.client();
    c.cdmi("PUT", "c/", "{}").is(201);
    c.put("c/o", b"0123").is(201);
    c.put("free", b"free").is(201);
    lock(&mut c, "c/o", "acquire", MINE).is(204);
    for (path, json) in [("c/p", r#"{"copy":"c/o"}"#), ("d/", r#"{"copy":"c/"}"#)] {
        c.cdmi("PUT", path, json).is(201);
    }
    c.put("c/p", b"x").is(204);
    c.put("d/o", b"x").is(204);
    c.cdmi("PATCH", "c/", r#"{"snapshot":"s"}"#).is(201);
    c.cdmi("PUT", "e/", r#"{"copy":"c/cdmi_snapshots/s/"}"#).is(201);
    c.put("e/o", b"x").is(204);
    // Names that people hold locks under do not go away, nor come to mean another object.
    c.cdmi("PUT", "moved", r#"{"move":"c/o"}"#).is(423);
    c.cdmi("PUT", "c/o", r#"{"move":"free"}"#).is(423);
    c.cdmi("PUT", "f/", r#"{"move":"c/"}"#).is(423);
    c.send("DELETE", "c/", &[], b"").is(423);
    assert_eq!(c.get("c/o").is(200).body, b"0123");
    // Replaced, it is locked as before.
    c.send("PUT", "c/o", &[&token(MINE)], b"replaced").is(204);
    lock(&mut c, "c/o", "check", MINE).is(204);
    c.put("c/o", b"x").is(423);
    lock(&mut c, "c/o", "release", MINE).is(204);
    c.send("PUT", "c/o", &[], b"again").is(204);
    c.cdmi("PUT", "moved", r#"{"move":"c/o"}"#).is(201);
    c.send("DELETE", "c/", &[], b"").is(204);
}

#[test]
fn locks_survive_kills_and_restarts() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let process = Process::start(dir.path(), &[]);
    let mut c = process.client();
    c.put("o", b"0123").is(201);
    c.put("p", b"0123").is(201);
    lock(&mut c, "o", "acquire&restblk_owner=me", MINE).is(204);
    lock(&mut c, "p", "acquire", MINE).is(204);
    lock(&mut c, "p", "release", MINE).is(204);
    process.kill();
    let rig = Rig::on(dir, |_| {});
    let mut c = rig.client();
    let told = c.patch("o", 0, b"x").is(423).json()["error"].to_string();
    assert!(told.contains("o is locked by me since 2"), "{told}");
    c.send("PATCH", "o", &[&token(MINE), "Content-Range: bytes 0-0/*"], b"x")
        .is(204);
    c.put("p", b"x").is(204);
    drop(c);
    let rig = rig.restart();
    rig.client().put("o", b"x").is(423);
    lock(&mut rig.client(), "o", "steal", OTHERS).is(204);
    drop(rig.restart().client().put("o", b"x").is(423));
}

#[test]
fn the_other_dialects_have_it_and_srb_respects_it() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let serve = |mode| {
        Rig::on(Arc::clone(&dir), |config| {
            (config.shared, config.mode) = (true, mode);
        })
    };
    let (one, scality, srb) = (serve(Mode::Cdmi1), serve(Mode::Scality), serve(Mode::Srb));
    let (mut a, mut b, mut c) = (one.client(), scality.client(), srb.client());
    a.put("o", b"0123456789").is(201);
    lock(&mut a, "o", "acquire", MINE).is(204);
    let with = token(MINE);
    let id = a.cdmi("GET", "o?objectID", "").json()["objectID"]
        .as_str()
        .unwrap()
        .to_owned();
    let by_id = format!("cdmi_objectid/{id}");
    for (rig, method, path, header) in [
        (0, "PUT", "o", "Content-Range: bytes 0-0/*"),
        (1, "PUT", by_id.as_str(), "Content-Range: bytes=0-0"),
        (1, "PUT", "o", "X-Scal-Truncate: 9"),
        (2, "PUT", "o", "Range: bytes=0-0"),
        (2, "PUT", "o", "X-Scal-Truncate: 8"),
        (2, "DELETE", "o", "X-Nothing: 1"),
    ] {
        let client = [&mut a, &mut b, &mut c].into_iter().nth(rig).unwrap();
        let body: &[u8] = if header.contains("Range") { b"x" } else { b"" };
        client.send(method, path, &[header], body).is(423);
        if rig < 2 {
            let done = client.send(method, path, &[header, &with], body).status;
            assert!(matches!(done, 200 | 204), "{header}: {done}");
        }
    }
    b.send("HEAD", "o", &["X-Scal-Synchronize: data"], b"").is(200);
    b.send("HEAD", "o", &["X-Scal-Synchronize: data", &token(OTHERS)], b"")
        .is(423);
    b.send("HEAD", "o", &["X-Scal-Synchronize: data", &with], b"")
        .is(200);
    assert_eq!(a.get("o").body, b"x12345678");
}

#[test]
fn of_many_that_ask_at_once_one_gets_it_through_whichever_process() {
    let dir = tempfile::tempdir().unwrap();
    let processes: Vec<Process> = (0..2)
        .map(|_| Process::start(dir.path(), &["--shared"]))
        .collect();
    processes[0].client().put("o", b"x").is(201);
    for _ in 0..30 {
        let held: Vec<String> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|n| {
                    let mut c = processes[n % 2].client();
                    let own = format!("racer-{n}-0123456789abcdef");
                    scope.spawn(move || match lock(&mut c, "o", "acquire", &own).status {
                        204 => Some(own),
                        423 => None,
                        other => panic!("{other}"),
                    })
                })
                .collect();
            racers
                .into_iter()
                .filter_map(|racer| racer.join().unwrap())
                .collect()
        });
        assert_eq!(held.len(), 1, "{held:?}");
        lock(&mut processes[1].client(), "o", "check", &held[0]).is(204);
        lock(&mut processes[0].client(), "o", "release", &held[0]).is(204);
    }
}

const BLOCKS: usize = 4;
/// Large, so that writing it takes a while after it was let in.
const BLOCK: usize = 4 << 20;

/// A directory whose fsync takes no time where there is one: a steal that waits for a disk is over after the writes that it should not let in.
fn quick_dir() -> TempDir {
    let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
    let probe = rustix::fs::setxattr(dir.path(), "user.probe", b"", rustix::fs::XattrFlags::empty());
    match probe {
        Ok(()) => dir,
        Err(_) => TempDir::new().unwrap(),
    }
}

/// What the writers of one holder saw.
#[derive(Default)]
struct Seen {
    written: AtomicU64,
    stolen: AtomicBool,
    late: AtomicU64,
}

/// Writes into a block of its own, each time another byte, until it is refused. Nothing that it sends after the steal was answered may be taken.
fn write_until_refused(mut c: Client, block: usize, own: &str, seen: &Seen) {
    let range = format!(
        "Content-Range: bytes {}-{}/*",
        block * BLOCK,
        (block + 1) * BLOCK - 1
    );
    let until = Instant::now() + Duration::from_secs(30);
    for fill in (0..=u8::MAX).cycle() {
        let is_late = seen.stolen.load(Ordering::SeqCst);
        let written = c.send("PATCH", "o", &[&range, &token(own)], &vec![fill; BLOCK]);
        match written.status {
            204 => seen.written.fetch_add(1, Ordering::SeqCst),
            423 => return,
            other => panic!("{other}"),
        };
        if is_late {
            seen.late.fetch_add(1, Ordering::SeqCst);
        }
        assert!(Instant::now() < until, "the writer was never refused");
    }
}

/// The last byte of each block, which its writes reach last.
fn ends(file: &File) -> [u8; BLOCKS] {
    std::array::from_fn(|block| {
        let mut end = [0];
        let at = u64::try_from((block + 1) * BLOCK - 1).unwrap();
        file.read_exact_at(&mut end, at).unwrap();
        end[0]
    })
}

/// One round: a holder's writers through all servers, and a thief through another than the last one's; then the file stays as it is.
fn steal_under_writes(clients: &dyn Fn(usize) -> Client, file: &Path, round: usize) {
    let (own, thief) = (
        format!("holder-{round}-0123456789abcdef"),
        format!("thief-{round}-0123456789abcdef"),
    );
    let mut c = clients(round);
    lock(&mut c, "o", "steal", &own).is(204);
    let file = File::open(file).unwrap();
    let seen = Seen::default();
    let stolen = std::thread::scope(|scope| {
        for block in 0..BLOCKS {
            let client = clients(block);
            let (own, seen) = (&own, &seen);
            scope.spawn(move || write_until_refused(client, block, own, seen));
        }
        while seen.written.load(Ordering::SeqCst) < 8 {
            std::thread::yield_now();
        }
        let mut c = clients(round + 1);
        lock(&mut c, "o", "steal", &thief).is(204);
        let stolen = ends(&file);
        seen.stolen.store(true, Ordering::SeqCst);
        stolen
    });
    let late = seen.late.load(Ordering::SeqCst);
    assert_eq!(late, 0, "writes were let in after the steal");
    assert_eq!(
        ends(&file),
        stolen,
        "a former holder's write landed after the steal"
    );
    c.send(
        "PATCH",
        "o",
        &[&token(&thief), "Content-Range: bytes 0-0/*"],
        b"t",
    )
    .is(204);
}

#[test]
fn nothing_of_a_former_holder_lands_after_a_steal() {
    let rig = Rig::on(quick_dir().into(), |_| {});
    rig.client().put("o", &vec![0; BLOCKS * BLOCK]).is(201);
    for round in 0..20 {
        steal_under_writes(&|_| rig.client(), &rig.path("o"), round);
    }
}

#[test]
fn nor_through_two_processes_that_are_killed_in_between() {
    let dir = quick_dir();
    let start = || Process::start(dir.path(), &["--shared"]);
    let mut processes = vec![start(), start()];
    processes[0].client().put("o", &vec![0; BLOCKS * BLOCK]).is(201);
    for round in 0..20 {
        steal_under_writes(&|n| processes[n % 2].client(), &dir.path().join("o"), round);
        if round % 4 == 3 {
            // The thief's lock outlives the server that gave it, and both of them.
            let holder = format!("thief-{round}-0123456789abcdef");
            processes.remove(0).kill();
            lock(&mut processes[0].client(), "o", "check", &holder).is(204);
            processes[0].client().patch("o", 0, b"x").is(423);
            if round % 8 == 7 {
                processes.remove(0).kill();
            }
            while processes.len() < 2 {
                processes.push(start());
            }
            lock(&mut processes[1].client(), "o", "check", &holder).is(204);
            processes[1].client().patch("o", 0, b"x").is(423);
        }
    }
}
