//! Volumes and devices: create, list, show, extend, delete, attach, detach, export.

use crate::harness::{Host, attachment, error, restblk, volume};
use serde_json::{Value, json};
use std::process::Stdio;

#[test]
fn create_sends_bytes_and_says_what_is_next() {
    let host = Host::always(201, volume("main/disk1", 10 << 30));
    let run = host.run("volume create main/disk1 10G --block-size 4096");
    assert_eq!((run.code, run.out.as_str()), (0, "main/disk1\n"), "{}", run.err);
    assert!(
        run.err.contains("10 GiB") && run.err.contains("restblk attach main/disk1"),
        "{}",
        run.err
    );
    let asked = host.server.asked();
    assert_eq!(asked[0].line(), "POST /v1/volumes");
    assert_eq!(
        asked[0].body,
        json!({"volume": "main/disk1", "size": 10_u64 << 30, "layout": "direct", "block_size": 4096, "durability": "local"})
    );
    assert_eq!(
        host.run("create main/disk1 10G -q").err,
        "",
        "quiet says nothing more"
    );
}

#[test]
fn list_is_aligned_for_people_and_the_api_for_programs() {
    let held = |mut volume: Value, by: Value| {
        volume["attached_by"] = by;
        volume
    };
    let volumes = json!([
        volume("main/disk1", 10 << 30),
        held(
            volume("main/a-much-longer-name", 3 << 39),
            json!({"hostname": "node7", "host_id": "h", "since": "2026-11-23T08:00:00Z", "this_host": false})
        ),
    ]);
    let host = Host::always(200, volumes.clone());
    let run = host.run("list");
    let wanted = "\
VOLUME                      SIZE  STATE  CREATED               ATTACHED
main/disk1                10 GiB  ready  2026-11-23T08:00:00Z
main/a-much-longer-name  1.5 TiB  ready  2026-11-23T08:00:00Z  node7 since 2026-11-23T08:00:00Z
";
    assert_eq!(run.out, wanted);
    assert_eq!(host.json("list"), volumes);
    host.run("volume ls main");
    assert_eq!(host.server.asked()[2].line(), "GET /v1/volumes?pool=main");
}

#[test]
fn an_empty_list_is_no_error() {
    let host = Host::always(200, json!([]));
    for words in ["list", "devices", "pool list"] {
        let run = host.run(words);
        assert_eq!((run.code, run.out.as_str()), (0, ""), "{words}");
        assert!(run.err.contains("restblk"), "{words}: {}", run.err);
        assert_eq!(host.json(words), json!([]), "{words}");
    }
}

#[test]
fn convert_says_what_to_do_and_show_how_far_it_is() {
    let host = Host::new(|asked| {
        let mut volume = volume("main/disk1", 10 << 30);
        match asked.line().as_str() {
            "GET /v1/volumes/main/disk1" => {
                volume["conversion"] = json!({
                    "to": "log", "stage": "copying", "since": "2026-11-30T08:00:00Z", "done": 5_u64 << 30, "copied": 1 << 30,
                });
                (200, volume)
            }
            "GET /v1/attachments" => (200, json!([])),
            "POST /v1/volumes/main/disk1/convert" => {
                volume["layout"] = json!("log");
                (200, volume)
            }
            "DELETE /v1/volumes/main/disk1/convert" => (204, Value::Null),
            _ => (500, error("bug", "not expected")),
        }
    });
    let shown = host.run("show main/disk1");
    let wanted = "to log: copying, 5 GiB of 10 GiB (50 %), 1 GiB copied, since 2026-11-30T08:00:00Z";
    assert!(shown.out.contains(wanted), "{}", shown.out);
    let run = host.run("convert main/disk1 --to log --durability local --compress zstd --rate 50M");
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "main/disk1: log\n"),
        "{}",
        run.err
    );
    // Without a layout it waits for the one that is under way.
    assert_eq!(host.run("volume convert main/disk1").code, 0);
    assert_eq!(host.run("convert main/disk1 --cancel").code, 0);
    let asked = host.server.asked();
    let posted = asked.iter().filter(|asked| asked.method == "POST");
    let bodies: Vec<_> = posted.map(|asked| asked.body.clone()).collect();
    assert_eq!(
        bodies,
        [
            json!({"to": "log", "durability": "local", "compression": "zstd", "bytes_per_s": 50 << 20}),
            json!({"to": "log"})
        ]
    );
    assert_eq!(host.run("convert main/disk1 --cancel --to log").code, 2);
}

