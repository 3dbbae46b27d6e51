//! Data objects by plain HTTP and by JSON, ranges, metadata, IDs, copy, move.

use crate::rig::Rig;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_value_is_the_file_byte_for_byte() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("o", b"hello").is(201);
    assert_eq!(std::fs::read(rig.path("o")).unwrap(), b"hello");
    let reply = c.get("o").is(200);
    assert_eq!(
        (reply.body.as_slice(), reply.header("content-type")),
        (&b"hello"[..], Some("application/octet-stream"))
    );
    c.send("PUT", "o", &["Content-Type: text/x-y"], b"other").is(204);
    let reply = c.get("o").is(200);
    assert_eq!(
        (reply.body.as_slice(), reply.header("content-type")),
        (&b"other"[..], Some("text/x-y"))
    );
    let reply = c.send("HEAD", "o", &[], b"").is(200);
    assert_eq!(reply.header("content-length"), Some("5"));
    c.send("DELETE", "o", &[], b"").is(204);
    c.send("DELETE", "o", &[], b"").is(404);
    c.get("o").is(404);
    assert!(!rig.path("o").exists());
}

#[test]
fn a_file_of_another_program_is_an_object() {
    let rig = Rig::new();
    let mut c = rig.client();
    std::fs::write(rig.path("raw.img"), b"0123456789").unwrap();
    assert_eq!(
        c.send("GET", "raw.img", &["Range: bytes=3-5"], b"").is(206).body,
        b"345"
    );
    let id = c.cdmi("GET", "raw.img", "").is(200).json()["objectID"].clone();
    c.patch("raw.img", 0, b"ab").is(204);
    assert_eq!(c.cdmi("GET", "raw.img", "").is(200).json()["objectID"], id);
    assert_eq!(std::fs::read(rig.path("raw.img")).unwrap(), b"ab23456789");
}

#[test]
fn ranges_are_read() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("o", b"0123456789").is(201);
    for (range, status, body, content) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("bytes=5-4", 200, "0123456789", None),
    ] {
        let reply = c.send("GET", "o", &[&format!("Range: {range}")], b"").is(status);
        assert_eq!(
            (
                String::from_utf8(reply.body.clone()).unwrap().as_str(),
                reply.header("content-range")
            ),
            (body, content),
            "{range}"
        );
    }
    let reply = c.send("GET", "o", &["Range: bytes=10-12"], b"").is(416);
    assert_eq!(reply.header("content-range"), Some("bytes */10"));
    c.put("empty", b"").is(201);
    c.send("GET", "empty", &["Range: bytes=0-0"], b"").is(416);
    assert_eq!(c.get("empty").is(200).body, b"");
    let tag = c.get("o").tag();
    c.send(
        "GET",
        "o",
        &["Range: bytes=0-3", &format!("If-Range: {tag}")],
        b"",
    )
    .is(206);
    c.send("GET", "o", &["Range: bytes=0-3", "If-Range: \"x\""], b"")
        .is(200);
}

#[test]
fn ranges_are_written_and_gaps_read_as_zero() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("o", b"").is(201);
    c.patch("o", 1 << 30, b"end").is(204);
    c.patch("o", 4096, b"middle").is(204);
    let meta = std::fs::metadata(rig.path("o")).unwrap();
    assert_eq!(meta.len(), (1 << 30) + 3);
    assert!(meta.blocks() * 512 < 1 << 20, "sparse");
    assert_eq!(
        c.send("GET", "o", &["Range: bytes=4090-4105"], b"").is(206).body,
        b"\0\0\0\0\0\0middle\0\0\0\0"
    );
    assert_eq!(
        c.send("GET", "o", &["Range: bytes=1073741822-1073741826"], b"")
            .is(206)
            .body,
        b"\0\0end"
    );

    c.patch("nothing", 0, b"x").is(404);
    for (header, status) in [
        ("Content-Range: bytes 0-3/*", 400),
        ("Content-Range: bytes 0-4/3", 400),
        ("Content-Range: bytes=0-4", 400),
        ("Content-Range: bytes 4-0/*", 400),
        ("X: y", 400),
        (
            "Content-Range: bytes 18446744073709551610-18446744073709551614/*",
            413,
        ),
        ("Content-Range: bytes 0-4/*", 204),
    ] {
        c.send("PATCH", "o", &[header], b"ABCDE").is(status);
    }
    // PUT with a range would replace the object in a server that takes no notice of it; ours refuses.
    c.send("PUT", "o", &["Content-Range: bytes 0-4/*"], b"ABCDE")
        .is(400);
    c.send("PUT", "o", &["Range: bytes=0-4"], b"ABCDE").is(400);
    assert_eq!(std::fs::metadata(rig.path("o")).unwrap().len(), (1 << 30) + 3);
}

