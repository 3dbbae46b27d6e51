//! The client against a server on a real Unix socket that answers what it is told to.

use super::{Client, ClientError};
use crate::{CreateVolume, Deletion, DetachRequest, DiffQuery, ErrorBody, ReceiveQuery, SendQuery};
use bytes::Bytes;
use restblk_types::{ByteCount, ErrorKind, VolumeRef};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Answers one connection with `answer`; its result is what was asked.
fn server(dir: &TempDir, answer: String) -> (Client, JoinHandle<String>) {
    let socket = dir.path().join("api.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 65536];
        let mut len = 0;
        loop {
            len += stream.read(&mut request[len..]).await.unwrap();
            let text = String::from_utf8_lossy(&request[..len]).to_ascii_lowercase();
            let head = text.find("\r\n\r\n").map(|at| at + 4);
            let body: usize = text
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
            if head.is_some_and(|head| len >= head + body) {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..len]).into_owned()
    });
    (Client::new(socket), task)
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn disk() -> VolumeRef {
    "main/disk1".parse().unwrap()
}

const VOLUME: &str = r#"{"volume":"main/disk1","id":"x","size":1024,"block_size":512,"layout":"direct","created_at":"2026-01-01T00:00:00Z","state":"ready","later":1}"#;

#[tokio::test]
async fn a_change_goes_out_as_json_and_its_answer_is_read_with_unknown_fields() {
    let dir = TempDir::new().unwrap();
    let (client, asked) = server(&dir, http("201 Created", VOLUME));
    let request = CreateVolume {
        volume: disk(),
        size: ByteCount(1024),
        layout: crate::Layout::Direct,
        block_size: None,
        durability: restblk_types::Durability::Local,
        compression: None,
        encrypt: false,
        key: None,
    };
    assert_eq!(
        client.create_volume(&request).await.unwrap().size,
        ByteCount(1024)
    );
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /v1/volumes HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.ends_with(r#"{"volume":"main/disk1","size":1024,"layout":"direct","durability":"local"}"#),
        "{asked}"
    );
    assert!(
        asked
            .to_ascii_lowercase()
            .contains("content-type: application/json"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_url_is_quoted_in_a_query() {
    let dir = TempDir::new().unwrap();
    let (client, asked) = server(
        &dir,
        http(
            "404 Not Found",
            r#"{"kind":"not_found","message":"no such mirror"}"#,
        ),
    );
    client
        .remove_mirror(&"main".parse().unwrap(), "http://[::1]:80/a?b=c&d")
        .await
        .unwrap_err();
    let asked = asked.await.unwrap();
    let wanted = "DELETE /v1/pools/main/mirrors?url=http%3A%2F%2F%5B%3A%3A1%5D%3A80%2Fa%3Fb%3Dc%26d HTTP/1.1";
    assert!(asked.starts_with(wanted), "{asked}");
}

#[tokio::test]
async fn the_daemons_own_words_arrive_whole() {
    let dir = TempDir::new().unwrap();
    let (client, _asked) = server(
        &dir,
        http(
            "409 Conflict",
            r#"{"kind":"busy","message":"mounted on /srv","hint":"umount /srv"}"#,
        ),
    );
    let error = client
        .detach(&disk(), &DetachRequest::default())
        .await
        .unwrap_err();
    assert!(!error.is_unreachable());
    assert_eq!(
        error.into_body(),
        ErrorBody::new(ErrorKind::Busy, "mounted on /srv").hint("umount /srv")
    );
}

#[tokio::test]
async fn an_answer_of_another_program_is_no_answer() {
    for answer in [
        http("200 OK", "<html>"),
        http("500 Oops", "<html>"),
        http("200 OK", r#"{"volume":"a/b"}"#),
    ] {
        let dir = TempDir::new().unwrap();
        let (client, _asked) = server(&dir, answer);
        let error = client.volume(&disk()).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_an_error() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{",
        "nonsense\r\n\r\n",
    ] {
        let dir = TempDir::new().unwrap();
        let (client, _asked) = server(&dir, answer.to_owned());
        let error = client.volume(&disk()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Broken { .. }) && error.is_unreachable(),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_daemon_is_told_from_a_dead_one_and_a_forbidden_one() {
    let dir = TempDir::new().unwrap();
    let error = Client::new(dir.path().join("none.sock"))
        .host()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::NoSocket { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("systemctl status restblk"));
    let dead = dir.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    let error = Client::new(&dead).host().await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error:?}");
    let denied = Client::new(Path::new("/x"))
        .cannot_connect(&std::io::Error::from(std::io::ErrorKind::PermissionDenied));
    assert!(
        denied.kind() == ErrorKind::Denied && denied.hint().unwrap().contains("root"),
        "{denied:?}"
    );
}

#[tokio::test]
async fn a_question_is_given_up_and_a_change_is_not() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("api.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let client = Client::new(&socket).patience(Duration::from_millis(30));
    let error = client.host().await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    let change = tokio::time::timeout(
        Duration::from_millis(100),
        client.delete_volume(&disk(), Deletion::Now),
    )
    .await;
    assert!(change.is_err(), "a change waits on");
}

#[tokio::test]
async fn a_snapshot_never_stands_for_its_volume() {
    let error = Client::new("/nowhere")
        .delete_volume(&"main/disk1@monday".parse().unwrap(), Deletion::AsConfigured)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_answer_is_taken_piece_by_piece() {
    let dir = TempDir::new().unwrap();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n";
    for (end, is_whole) in [("0\r\n\r\n", true), ("", false)] {
        let (client, asked) = server(&dir, format!("{chunked}{end}"));
        let query = SendQuery {
            from: Some("monday".parse().unwrap()),
            resume: Some("rb1.x".to_owned()),
            plaintext: true,
        };
        let mut stream = client
            .stream(&disk().at("tuesday".parse().unwrap()), &query)
            .await
            .unwrap();
        let mut found = Vec::new();
        let end = loop {
            match stream.piece().await {
                Ok(Some(piece)) => found.extend_from_slice(&piece),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert_eq!(found, b"abcde");
        assert_eq!(end.is_ok(), is_whole, "{end:?}");
        let wanted = "GET /v1/volumes/main/disk1/snapshots/tuesday/stream?from=monday&resume=rb1%2Ex&plaintext=true HTTP/1.1";
        let asked = asked.await.unwrap();
        assert!(asked.starts_with(wanted), "{asked}");
        std::fs::remove_file(client.socket()).unwrap();
    }
    let (client, _asked) = server(
        &dir,
        http(
            "404 Not Found",
            r#"{"kind":"not_found","message":"no such snapshot"}"#,
        ),
    );
    let refused = client.diff(&disk(), &DiffQuery::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_answer_may_come_before_all_was_given() {
    let dir = TempDir::new().unwrap();
    let (client, asked) = server(
        &dir,
        http("409 Conflict", r#"{"kind":"busy","message":"attached"}"#),
    );
    let (give, pieces) = tokio::sync::mpsc::channel(1);
    let giver = tokio::spawn(async move { while give.send(Ok(Bytes::from(vec![7; 1000]))).await.is_ok() {} });
    let query = ReceiveQuery {
        force: true,
        plaintext: false,
    };
    let refused = client.receive(&disk(), query, pieces).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    giver.await.unwrap();
    let asked = asked.await.unwrap();
    assert!(
        asked.starts_with("POST /v1/volumes/main/disk1/receive?force=true HTTP/1.1"),
        "{asked}"
    );
}