#[test]
fn show_tells_of_the_device_too() {
    let host = Host::new(|asked| match asked.line().as_str() {
        "GET /v1/volumes/main/disk1" => (200, volume("main/disk1", 10 << 30)),
        "GET /v1/attachments" => (200, json!([attachment("main/other"), attachment("main/disk1")])),
        _ => (500, error("bug", "not expected")),
    });
    let run = host.run("show main/disk1");
    assert_eq!(run.code, 0, "{}", run.err);
    for wanted in [
        "10 GiB (10737418240 bytes)",
        "direct (cdmi2)",
        "/dev/ublkb0",
        "mounted on /srv",
        "persist",
    ] {
        assert!(run.out.contains(wanted), "{wanted} in {}", run.out);
    }
    let json = host.json("show main/disk1");
    assert_eq!(
        (&json["size"], &json["attachment"]["device"]),
        (&json!(10_u64 << 30), &json!("/dev/ublkb0"))
    );
}

#[test]
fn extend_adds_to_the_size_that_is() {
    let host = Host::new(|asked| match asked.method.as_str() {
        "GET" => (200, volume("main/disk1", 10 << 30)),
        _ => (200, volume("main/disk1", asked.body["size"].as_u64().unwrap())),
    });
    assert_eq!(host.run("extend main/disk1 +10G").out, "main/disk1 20 GiB\n");
    assert_eq!(host.run("extend main/disk1 12G").out, "main/disk1 12 GiB\n");
    assert_eq!(host.server.changes(), ["POST /v1/volumes/main/disk1/extend"; 2]);
}

#[test]
fn delete_does_not_ask_without_a_terminal() {
    let host = Host::always(204, Value::Null);
    assert_eq!(host.run("delete main/disk1").code, 0);
    assert_eq!(host.run("volume delete --yes main/disk1").code, 0);
    assert_eq!(host.server.changes(), ["DELETE /v1/volumes/main/disk1"; 2]);
}