#[test]
fn large_objects_stream_both_ways() {
    let rig = Rig::new();
    let mut c = rig.client();
    let data: Vec<u8> = (0..10_000_003u32)
        .map(|i| u8::try_from(i.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    c.put("big", &data).is(201);
    assert!(c.get("big").is(200).body == data);
    assert!(
        c.send("GET", "big", &["Range: bytes=1-9000000"], b"")
            .is(206)
            .body
            == data[1..=9_000_000]
    );
    // As JSON it comes in base64, in a stream.
    let json = c.cdmi("GET", "big", "").is(200).json();
    use base64::Engine;
    let value = base64::engine::general_purpose::STANDARD
        .decode(json["value"].as_str().unwrap())
        .unwrap();
    assert!(value == data);
    assert_eq!(json["valuerange"], "0-10000002");
}

#[test]
fn json_objects_have_the_mandatory_fields() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.send("PUT", "c/", &[], b"").is(201);
    let made = c
        .cdmi(
            "PUT",
            "c/o",
            r#"{"mimetype":"text/plain","metadata":{"color":"red"},"value":"Grüße"}"#,
        )
        .is(201)
        .json();
    assert!(made.get("value").is_none());
    let read = c.cdmi("GET", "c/o", "").is(200).json();
    for (field, wanted) in [
        ("objectType", "application/cdmi-object"),
        ("objectName", "o"),
        ("parentURI", "/cdmi/2.0.0/c/"),
        ("domainURI", "/cdmi/2.0.0/cdmi_domains/"),
        ("capabilitiesURI", "/cdmi/2.0.0/cdmi_capabilities/dataobject/"),
        ("completionStatus", "Complete"),
        ("mimetype", "text/plain"),
        ("valuetransferencoding", "utf-8"),
        ("valuerange", "0-6"),
        ("value", "Grüße"),
    ] {
        assert_eq!(read[field], wanted, "{field}");
    }
    let parent = c.cdmi("GET", "c/", "").is(200).json();
    assert_eq!(read["parentID"], parent["objectID"]);
    assert_eq!(read["objectID"], made["objectID"]);
    assert_eq!(
        (&read["metadata"]["color"], &read["metadata"]["cdmi_size"]),
        (&"red".into(), &"7".into())
    );
    assert_eq!(std::fs::read(rig.path("c/o")).unwrap(), "Grüße".as_bytes());
    // A part that cuts a character comes in base64, and says so.
    let part = c.cdmi("GET", "c/o?value=3-3", "").is(200).json();
    assert_eq!(
        (part["valuetransferencoding"].as_str(), part["value"].as_str()),
        (Some("base64"), Some("vA=="))
    );
    let part = c.cdmi("GET", "c/o?value=0-1", "").is(200).json();
    assert_eq!(
        (part["value"].as_str(), part["valuerange"].as_str()),
        (Some("Gr"), Some("0-1"))
    );
    c.cdmi("GET", "c/o?value=7-9", "").is(416);
    let fields = c.cdmi("GET", "c/o?mimetype&objectName", "").is(200).json();
    assert_eq!(fields.as_object().unwrap().len(), 2);
}

#[test]
fn json_bodies_are_checked() {
    let rig = Rig::new();
    let mut c = rig.client();
    for bad in [
        "{",
        "[]",
        r#"{"value":1}"#,
        r#"{"value":"!","valuetransferencoding":"base64"}"#,
        r#"{"valuetransferencoding":"json"}"#,
        r#"{"reference":"/x"}"#,
        r#"{"copy":"/a","move":"/b"}"#,
        r#"{"copy":"/a","value":"x"}"#,
        r#"{"metadata":[]}"#,
        r#"{"serialize":"/x"}"#,
    ] {
        c.cdmi("PUT", "o", bad).is(400);
    }
    c.get("o").is(404);
    let long = format!(r#"{{"metadata":{{"a":"{}"}}}}"#, "x".repeat(4000));
    c.cdmi("PUT", "o", &long).is(413);
    c.get("o").is(404);
    c.cdmi("PUT", "o", "").is(201);
    c.cdmi("PATCH", "o?nonsense=1", "{}").is(400);
    c.send("PATCH", "o", &[], b"").is(400);
    c.send("POST", "o", &[], b"").is(405);
    c.send("GET", "o", &["Accept: image/png"], b"").is(406);
    assert!(
        c.send("OPTIONS", "o", &[], b"")
            .is(405)
            .header("allow")
            .unwrap()
            .contains("PATCH")
    );
}

#[test]
fn json_updates_change_what_they_name() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.cdmi(
        "PUT",
        "o",
        r#"{"value":"Hello CDMI World!","metadata":{"a":"1","ab":"2","c":"3"}}"#,
    )
    .is(201);
    let id = c.cdmi("GET", "o?objectID", "").json()["objectID"].clone();
    // "Hello" → "HELLO", in base64.
    c.cdmi("PATCH", "o?value=0-4", r#"{"value":"SEVMTE8="}"#).is(204);
    c.cdmi("PATCH", "o?value=0-4", r#"{"value":"SEVMTE8hIQ=="}"#)
        .is(400);
    c.cdmi(
        "PATCH",
        "o?value=17-18",
        r#"{"value":"??","valuetransferencoding":"utf-8"}"#,
    )
    .is(204);
    assert_eq!(c.get("o").body, b"HELLO CDMI World!??");
    c.cdmi(
        "PATCH",
        "o?metadata=a",
        r#"{"metadata":{"ab":"new","c":"ignored"}}"#,
    )
    .is(204);
    let read = c.cdmi("GET", "o", "").json();
    assert_eq!(
        (&read["metadata"]["ab"], &read["metadata"]["c"]),
        (&"new".into(), &"3".into())
    );
    assert!(read["metadata"].get("a").is_none());
    assert_eq!(c.cdmi("GET", "o?metadata=c", "").json()["metadata"]["c"], "3");
    c.cdmi(
        "PATCH",
        "o",
        r#"{"metadata":{"only":"this"},"mimetype":"text/html"}"#,
    )
    .is(204);
    let read = c.cdmi("GET", "o", "").json();
    assert_eq!(
        (&read["metadata"]["only"], &read["mimetype"], &read["objectID"]),
        (&"this".into(), &"text/html".into(), &id)
    );
    assert!(read["metadata"].get("c").is_none());
    c.cdmi("PATCH", "o", r#"{"value":"short"}"#).is(204);
    let read = c.cdmi("GET", "o", "").json();
    assert_eq!(
        (&read["value"], &read["metadata"]["only"], &read["objectID"]),
        (&"short".into(), &"this".into(), &id)
    );
    // A plain PUT keeps what plain HTTP cannot express.
    c.put("o", b"plain").is(204);
    let read = c.cdmi("GET", "o", "").json();
    assert_eq!(
        (&read["metadata"]["only"], &read["objectID"], &read["value"]),
        (&"this".into(), &id, &"cGxhaW4=".into())
    );
    c.cdmi("PATCH", "nothing", "{}").is(404);
}

#[test]
fn ids_name_objects_wherever_they_are() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.send("PUT", "c/", &[], b"").is(201);
    let id = c.cdmi("PUT", "c/o", r#"{"value":"x"}"#).is(201).json()["objectID"]
        .as_str()
        .unwrap()
        .to_owned();
    let by_id = format!("cdmi_objectid/{id}");
    assert_eq!(c.get(&by_id).is(200).body, b"x");
    c.patch(&by_id, 1, b"y").is(204);
    assert_eq!(c.get("c/o").body, b"xy");
    c.cdmi("PUT", "c/p", r#"{"move":"/cdmi/2.0.0/c/o"}"#).is(201);
    assert_eq!(c.get(&by_id).is(200).body, b"xy");
    assert_eq!(c.cdmi("GET", &by_id, "").json()["objectName"], "p");
    let container = c.cdmi("GET", "c/", "").json()["objectID"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        c.cdmi("GET", &format!("cdmi_objectid/{container}/"), "")
            .is(200)
            .json()["children"][0],
        "p"
    );
    assert_eq!(c.get(&format!("cdmi_objectid/{container}/p")).is(200).body, b"xy");
    c.send("DELETE", &by_id, &[], b"").is(204);
    c.get(&by_id).is(404);
    c.get("cdmi_objectid/00007E7F0010BD1CB8FF1823CF05BEE4").is(404);
    c.get("cdmi_objectid/00007E7F0010BD1CB8FF1823CF05BEE5").is(400);
}

#[test]
fn objects_are_copied_and_moved() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.cdmi(
        "PUT",
        "a",
        r#"{"value":"abc","mimetype":"x/y","metadata":{"k":"v"}}"#,
    )
    .is(201);
    c.patch("a", 8 << 20, b"far").is(204);
    let copy = c.cdmi("PUT", "b", r#"{"copy":"/cdmi/2.0.0/a"}"#).is(201).json();
    let source = c.cdmi("GET", "a?objectID", "").json();
    assert_ne!(copy["objectID"], source["objectID"]);
    assert_eq!(
        (&copy["mimetype"], &copy["metadata"]["k"]),
        (&"x/y".into(), &"v".into())
    );
    assert!(std::fs::read(rig.path("a")).unwrap() == std::fs::read(rig.path("b")).unwrap());
    assert!(
        std::fs::metadata(rig.path("b")).unwrap().blocks() * 512 < 1 << 20,
        "holes are kept"
    );
    c.patch("b", 0, b"B").is(204);
    assert_eq!(c.send("GET", "a", &["Range: bytes=0-2"], b"").body, b"abc");
    c.cdmi("PUT", "b", r#"{"copy":"a"}"#).is(204);
    assert_eq!(c.send("GET", "b", &["Range: bytes=0-2"], b"").body, b"abc");
    c.cdmi("PUT", "z", r#"{"copy":"/cdmi/2.0.0/nothing"}"#).is(404);
    c.cdmi("PUT", "z", r#"{"move":"http://other/cdmi/2.0.0/a"}"#)
        .is(201);
    c.get("a").is(404);
    assert_eq!(c.send("GET", "z", &["Range: bytes=0-2"], b"").body, b"abc");
    c.cdmi("PUT", "z", r#"{"move":"z"}"#).is(400);
    c.cdmi("PUT", "b", r#"{"move":"z"}"#).is(204);
    c.get("z").is(404);
}

#[test]
fn a_refused_body_is_heard_out_and_its_connection_kept() {
    let rig = Rig::new();
    let mut c = rig.client();
    c.put("missing/o", &vec![7; 8 << 20]).is(404);
    c.put("o", b"here").is(201);
    c.send("PUT", "o", &["If-None-Match: *"], &vec![7; 8 << 20])
        .is(412);
    assert_eq!(c.get("o").body, b"here");
}
