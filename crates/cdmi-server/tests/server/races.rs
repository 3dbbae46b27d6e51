//! Many clients at a time: exclusive creates, conditional writes, whole replacement under readers, delete under writers.

use crate::rig::Rig;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

#[test]
fn exactly_one_of_sixteen_creates_wins_for_each_of_32_names() {
    let rig = Rig::new();
    const RACERS: usize = 16;
    const KEYS: usize = 32;
    let barrier = Barrier::new(RACERS);
    let wins: Vec<AtomicUsize> = (0..KEYS).map(|_| AtomicUsize::new(0)).collect();
    let winner: Vec<AtomicUsize> = (0..KEYS).map(|_| AtomicUsize::new(usize::MAX)).collect();
    std::thread::scope(|scope| {
        for racer in 0..RACERS {
            let (rig, barrier, wins, winner) = (&rig, &barrier, &wins, &winner);
            scope.spawn(move || {
                let mut c = rig.client();
                for key in 0..KEYS {
                    barrier.wait();
                    let body = format!("racer {racer}");
                    let reply = c.send("PUT", &format!("k{key}"), &["If-None-Match: *"], body.as_bytes());
                    match reply.status {
                        201 => {
                            wins[key].fetch_add(1, Ordering::SeqCst);
                            winner[key].store(racer, Ordering::SeqCst);
                        }
                        412 => {}
                        other => panic!("{other}"),
                    }
                }
            });
        }
    });
    let mut c = rig.client();
    for key in 0..KEYS {
        assert_eq!(wins[key].load(Ordering::SeqCst), 1, "k{key}");
        let body = format!("racer {}", winner[key].load(Ordering::SeqCst));
        assert_eq!(c.get(&format!("k{key}")).body, body.as_bytes());
    }
}

#[test]
fn compare_and_set_loses_no_increment() {
    let rig = Rig::new();
    rig.client().put("n", b"0").is(201);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let rig = &rig;
            scope.spawn(move || {
                let mut c = rig.client();
                let mut done = 0;
                while done < 20 {
                    let read = c.get("n").is(200);
                    let next = String::from_utf8(read.body.clone())
                        .unwrap()
                        .trim()
                        .parse::<u64>()
                        .unwrap()
                        + 1;
                    let condition = format!("If-Match: {}", read.tag());
                    // Half of the workers replace the object, half write into it.
                    let status = if worker % 2 == 0 {
                        c.send("PUT", "n", &[&condition], format!("{next:<5}").as_bytes())
                            .status
                    } else {
                        c.send(
                            "PATCH",
                            "n",
                            &[&condition, "Content-Range: bytes 0-4/*"],
                            format!("{next:<5}").as_bytes(),
                        )
                        .status
                    };
                    match status {
                        204 => done += 1,
                        412 => {}
                        other => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert_eq!(
        String::from_utf8(rig.client().get("n").body).unwrap().trim(),
        "160"
    );
}

#[test]
fn readers_see_the_old_object_or_the_new_one() {
    let rig = Rig::new();
    rig.client().put("o", &[0; 100_000]).is(201);
    let stop = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut c = rig.client();
                while !stop.load(Ordering::Relaxed) {
                    let body = c.get("o").is(200).body;
                    assert!(
                        body.len() == 100_000 && body.iter().all(|b| *b == body[0]),
                        "a mixture"
                    );
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut c = rig.client();
        for n in 0..200u8 {
            c.put("o", &[n; 100_000]).is(204);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 10);
}

#[test]
fn a_tag_that_is_still_current_names_what_was_read() {
    // A writer writes a counter into all of the object; a reader that sees one tag before and after must see one counter.
    let rig = Rig::new();
    rig.client().put("o", &[0; 8192]).is(201);
    let stop = AtomicBool::new(false);
    let checked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut c = rig.client();
                while !stop.load(Ordering::Relaxed) {
                    let first = c.get("o").is(200);
                    let again = c.send("HEAD", "o", &[], b"").is(200);
                    if first.tag() == again.tag() {
                        assert!(
                            first.body.iter().all(|b| *b == first.body[0]),
                            "a torn read under a current tag"
                        );
                        checked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut c = rig.client();
        for n in 0..600u32 {
            c.patch("o", 0, &[u8::try_from(n % 256).unwrap(); 8192]).is(204);
            if n % 4 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(checked.load(Ordering::Relaxed) > 10);
}

#[test]
fn writes_deletes_and_creates_of_one_name_never_confuse_the_server() {
    let rig = Rig::with(|config| config.limits.open_files_max = 8);
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let rig = &rig;
            scope.spawn(move || {
                let mut c = rig.client();
                for n in 0..150 {
                    let path = format!("o{}", n % 12);
                    let reply = match (worker + n) % 6 {
                        0 => c.put(&path, b"whole"),
                        1 => c.patch(&path, 2, b"part"),
                        2 => c.send("DELETE", &path, &[], b""),
                        3 => c.cdmi(
                            "PUT",
                            &format!("o{}", (n + 1) % 12),
                            &format!(r#"{{"move":"{path}"}}"#),
                        ),
                        4 => c.cdmi(
                            "PUT",
                            &format!("o{}", (n + 5) % 12),
                            &format!(r#"{{"copy":"{path}"}}"#),
                        ),
                        _ => c.get(&path),
                    };
                    assert!([200, 201, 204, 404].contains(&reply.status), "{reply:?}");
                }
            });
        }
    });
    // What the server says is what is on disk.
    let mut c = rig.client();
    let listed = c.cdmi("GET", "/cdmi/2.0.0/?children", "").json();
    for name in listed["children"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(
            c.get(name).is(200).body == std::fs::read(rig.path(name)).unwrap(),
            "{name}"
        );
    }
}
