//! Many clients at a time: exclusive creates, conditional writes, whole replacement under readers, delete under writers.
//! All of it holds through one server and through several that share a directory.

use crate::rig::{Client, Rig};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// One server alone, and three that share a directory.
fn arrangements() -> [Servers; 2] {
    [Servers(vec![Rig::new()]), Servers(Rig::sharing(3))]
}

struct Servers(Vec<Rig>);

impl Servers {
    /// A client of one of them.
    fn client(&self, n: usize) -> Client {
        self.0[n % self.0.len()].client()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0[0].path(name)
    }
}

#[test]
fn exactly_one_of_sixteen_creates_wins_for_each_of_32_names() {
    arrangements().iter().for_each(one_create_wins);
}

fn one_create_wins(rig: &Servers) {
    const RACERS: usize = 16;
    const KEYS: usize = 32;
    let barrier = Barrier::new(RACERS);
    let wins: Vec<AtomicUsize> = (0..KEYS).map(|_| AtomicUsize::new(0)).collect();
    let winner: Vec<AtomicUsize> = (0..KEYS).map(|_| AtomicUsize::new(usize::MAX)).collect();
    std::thread::scope(|scope| {
        for racer in 0..RACERS {
            let (barrier, wins, winner) = (&barrier, &wins, &winner);
            scope.spawn(move || {
                let mut c = rig.client(racer);
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
    let mut c = rig.client(1);
    for key in 0..KEYS {
        assert_eq!(wins[key].load(Ordering::SeqCst), 1, "k{key}");
        let body = format!("racer {}", winner[key].load(Ordering::SeqCst));
        assert_eq!(c.get(&format!("k{key}")).body, body.as_bytes());
    }
}

#[test]
fn compare_and_set_loses_no_increment() {
    arrangements().iter().for_each(no_increment_is_lost);
}

fn no_increment_is_lost(rig: &Servers) {
    rig.client(0).put("n", b"0").is(201);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                let mut c = rig.client(worker);
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
        String::from_utf8(rig.client(1).get("n").body).unwrap().trim(),
        "160"
    );
}

#[test]
fn readers_see_the_old_object_or_the_new_one() {
    arrangements().iter().for_each(the_old_object_or_the_new_one);
}

fn the_old_object_or_the_new_one(rig: &Servers) {
    rig.client(0).put("o", &[0; 100_000]).is(201);
    let stop = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (stop, reads) = (&stop, &reads);
            scope.spawn(move || {
                let mut c = rig.client(reader);
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
        let mut c = rig.client(0);
        for n in 0..200u8 {
            c.put("o", &[n; 100_000]).is(204);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 10);
}

#[test]
fn a_tag_that_is_still_current_names_what_was_read() {
    arrangements().iter().for_each(a_current_tag_names_what_was_read);
}

/// A writer writes a counter into all of the object; a reader that sees one tag before and after must see one counter.
fn a_current_tag_names_what_was_read(rig: &Servers) {
    rig.client(0).put("o", &[0; 8192]).is(201);
    let stop = AtomicBool::new(false);
    let checked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (stop, checked) = (&stop, &checked);
            scope.spawn(move || {
                let (mut c, mut other) = (rig.client(reader), rig.client(reader + 1));
                while !stop.load(Ordering::Relaxed) {
                    let first = c.get("o").is(200);
                    let again = other.send("HEAD", "o", &[], b"").is(200);
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
        let mut c = rig.client(0);
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
    let few = |config: &mut restblk_cdmi_server::Config| config.limits.open_files_max = 8;
    nobody_is_confused(&Servers(vec![Rig::with(few)]));
    nobody_is_confused(&Servers(Rig::sharing(3)));
}

fn nobody_is_confused(rig: &Servers) {
    std::thread::scope(|scope| {
        for worker in 0..6 {
            scope.spawn(move || {
                let mut c = rig.client(worker);
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
    // What the servers say is what is on disk.
    let mut c = rig.client(2);
    let listed = c.cdmi("GET", "/cdmi/2.0.0/?children", "").json();
    for name in listed["children"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(
            c.get(name).is(200).body == std::fs::read(rig.path(name)).unwrap(),
            "{name}"
        );
    }
}
