//! What must be refused: path tricks, strangers, malformed and slow requests, bodies too long or too short.

use crate::rig::{Client, Rig};
use restblk_cdmi_server::{Auth, Config, Server, Tls, User};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn path_tricks_lead_nowhere() {
    let rig = Rig::new();
    let outside = tempfile::TempDir::new().unwrap();
    std::fs::write(outside.path().join("secret"), b"secret").unwrap();
    let name = outside.path().file_name().unwrap().to_str().unwrap().to_owned();
    std::os::unix::fs::symlink(outside.path(), rig.path("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), rig.path("file-link")).unwrap();
    std::os::unix::fs::symlink("real", rig.path("inner-link")).unwrap();
    let mut c = rig.client();
    c.put("real", b"x").is(201);
    for path in [
        format!("../{name}/secret"),
        format!("%2e%2e/{name}/secret"),
        format!("..%2f{name}%2fsecret"),
        "a%00b".into(),
        "a//b".into(),
        "./real".into(),
        "%2e/real".into(),
        "real/../real".into(),
        "x".repeat(300),
        "%ff%fe".into(),
        "a%2Fb".into(),
        "/cdmi/2.0.0//real".into(),
    ] {
        for (method, headers) in [
            ("GET", vec![]),
            ("PUT", vec![]),
            ("DELETE", vec![]),
            ("PATCH", vec!["Content-Range: bytes 0-0/*"]),
        ] {
            c.send(
                method,
                &path,
                &headers,
                if method == "PUT" || method == "PATCH" {
                    b"x"
                } else {
                    b""
                },
            )
            .is(400);
        }
    }
    for path in ["link/secret", "file-link", "inner-link"] {
        c.get(path).is(403);
        c.put(path, b"x").is(403);
        c.patch(path, 0, b"x").is(403);
    }
    c.get("link/").is(403);
    c.send("PUT", "link/new/", &[], b"").is(403);
    c.send("DELETE", "link/", &[], b"").is(403);
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(
        c.cdmi("GET", "/cdmi/2.0.0/", "").json()["children"],
        serde_json::json!(["real"])
    );
    c.get("/etc/passwd").is(404);
    c.put("cdmi_mine", b"x").is(400);
    // Deep, but whole: more than the kernel's PATH_MAX.
    let deep = vec!["d".repeat(200); 30].join("/");
    assert!([400, 404].contains(&c.get(&deep).status));
}

#[test]
fn limits_hold() {
    let rig = Rig::with(|config| {
        config.limits.range_bytes_max = 1 << 20;
        config.limits.put_bytes_max = 4 << 20;
        config.limits.uri_bytes_max = 2048;
    });
    let mut c = rig.client();
    c.put("o", b"same").is(201);
    c.patch("o", 0, &vec![1; (1 << 20) + 1]).is(413);
    let mut c = rig.client();
    c.patch("o", 0, &vec![1; 1 << 20]).is(204);
    c.put("o", &vec![2; (4 << 20) + 1]).is(413);
    let mut c = rig.client();
    assert_eq!(c.get("o").body.len(), 1 << 20);
    c.get(&"x/".repeat(2000)).is(414);
    c.send("GET", "o", &[&format!("X-Long: {}", "y".repeat(40_000))], b"")
        .is(431);
    // Chunked, so that nothing is announced.
    c.raw(format!("PATCH {}o HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-2097151/*\r\n\r\n", c.prefix).as_bytes());
    for _ in 0..3 {
        c.raw(b"80000\r\n");
        c.raw(&vec![3; 0x80000]);
        c.raw(b"\r\n");
    }
    if let Ok(reply) = c.reply(false) {
        assert_eq!(reply.status, 413);
    }
    assert!(rig.client().get("o").body.iter().all(|b| *b == 1));
}

#[test]
fn bodies_shorter_or_longer_than_announced_change_nothing() {
    let rig = Rig::with(|config| config.limits.body_timeout_ms = 500);
    let mut c = rig.client();
    c.put("o", b"0123456789").is(201);
    let tag = c.get("o").tag();
    for (request, sent) in [("PUT", 50), ("PUT", 0)] {
        let mut c = rig.client();
        c.raw(
            format!(
                "{request} {}o HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
                c.prefix
            )
            .as_bytes(),
        );
        c.raw(&vec![7; sent]);
        c.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = c.reply(false);
    }
    let mut c = rig.client();
    c.raw(
        format!(
            "PATCH {}o HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/*\r\n\r\nabc",
            c.prefix
        )
        .as_bytes(),
    );
    c.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = c.reply(false);
    // Stalls instead of closing.
    let mut c = rig.client();
    c.raw(
        format!(
            "PATCH {}o HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/*\r\n\r\nabc",
            c.prefix
        )
        .as_bytes(),
    );
    c.reply(false).unwrap().is(408);
    // Chunked, shorter and longer than the range.
    for body in ["3\r\nabc\r\n0\r\n\r\n", "7\r\nabcdefg\r\n0\r\n\r\n"] {
        let mut c = rig.client();
        c.raw(format!("PATCH {}o HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-4/*\r\n\r\n{body}", c.prefix).as_bytes());
        c.reply(false).unwrap().is(400);
    }
    // What follows the announced length is another request, and a bad one.
    let mut c = rig.client();
    c.raw(
        format!(
            "GET {}o HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxxyyyy\r\n\r\n",
            c.prefix
        )
        .as_bytes(),
    );
    c.reply(false).unwrap().is(200);
    if let Ok(reply) = c.reply(false) {
        assert_eq!(reply.status, 400);
    }
    let read = rig.client().get("o").is(200);
    assert_eq!((read.body.as_slice(), read.tag()), (&b"0123456789"[..], tag));
    assert_eq!(
        std::fs::read_dir(rig.path(".cdmi-server/tmp")).unwrap().count(),
        0
    );
}

#[test]
fn malformed_requests_are_refused_and_the_server_lives() {
    let rig = Rig::new();
    for garbage in [
        &b"\0\0\0\0"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  /x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PUT /cdmi/2.0.0/o HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT /cdmi/2.0.0/o HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"PUT /cdmi/2.0.0/o HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut c = rig.client();
        c.raw(garbage);
        let _ = c.stream.shutdown(std::net::Shutdown::Write);
        if let Ok(reply) = c.reply(false) {
            // 408: it was seen to have closed before its body was.
            assert!(
                matches!(reply.status, 400 | 408),
                "{}: {}",
                reply.status,
                String::from_utf8_lossy(garbage)
            );
        }
    }
    rig.client().get("o").is(404);
}

#[test]
fn slow_clients_are_let_go_and_connections_are_capped() {
    let rig = Rig::with(|config| {
        config.limits.head_timeout_ms = 400;
        config.limits.connections_max = 2;
    });
    let started = Instant::now();
    let (mut a, b) = (rig.client(), rig.client());
    a.raw(b"GET /cdmi/2.0.0/ HTT");
    // Both places are taken; the third is served when the slow ones are let go.
    let mut third = rig.client();
    third.get("/cdmi/2.0.0/").is(200);
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "{:?}",
        started.elapsed()
    );
    let mut rest = Vec::new();
    a.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = a.stream.read_to_end(&mut rest);
    drop(b);
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let rig = Rig::with(|config| {
        config.limits.write_timeout_ms = 1000;
        config.limits.connections_max = 1;
    });
    std::fs::File::create(rig.path("o"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let mut stalled = rig.client();
    stalled.raw(format!("GET {}o HTTP/1.1\r\nHost: x\r\n\r\n", stalled.prefix).as_bytes());
    std::thread::sleep(Duration::from_millis(200));
    // Its place is the only one.
    rig.client().send("HEAD", "o", &[], b"").is(200);
}

#[test]
fn strangers_are_turned_away() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# users\nfile:pass word\n").unwrap();
    let rig = Rig::with(|config| {
        config.auth = Some(Auth {
            users: vec![User {
                name: "user".into(),
                password: "secret".into(),
            }],
            file: Some(file.path().to_owned()),
        });
    });
    let mut c = rig.client();
    let reply = c.put("o", b"x").is(401);
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic realm=")
    );
    // "user:wrong", then nonsense, then another scheme.
    for value in [
        "Basic dXNlcjp3cm9uZw==",
        "Basic ###",
        "Bearer dXNlcjpzZWNyZXQ=",
        "Basic",
    ] {
        c.send("PUT", "o", &[&format!("Authorization: {value}")], b"x")
            .is(401);
    }
    c.get("cdmi_capabilities/").is(401);
    // "user:secret", "file:pass word".
    c.send("PUT", "o", &["Authorization: Basic dXNlcjpzZWNyZXQ="], b"x")
        .is(201);
    c.send("GET", "o", &["Authorization: basic ZmlsZTpwYXNzIHdvcmQ="], b"")
        .is(200);
}

#[test]
fn a_read_only_server_changes_nothing() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("o"), b"x").unwrap();
    let rig = Rig::on(dir.into(), |config| config.read_only = true);
    let mut c = rig.client();
    assert_eq!(c.get("o").is(200).body, b"x");
    c.cdmi("GET", "o", "").is(200);
    c.cdmi("GET", "/cdmi/2.0.0/", "").is(200);
    c.put("o", b"y").is(403);
    c.patch("o", 0, b"y").is(403);
    c.send("DELETE", "o", &[], b"").is(403);
    c.send("PATCH", "o?restblk_flush", &[], b"").is(403);
    c.send("PUT", "c/", &[], b"").is(403);
    assert_eq!(
        std::fs::read_dir(rig.dir.path()).unwrap().count(),
        1,
        "nothing was made"
    );
}

