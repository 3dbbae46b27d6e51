//! TLS: offered, required, with clients' certificates.

use crate::{
    programs::{run, succeeds},
    raw::{ACK, ERR, info_bytes, option_bytes},
    serve::Served,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use restblk_block::MemoryDevice;
use restblk_nbd::{Exports, Limits, Server, ServerError, Tls, TlsFiles};
use restblk_types::{BlockSize, ErrorKind};
use std::{fs, path::Path, sync::Arc};

fn device() -> Arc<MemoryDevice> {
    Arc::new(MemoryDevice::new(1 << 20, BlockSize::B512))
}

/// An authority, a server's and a client's certificate in `folder`, under the names that libnbd looks for.
fn certificates(folder: &Path) -> TlsFiles {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).unwrap();
    fs::write(folder.join("ca-cert.pem"), certificate.pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let signed = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        fs::write(folder.join(format!("{name}-cert.pem")), signed.pem()).unwrap();
        fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }
    TlsFiles {
        certificate: folder.join("server-cert.pem"),
        key: folder.join("server-key.pem"),
        client_ca: None,
    }
}

#[tokio::test]
async fn a_client_in_the_clear_learns_only_that_tls_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let config = certificates(folder.path()).load().unwrap();
    let served = Served::new(device(), Limits::default(), Tls::Require(config)).await;
    let mut raw = served.raw().await;
    for (option, data) in [
        (3, vec![]),
        (6, info_bytes("disk", &[])),
        (7, info_bytes("disk", &[])),
        (8, vec![]),
        (99, vec![]),
    ] {
        assert_eq!(raw.option_ends(option, &data).await, ERR | 5, "{option}");
    }
    assert_eq!(raw.option_ends(5, b"x").await, ERR | 3);
    raw.send(&option_bytes(1, b"disk")).await;
    assert!(raw.is_over().await);
    let mut raw = served.raw().await;
    assert_eq!(raw.option_ends(2, &[]).await, ACK, "leaving is allowed");
    let mut raw = served.raw().await;
    assert_eq!(raw.option_ends(5, &[]).await, ACK);
    // Not a TLS handshake: whatever comes, it is no service in the clear.
    raw.send(&option_bytes(7, &info_bytes("disk", &[]))).await;
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut raw.stream, &mut rest).await;
    assert!(
        !rest
            .windows(8)
            .any(|bytes| bytes == 0x0003_e889_0455_65a9u64.to_be_bytes())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_libnbd_speak_tls() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificates(folder.path());
    let exports = Exports::new();
    exports.add("disk", "", device()).unwrap();
    let server = Server::new(
        Arc::clone(&exports),
        Limits::default(),
        Tls::Require(files.load().unwrap()),
    );
    let listening = server.listen_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listening.tcp_addr().unwrap().port();
    let dir = folder.path().display();
    assert_eq!(listening.uri(), format!("nbds://127.0.0.1:{port}"));
    let secure = format!("nbds://localhost:{port}/disk?tls-certificates={dir}");
    let Some(text) = succeeds("nbdinfo", &[&secure]).await else {
        return;
    };
    assert!(text.contains("with TLS") && text.contains("structured"), "{text}");
    let clear = run("nbdinfo", &[&format!("nbd://localhost:{port}/disk")])
        .await
        .unwrap();
    assert!(!clear.status.success());
    let data: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 249) as u8).collect();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, &data).unwrap();
    succeeds("nbdcopy", &[from.to_str().unwrap(), &secure]).await;
    succeeds("nbdcopy", &["--connections=2", &secure, to.to_str().unwrap()]).await;
    assert!(fs::read(&to).unwrap() == data);

    // the same exports where clients must have a certificate: ours has one, a stranger has another authority's
    let files = TlsFiles {
        client_ca: Some(folder.path().join("ca-cert.pem")),
        ..files
    };
    let strict = Server::new(exports, Limits::default(), Tls::Require(files.load().unwrap()));
    let listening = strict.listen_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listening.tcp_addr().unwrap().port();
    succeeds(
        "nbdinfo",
        &[&format!("nbds://localhost:{port}/disk?tls-certificates={dir}")],
    )
    .await;
    let stranger = tempfile::tempdir().unwrap();
    certificates(stranger.path());
    fs::copy(
        folder.path().join("ca-cert.pem"),
        stranger.path().join("ca-cert.pem"),
    )
    .unwrap();
    let theirs = format!(
        "nbds://localhost:{port}/disk?tls-certificates={}",
        stranger.path().display()
    );
    assert!(!run("nbdinfo", &[&theirs]).await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_tls_is_allowed_both_kinds_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let config = certificates(folder.path()).load().unwrap();
    let served = Served::new(device(), Limits::default(), Tls::Allow(config)).await;
    assert_eq!(served.client(false).await.errno(0, 0, 0, 512).await, 0);
    let dir = folder.path().display();
    let secure = format!(
        "nbds+unix://localhost/disk?socket={}&tls-certificates={dir}",
        served.socket.display()
    );
    if let Some(text) = succeeds("nbdinfo", &[&secure]).await {
        assert!(text.contains("with TLS"), "{text}");
    }
}

#[test]
fn unusable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = certificates(folder.path());
    let absent = folder.path().join("absent.pem");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for (files, named) in [
        (
            TlsFiles {
                certificate: absent.clone(),
                ..good.clone()
            },
            "absent.pem",
        ),
        (
            TlsFiles {
                certificate: empty.clone(),
                ..good.clone()
            },
            "empty.pem",
        ),
        (
            TlsFiles {
                key: good.certificate.clone(),
                ..good.clone()
            },
            "server-cert.pem",
        ),
        (
            TlsFiles {
                key: folder.path().join("client-key.pem"),
                ..good.clone()
            },
            "server-cert.pem",
        ),
        (
            TlsFiles {
                client_ca: Some(empty),
                ..good
            },
            "empty.pem",
        ),
    ] {
        let error: ServerError = files.load().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(named), "{error}");
    }
}