/// What a terminal shows of `restblk` with these words and this input; nothing where there is no script(1) to give it one.
fn on_terminal(host: &Host, words: &str, input: &str) -> Option<String> {
    let program = format!("{} --color never {words}", env!("CARGO_BIN_EXE_restblk"));
    let child = std::process::Command::new("script")
        .args(["-qec", &program, "/dev/null"])
        .env("RESTBLK_SOCKET", host.server.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: there is no script(1)");
        return None;
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn delete_asks_on_a_terminal() {
    for (answer, changes) in [("y\n", 1), ("n\n", 0), ("\n", 0)] {
        let host = Host::always(204, Value::Null);
        let Some(out) = on_terminal(&host, "delete main/disk1", answer) else {
            return;
        };
        assert!(
            out.contains("Delete main/disk1 and all that is in it? [y/N]"),
            "{out}"
        );
        assert_eq!(host.server.changes().len(), changes, "{answer:?}: {out}");
    }
}

#[test]
fn a_long_wait_shows_a_sign_of_life_on_a_terminal() {
    let slow = |milliseconds| {
        Host::new(move |_| {
            std::thread::sleep(std::time::Duration::from_millis(milliseconds));
            (201, attachment("main/disk1"))
        })
    };
    let Some(out) = on_terminal(&slow(900), "attach main/disk1", "") else {
        return;
    };
    assert!(out.contains("attach main/disk1 … "), "{out:?}");
    let out = on_terminal(&slow(0), "attach main/disk1", "").unwrap();
    assert!(!out.contains('…'), "no flicker: {out:?}");
    let run = slow(900).run("attach main/disk1");
    assert!(!run.err.contains('…'), "nor without a terminal: {}", run.err);
}

#[test]
fn attach_prints_the_path_alone() {
    let host = Host::always(201, attachment("main/disk1"));
    let run = host.run("attach main/disk1 --persist -t ublk --queues 2 --alias disk");
    assert_eq!((run.code, run.out.as_str()), (0, "/dev/restblk/main/disk1\n"));
    for wanted in [
        "ublk",
        "/dev/ublkb0",
        "no resize while attached",
        "mount /dev/restblk/main/disk1",
    ] {
        assert!(run.err.contains(wanted), "{wanted} in {}", run.err);
    }
    let wanted = json!({"volume": "main/disk1", "transport": "ublk", "persist": true, "read_only": false, "force": false,
        "queues": 2, "alias": "disk"});
    assert_eq!(host.server.asked()[0].body, wanted);
    assert_eq!(host.json("attach main/disk1"), attachment("main/disk1"));
    let forced = host.run("attach main/disk1 --force --quiet");
    assert!(
        forced.err.contains("warning:"),
        "the risk is named even quietly: {}",
        forced.err
    );
}

#[test]
fn detach_finds_the_volume_of_a_device() {
    let host = Host::new(|asked| match asked.method.as_str() {
        "GET" => (200, json!([attachment("main/disk1")])),
        _ => (204, Value::Null),
    });
    for target in [
        "main/disk1",
        "/dev/ublkb0",
        "/dev/restblk/main/disk1",
        "/dev/restblk/by-name/disk",
    ] {
        assert_eq!(host.run(&format!("detach {target}")).code, 0, "{target}");
    }
    assert_eq!(
        host.server.changes(),
        ["POST /v1/attachments/main/disk1/detach"; 4]
    );
    let run = host.run("detach /dev/sda");
    assert_eq!(run.code, 3);
    assert!(run.err.contains("/dev/ublkb0"), "{}", run.err);
    host.run("detach --force main/disk1");
    assert_eq!(host.server.asked().last().unwrap().body, json!({"force": true}));
}

#[test]
fn devices_shows_who_uses_them() {
    let host = Host::always(200, json!([attachment("main/disk1")]));
    let wanted = "\
DEVICE       VOLUME        SIZE  TRANSPORT  STATE   OPTIONS  USED BY
/dev/ublkb0  main/disk1  10 GiB  ublk       active  persist  mounted on /srv
";
    assert_eq!(host.run("devices").out, wanted);
}

#[test]
fn export_prints_uris_and_unexport_touches_no_device() {
    let mut export = attachment("main/disk1");
    export["transport"] = json!("nbd-export");
    export["nbd_uris"] = json!(["nbd+unix:///main/disk1?socket=/s", "nbd://host/main/disk1"]);
    for gone in ["device", "link", "alias"] {
        export.as_object_mut().unwrap().remove(gone);
    }
    let host = Host::new(move |asked| match asked.line().as_str() {
        "GET /v1/attachments/main/disk1" => (200, export.clone()),
        "GET /v1/attachments/main/disk2" => (200, attachment("main/disk2")),
        "POST /v1/attachments" => (201, export.clone()),
        _ => (204, Value::Null),
    });
    let run = host.run("export main/disk1 --read-only");
    assert_eq!(
        run.out,
        "nbd+unix:///main/disk1?socket=/s\nnbd://host/main/disk1\n"
    );
    assert_eq!(host.server.asked()[0].body["transport"], json!("nbd-export"));
    assert_eq!(host.run("unexport main/disk1").code, 0);
    let run = host.run("unexport main/disk2");
    assert_eq!(run.code, 6, "{}", run.err);
    assert!(run.err.contains("restblk detach main/disk2"), "{}", run.err);
    assert_eq!(
        host.server.changes(),
        ["POST /v1/attachments", "POST /v1/attachments/main/disk1/detach"]
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let many: Vec<Value> = (0..5000)
        .map(|n| volume(&format!("main/disk{n}"), 1 << 30))
        .collect();
    let host = Host::always(200, json!(many));
    let mut command = restblk("list");
    command
        .env("RESTBLK_SOCKET", host.server.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}
