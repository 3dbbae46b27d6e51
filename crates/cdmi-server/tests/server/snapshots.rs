//! Container snapshots: whole, read-only, independent; restored by copy.

use crate::rig::Rig;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_snapshot_stays_as_it_was() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.send("PUT", "c/", &[], b"").is(201);
    c.send("PUT", "c/sub/", &[], b"").is(201);
    c.cdmi("PUT", "c/vol", r#"{"value":"before","metadata":{"k":"v"}}"#)
        .is(201);
    c.put("c/sub/o", b"deep").is(201);
    let reply = c.cdmi("PATCH", "c/", r#"{"snapshot":"s"}"#).is(201);
    assert_eq!(reply.header("location"), Some("/cdmi/2.0.0/c/cdmi_snapshots/s/"));
    c.patch("c/vol", 0, b"AFTER!").is(204);
    c.send("DELETE", "c/sub/o", &[], b"").is(204);
    assert_eq!(c.get("c/cdmi_snapshots/s/vol").is(200).body, b"before");
    assert_eq!(c.get("c/cdmi_snapshots/s/sub/o").is(200).body, b"deep");
    let read = c.cdmi("GET", "c/", "").json();
    assert_eq!(
        (&read["snapshots"], &read["children"]),
        (
            &serde_json::json!(["/cdmi/2.0.0/c/cdmi_snapshots/s/"]),
            &serde_json::json!(["sub/", "vol"])
        )
    );
    let (live, shot) = (
        c.cdmi("GET", "c/vol", "").json(),
        c.cdmi("GET", "c/cdmi_snapshots/s/vol", "").json(),
    );
    assert_ne!(live["objectID"], shot["objectID"]);
    assert_eq!(shot["metadata"]["k"], "v");
    assert_eq!(
        c.cdmi("GET", "c/cdmi_snapshots/", "").json()["children"],
        serde_json::json!(["s/"])
    );
    // Read-only.
    c.put("c/cdmi_snapshots/s/vol", b"x").is(403);
    c.patch("c/cdmi_snapshots/s/vol", 0, b"x").is(403);
    c.send("DELETE", "c/cdmi_snapshots/s/vol", &[], b"").is(403);
    c.send("PUT", "c/cdmi_snapshots/t/", &[], b"").is(403);
    c.cdmi(
        "PUT",
        "stolen",
        r#"{"move":"/cdmi/2.0.0/c/cdmi_snapshots/s/vol"}"#,
    )
    .is(403);
    // Restored by copy: one object, or the whole container under another name.
    c.cdmi("PUT", "c/vol", r#"{"copy":"/cdmi/2.0.0/c/cdmi_snapshots/s/vol"}"#)
        .is(204);
    assert_eq!(c.get("c/vol").body, b"before");
    c.cdmi(
        "PUT",
        "restored/",
        r#"{"copy":"/cdmi/2.0.0/c/cdmi_snapshots/s/"}"#,
    )
    .is(201);
    c.patch("restored/sub/o", 0, b"D").is(204);
    assert_eq!(c.get("c/cdmi_snapshots/s/sub/o").body, b"deep");
    // The same name replaces, and a deleted one is gone.
    c.cdmi("PATCH", "c/", r#"{"snapshot":"s"}"#).is(201);
    c.get("c/cdmi_snapshots/s/sub/o").is(404);
    c.send("DELETE", "c/cdmi_snapshots/s/", &[], b"").is(204);
    c.get("c/cdmi_snapshots/s/vol").is(404);
    assert!(c.cdmi("GET", "c/", "").json().get("snapshots").is_none());
    for bad in [
        r#"{"snapshot":""}"#,
        r#"{"snapshot":".."}"#,
        r#"{"snapshot":"a/b"}"#,
        r#"{"snapshot":1}"#,
        r#"{"snapshot":"cdmi_x"}"#,
    ] {
        c.cdmi("PATCH", "c/", bad).is(400);
    }
    c.cdmi("PATCH", "nothing/", r#"{"snapshot":"s"}"#).is(404);
    assert_eq!(
        std::fs::read_dir(rig.path(".cdmi-server/tmp")).unwrap().count(),
        0
    );
}

#[test]
fn a_snapshot_under_writes_is_of_one_moment() {
    // The writer writes the same counter to a then b; so in any one moment a is b or one ahead.
    let rig = Rig::new();
    let mut c = rig.client();
    c.send("PUT", "c/", &[], b"").is(201);
    for name in ["c/a", "c/b", "c/pad"] {
        c.put(name, &[0; 200_000]).is(201);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut c = rig.client();
            let mut n = 0u32;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                c.patch("c/a", 0, &n.to_be_bytes()).is(204);
                c.patch("c/b", 0, &n.to_be_bytes()).is(204);
            }
        });
        for round in 0..20 {
            c.cdmi("PATCH", "c/", &format!(r#"{{"snapshot":"s{round}"}}"#))
                .is(201);
            let mut read = |name: &str| {
                let body = c
                    .send(
                        "GET",
                        &format!("c/cdmi_snapshots/s{round}/{name}"),
                        &["Range: bytes=0-3"],
                        b"",
                    )
                    .is(206)
                    .body;
                u32::from_be_bytes(body.try_into().unwrap())
            };
            let (a, b) = (read("a"), read("b"));
            assert!(a == b || a == b + 1, "a {a}, b {b}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}
