//! Containers: create, list, ranges of children, update, delete.

use crate::rig::Rig;
use std::time::Instant;

#[test]
fn containers_are_made_read_and_deleted() {
    let rig = Rig::new();
    let mut c = rig.client();
    let made = c.cdmi("PUT", "c/", r#"{"metadata":{"k":"v"}}"#).is(201).json();
    assert_eq!(
        (&made["objectType"], &made["objectName"], &made["metadata"]["k"]),
        (&"application/cdmi-container".into(), &"c/".into(), &"v".into())
    );
    assert_eq!(
        made["parentID"],
        c.cdmi("GET", "/cdmi/2.0.0/", "").json()["objectID"]
    );
    c.send("PUT", "c/", &[], b"").is(204);
    c.send("PUT", "c/d/", &[], b"").is(201);
    c.put("c/o", b"x").is(201);
    let read = c.cdmi("GET", "c/", "").is(200).json();
    assert_eq!(
        (&read["children"], &read["childrenrange"]),
        (&serde_json::json!(["d/", "o"]), &"0-1".into())
    );
    // Without the slash.
    let moved = c
        .send("GET", "c?children", &["Accept: application/cdmi-container"], b"")
        .is(301);
    assert_eq!(moved.header("location"), Some("/cdmi/2.0.0/c/?children"));
    c.send("DELETE", "c", &[], b"").is(301);
    c.send("PUT", "new", &["Content-Type: application/cdmi-container"], b"{}")
        .is(400);
    c.put("o/", b"").is(201);
    c.put("c/o/", b"").is(409);
    c.put("c/o/x", b"").is(404);
    c.put("nowhere/x", b"").is(404);
    c.send("PUT", "nowhere/x/", &[], b"").is(404);
    c.get("nowhere/").is(404);
    c.get("c/o/").is(404);
    // Update.
    c.cdmi("PATCH", "c/", r#"{"metadata":{"k":"w"}}"#).is(204);
    assert_eq!(c.cdmi("GET", "c/?metadata", "").json()["metadata"]["k"], "w");
    c.cdmi("PATCH", "c/", r#"{"nonsense":1}"#).is(400);
    // Delete.
    c.send("DELETE", "c/", &[], b"").is(409);
    c.send("DELETE", "c/o", &[], b"").is(204);
    c.send("DELETE", "c/d/", &[], b"").is(204);
    c.send("DELETE", "c/", &[], b"").is(204);
    c.send("DELETE", "c/", &[], b"").is(404);
    c.send("DELETE", "", &[], b"").is(403);
}

#[test]
fn with_recursive_delete_everything_goes() {
    let rig = Rig::with(|config| config.recursive_delete = true);
    let mut c = rig.client();
    c.send("PUT", "c/", &[], b"").is(201);
    c.send("PUT", "c/d/", &[], b"").is(201);
    c.put("c/d/o", b"x").is(201);
    c.get("c/d/o").is(200);
    c.send("DELETE", "c/", &[], b"").is(204);
    c.get("c/d/o").is(404);
    assert!(!rig.path("c").exists());
    assert_eq!(
        std::fs::read_dir(rig.path(".cdmi-server/tmp")).unwrap().count(),
        0
    );
}

#[test]
fn containers_are_copied_and_moved() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.cdmi("PUT", "c/", r#"{"metadata":{"k":"v"}}"#).is(201);
    c.put("c/o", b"one").is(201);
    c.get("c/o").is(200);
    c.cdmi("PUT", "copy/", r#"{"copy":"/cdmi/2.0.0/c/"}"#).is(201);
    c.cdmi("PUT", "copy/", r#"{"copy":"/cdmi/2.0.0/c/"}"#).is(409);
    c.patch("copy/o", 0, b"ONE").is(204);
    assert_eq!(c.get("c/o").body, b"one");
    assert_eq!(c.cdmi("GET", "copy/", "").json()["metadata"]["k"], "v");
    let id = c.cdmi("GET", "c/o?objectID", "").json();
    c.cdmi("PUT", "moved/", r#"{"move":"/cdmi/2.0.0/c/"}"#).is(201);
    c.get("c/o").is(404);
    c.get("c/").is(404);
    assert_eq!(c.get("moved/o").is(200).body, b"one");
    assert_eq!(c.cdmi("GET", "moved/o?objectID", "").json(), id);
    // The old name is free for another object.
    c.send("PUT", "c/", &[], b"").is(201);
    c.put("c/o", b"two").is(201);
    assert_eq!(
        (c.get("c/o").body, c.get("moved/o").body),
        (b"two".to_vec(), b"one".to_vec())
    );
}

#[test]
fn ten_thousand_children_are_listed_in_order_and_fast() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path("c")).unwrap();
    for n in 0..10_000 {
        std::fs::File::create(rig.path(&format!("c/vol-{n:05}"))).unwrap();
    }
    let mut c = rig.client();
    let all = c.cdmi("GET", "c/?children&childrenrange", "").is(200).json();
    let names: Vec<_> = all["children"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        (names.len(), all["childrenrange"].as_str()),
        (10_000, Some("0-9999"))
    );
    assert!(names.is_sorted());
    let started = Instant::now();
    let mut paged = Vec::new();
    for first in (0..10_000).step_by(1000) {
        let page = c
            .cdmi(
                "GET",
                &format!("c/?children={first}-{}&childrenrange", first + 999),
                "",
            )
            .is(200)
            .json();
        assert_eq!(page["childrenrange"], format!("{first}-{}", first + 999));
        paged.extend(
            page["children"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_str().unwrap().to_owned()),
        );
    }
    let took = started.elapsed();
    assert_eq!(paged, names);
    println!("10 pages of 1000 of 10,000 children: {took:?}");
    assert!(took.as_secs() < 5, "{took:?}");
    let end = c
        .cdmi("GET", "c/?children=9999-20000&childrenrange", "")
        .is(200)
        .json();
    assert_eq!(
        (
            end["childrenrange"].as_str(),
            end["children"].as_array().unwrap().len()
        ),
        (Some("9999-9999"), 1)
    );
    assert_eq!(
        c.cdmi("GET", "c/?children=10000-10001", "").is(200).json()["children"],
        serde_json::json!([])
    );
    c.cdmi("GET", "c/?children=5-4", "").is(400);
    // All of them can be opened, though only so many files are kept open.
    for n in (0..10_000).step_by(7) {
        c.get(&format!("c/vol-{n:05}")).is(200);
    }
}

#[test]
fn capabilities_say_what_works() {
    let rig = Rig::new();
    let mut c = rig.client();
    let system = c.get("cdmi_capabilities/").is(200).json();
    assert_eq!(system["objectType"], "application/cdmi-capability");
    for name in [
        "cdmi_dataobjects",
        "cdmi_object_access_by_ID",
        "cdmi_snapshots",
        "restblk_flush",
        "restblk_exclusive_create",
        "restblk_etag",
        "restblk_set_size",
        "restblk_punch",
    ] {
        assert_eq!(system["capabilities"][name], "true", "{name}");
    }
    for absent in [
        "cdmi_queues",
        "cdmi_query",
        "cdmi_domains",
        "cdmi_serialization_json",
        "cdmi_security_https_transport",
    ] {
        assert!(system["capabilities"].get(absent).is_none(), "{absent}");
    }
    assert_eq!(
        system["capabilities"]["restblk_range_bytes_max"],
        (16u32 << 20).to_string()
    );
    for child in system["children"].as_array().unwrap() {
        c.get(&format!("cdmi_capabilities/{}", child.as_str().unwrap()))
            .is(200);
    }
    c.get("cdmi_capabilities/nothing/").is(404);
    c.send("PUT", "cdmi_capabilities/", &[], b"").is(405);
    c.get("cdmi_domains/").is(200);
    let only = c.get("cdmi_capabilities/?capabilities").is(200).json();
    assert_eq!(only.as_object().unwrap().len(), 1);
    let rig = Rig::with(|config| config.read_only = true);
    let system = rig.client().get("cdmi_capabilities/").is(200).json();
    assert!(
        system["capabilities"].get("restblk_flush").is_none()
            && system["capabilities"].get("cdmi_snapshots").is_none()
    );
}