struct Pki {
    dir: tempfile::TempDir,
    ca: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        Pki {
            dir,
            ca,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn issue(&self, name: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        std::fs::write(self.dir.path().join(format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(self.dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn tls_with_and_without_client_certificates() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let pki = Pki::new();
    pki.issue("localhost");
    pki.issue("client");
    let at = |name: &str| pki.dir.path().join(name);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.ca.der().clone()).unwrap();
    let builder = || {
        rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
    };
    let stranger = Arc::new(builder().with_no_client_auth());
    let chain = vec![CertificateDer::from_pem_file(at("client.pem")).unwrap()];
    let known = Arc::new(
        builder()
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(at("client.key")).unwrap())
            .unwrap(),
    );
    let ask = |rig: &Rig, config: Arc<rustls::ClientConfig>| -> std::io::Result<String> {
        use std::io::Write;
        let mut connection = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        let mut tcp = std::net::TcpStream::connect(rig.addr)?;
        let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
        stream.write_all(
            b"GET /cdmi/2.0.0/cdmi_capabilities/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut text = String::new();
        match stream.read_to_string(&mut text) {
            Err(error) if text.is_empty() => Err(error),
            _ => Ok(text),
        }
    };
    for client_ca in [None, Some(at("ca.pem"))] {
        let required = client_ca.is_some();
        let rig = Rig::with(|config| {
            let listen = std::mem::take(&mut config.listen);
            config.tls = Some(Tls {
                listen,
                cert: at("localhost.pem"),
                key: at("localhost.key"),
                client_ca,
            });
        });
        assert!(
            rig.server.as_ref().unwrap().local_addrs().is_empty(),
            "plain HTTP is off"
        );
        let reply = ask(&rig, known.clone()).unwrap();
        assert!(
            reply.starts_with("HTTP/1.1 200") && reply.contains("cdmi_security_https_transport"),
            "{reply}"
        );
        assert_eq!(ask(&rig, stranger.clone()).is_err(), required);
        // Plain HTTP on a TLS port gets nothing.
        let mut plain = Client::new(rig.addr, "/cdmi/2.0.0/");
        plain.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(plain.reply(false).is_err());
    }
    // Files that are wrong are named.
    let dir = tempfile::TempDir::new().unwrap();
    let mut config = Config::new(dir.path());
    config.tls = Some(Tls {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        cert: at("localhost.pem"),
        key: at("client.pem"),
        client_ca: None,
    });
    let error = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(Server::bind(config))
        .unwrap_err();
    assert!(error.to_string().contains("client.pem"), "{error}");
}

#[test]
fn shutdown_lets_requests_end() {
    let mut rig = Rig::new();
    let mut c = rig.client();
    c.put("o", &vec![5; 30 << 20]).is(201);
    c.raw(format!("GET {}o HTTP/1.1\r\nHost: x\r\n\r\n", c.prefix).as_bytes());
    let mut byte = [0];
    c.stream.peek(&mut byte).unwrap();
    let server = rig.server.take().unwrap();
    let stopping = rig.runtime.spawn(server.shutdown(Duration::from_secs(10)));
    assert_eq!(c.reply(false).unwrap().is(200).body.len(), 30 << 20);
    rig.runtime.block_on(stopping).unwrap();
    assert!(std::net::TcpStream::connect(rig.addr).is_err());
}
