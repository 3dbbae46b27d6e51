//! The other dialects: CDMI 1.x, Scality's, and the driver of 2014, byte for byte as it sends.

use crate::rig::Rig;
use restblk_cdmi_server::Mode;

fn rig(mode: Mode) -> Rig {
    Rig::with(|config| config.mode = mode)
}

#[test]
fn cdmi_1x_updates_with_put() {
    let rig = rig(Mode::Cdmi1);
    let mut c = rig.client();
    c.send(
        "PUT",
        "/c/",
        &[
            "Content-Type: application/cdmi-container",
            "X-CDMI-Specification-Version: 1.0.2",
        ],
        b"{}",
    )
    .is(201);
    c.cdmi(
        "PUT",
        "/c/o",
        r#"{"value":"Hello CDMI World!","metadata":{"a":"1"}}"#,
    )
    .is(201);
    c.cdmi("PUT", "/c/o?value:0-4", r#"{"value":"SEVMTE8="}"#).is(204);
    assert_eq!(c.get("/c/o").body, b"HELLO CDMI World!");
    c.send("PUT", "/c/o", &["Content-Range: bytes 6-9/17"], b"cdmi")
        .is(204);
    assert_eq!(c.get("/c/o").body, b"HELLO cdmi World!");
    c.cdmi("PUT", "/c/o", r#"{"metadata":{"b":"2"}}"#).is(204);
    let read = c.cdmi("GET", "/c/o?value:6-9;metadata:b", "").is(200).json();
    assert_eq!(
        (&read["value"], &read["metadata"]),
        (&"cdmi".into(), &serde_json::json!({"b": "2"}))
    );
    assert_eq!(
        c.cdmi("GET", "/c/?children:0-0;childrenrange", "").json(),
        serde_json::json!({"children": ["o"], "childrenrange": "0-0"})
    );
    c.send("PATCH", "/c/o", &["Content-Range: bytes 0-0/*"], b"x")
        .is(405);
    // The extensions are the same.
    c.send("PATCH", "/c/o?restblk_size=5&restblk_flush", &[], b"")
        .is(204);
    assert_eq!(c.get("/c/o").body, b"HELLO");
    c.cdmi("PUT", "/c/", r#"{"snapshot":"s"}"#).is(201);
    assert_eq!(c.get("/c/cdmi_snapshots/s/o").body, b"HELLO");
    c.cdmi("PUT", "/c/o", r#"{"value":"all new"}"#).is(204);
    assert_eq!(c.cdmi("GET", "/c/o", "").json()["metadata"]["b"], "2");
}

#[test]
fn scality_writes_by_id_and_flushes_with_head() {
    let rig = rig(Mode::Scality);
    let mut c = rig.client();
    c.put("/v", b"0123456789").is(201);
    let meta = c.get("/v?metadata").is(200).json();
    assert_eq!(meta["metadata"]["cdmi_size"], 10, "a bare number");
    assert!(
        meta["metadata"]["cdmi_mtime"]
            .as_str()
            .unwrap()
            .ends_with(".000000Z")
    );
    let id = c.cdmi("GET", "/v?objectID", "").json()["objectID"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(id.starts_with("00009271"), "enterprise number 37489: {id}");
    c.send(
        "PUT",
        &format!("/cdmi_objectid/{id}"),
        &["Content-Range: bytes=2-3"],
        b"ab",
    )
    .is(204);
    c.send("PUT", "/v", &["Range: bytes=4-5"], b"cd").is(204);
    assert_eq!(c.get("/v").body, b"01abcd6789");
    c.send("PUT", "/v", &["X-Scal-Truncate: 20"], b"").is(200);
    c.send("HEAD", "/v", &["X-Scal-Synchronize: data"], b"").is(200);
    c.send("HEAD", "/v", &["X-Scal-Synchronize: bytes 0-5"], b"")
        .is(200);
    c.send("HEAD", "/nothing", &["X-Scal-Synchronize: data"], b"")
        .is(404);
    assert_eq!(std::fs::metadata(rig.path("v")).unwrap().len(), 20);
    assert_eq!(
        c.get("/cdmi_capabilities/").json()["capabilities"]["value_transfer_maxsize"],
        "1048576"
    );
}

#[test]
fn the_driver_of_2014_is_understood() {
    let rig = rig(Mode::Srb);
    std::fs::create_dir(rig.path("c")).unwrap();
    let mut c = rig.client();
    let common =
        "Connection: keep-alive\r\nKeep-Alive: timeout=3600 \r\nUser-Agent: srb/0.6.1\r\nHost: 127.0.0.1\r\n";
    let mut ask = |line: &str, rest: &str, body: &[u8]| {
        c.raw(&[format!("{line} HTTP/1.1\r\n{common}{rest}\r\n").as_bytes(), body].concat());
        c.reply(line.starts_with("HEAD")).unwrap()
    };
    ask("PUT /c/vol1", "If-None-Match: *\r\n", b"").is(204);
    ask("PUT /c/vol1", "If-None-Match: *\r\n", b"").is(412);
    ask("PUT /c/vol1", "X-Scal-Truncate: 1048576\r\n", b"").is(200);
    let meta = ask("GET /c/vol1?metadata", "", b"").is(200);
    let text = String::from_utf8(meta.body.clone()).unwrap();
    assert!(text.contains("\"cdmi_size\":1048576"), "{text}");
    assert!(
        meta.head.contains("Content-Length: "),
        "the driver compares the header's case: {}",
        meta.head
    );
    let write = ask(
        "PUT /c/vol1",
        "Range: bytes=4096-4103\r\nContent-Length: 8\r\n",
        b"GET  /c/",
    );
    assert!(write.is(204).head.starts_with("HTTP/1.1 204 No Content\r\n"));
    let read = ask("GET /c/vol1", "Range: bytes=4094-4105\r\n", b"").is(200);
    assert_eq!(read.body, b"\0\0GET  /c/\0\0");
    assert!(read.header("content-range").is_none());
    ask("GET /c/vol1", "Range: bytes=1048576-1048577\r\n", b"").is(400);
    ask("HEAD /c/vol1", "X-Scal-Synchronize: data\r\n", b"").is(200);
    // Two spaces, and valid JSON however many there are.
    ask("PUT /c/vol2", "If-None-Match: *\r\n", b"").is(204);
    let list = ask("GET  /c/", "X-CDMI-Specification-Version: 1.0.1\r\n", b"").is(200);
    assert_eq!(list.json()["children"], serde_json::json!(["vol1", "vol2"]));
    ask("PATCH /c/vol1", "", b"").is(405);
    ask("PUT /c/none", "Range: bytes=0-0\r\nContent-Length: 1\r\n", b"x").is(404);
    ask("PUT /c/vol1", "Range: bytes=0-4\r\nContent-Length: 1\r\n", b"x").is(400);
    ask("DELETE /c/vol1", "", b"").is(204);
    ask("DELETE /c/vol1", "", b"").is(404);
    ask("GET /c/vol1?metadata", "", b"").is(404);
}

#[test]
fn the_prefix_can_be_chosen() {
    let rig = Rig::with(|config| config.uri_prefix = Some("/my/root".to_owned()));
    let mut c = rig.client();
    c.put("/my/root/o", b"x").is(201);
    assert_eq!(c.cdmi("GET", "/my/root/o", "").json()["parentURI"], "/my/root/");
    c.get("/o").is(404);
    assert_eq!(c.get("/my/root").is(301).header("location"), Some("/my/root/"));
}

#[test]
fn instances_are_told_where_there_are_extensions() {
    for (mode, tells) in [(Mode::Cdmi1, true), (Mode::Scality, true), (Mode::Srb, false)] {
        let rig = rig(mode);
        let mut c = rig.client();
        let put = c.put("/o", b"x").header("restblk-instance").map(str::to_owned);
        assert_eq!(put.is_some(), tells, "{mode:?}");
        if mode != Mode::Cdmi1 {
            let flush = c.send("HEAD", "/o", &["X-Scal-Synchronize: data"], b"").is(200);
            assert_eq!(
                flush.header("restblk-instance").map(str::to_owned),
                put,
                "{mode:?}"
            );
        }
    }
}
