//! What runs without the daemon's API: the store, the daemon's start, its helpers, the doctor.

use crate::harness::{finish, restblk};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running `restblk serve`, which is told to end when it is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(dir: &Path, options: &str) -> Self {
        let mut command = restblk(&format!("serve . --listen 127.0.0.1:0 {options}"));
        command
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut url)
            .unwrap();
        Self {
            child,
            url: url.trim().to_owned(),
        }
    }

    /// The status of a request.
    fn status(&self, head: &str) -> u16 {
        let (host, _) = self.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let (line, headers) = head.split_once('|').unwrap_or((head, ""));
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn end(&mut self) -> Option<i32> {
        let kill = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(kill.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_prints_its_url_and_ends_properly() {
    let dir = TempDir::new().unwrap();
    let mut serving = Serving::start(dir.path(), "");
    assert!(
        serving.url.starts_with("http://127.0.0.1:") && serving.url.ends_with("/cdmi/2.0.0/"),
        "{}",
        serving.url
    );
    assert_eq!(serving.status("PUT /cdmi/2.0.0/disk1"), 201);
    assert!(
        dir.path().join("disk1").exists(),
        "an object is a file of the same name"
    );
    assert_eq!(serving.end(), Some(0));
}

#[test]
fn serve_takes_its_options() {
    let dir = TempDir::new().unwrap();
    let serving = Serving::start(dir.path(), "--mode srb --prefix /volumes --read-only");
    assert!(serving.url.ends_with("/volumes/"), "{}", serving.url);
    assert_eq!(serving.status("PUT /volumes/disk1"), 403);
    drop(serving);
    let secrets = TempDir::new().unwrap();
    let (users, password) = (secrets.path().join("users"), secrets.path().join("password"));
    std::fs::write(&users, "ann:pass\n").unwrap();
    std::fs::write(&password, "secret\n").unwrap();
    let options = format!(
        "--users-file {} --user bob --password-file {}",
        users.display(),
        password.display()
    );
    let serving = Serving::start(dir.path(), &options);
    assert_eq!(serving.status("GET /cdmi/2.0.0/"), 401);
    // ann:pass and bob:secret
    for credentials in ["YW5uOnBhc3M=", "Ym9iOnNlY3JldA=="] {
        let request = format!("GET /cdmi/2.0.0/|Authorization: Basic {credentials}\r\n");
        assert_eq!(serving.status(&request), 200, "{credentials}");
    }
}

#[test]
fn serve_says_why_it_cannot() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("serve . --listen {}", taken.local_addr().unwrap());
    for (words, code, wanted) in [
        ("serve missing", 3, "mkdir missing"),
        (taken.as_str(), 5, "--listen"),
        ("serve . --listen here", 6, "here"),
        (
            "serve . --listen 127.0.0.1:0 --user me --password-file none",
            3,
            "none",
        ),
        ("serve . --user me", 2, "--password-file"),
        ("serve . --no-plain-http", 2, "--tls-cert"),
        (
            "serve . --listen 127.0.0.1:0 --tls-listen 127.0.0.1:0 --tls-cert none --tls-key none",
            6,
            "none",
        ),
        ("serve . --mode s3", 2, "cdmi2"),
    ] {
        let mut command = restblk(words);
        command.current_dir(dir.path());
        let run = finish(command);
        assert_eq!(run.code, code, "{words}: {}", run.err);
        assert!(run.err.contains(wanted), "{words}: {wanted} in {}", run.err);
    }
}

#[test]
fn a_daemon_without_its_configuration_does_not_start() {
    let run = finish(restblk("daemon --config /nonexistent/restblk.toml"));
    assert_eq!(run.code, 6, "{}", run.err);
    assert!(
        run.err
            .contains("error: failed to read /nonexistent/restblk.toml"),
        "{}",
        run.err
    );
}

#[test]
fn the_doctor_looks_by_itself_without_a_daemon() {
    let run = finish(restblk("doctor --socket /nonexistent.sock"));
    assert_eq!(run.code, 1, "{}", run.err);
    for wanted in [
        "transport/ublk",
        "transport/loop",
        "FAIL  daemon",
        "restblk daemon",
    ] {
        assert!(run.out.contains(wanted), "{wanted} in {}", run.out);
    }
}

#[test]
fn helpers_are_not_for_people() {
    let run = finish(restblk("__loop-helper"));
    assert_eq!(run.code, 6);
    assert!(run.err.contains("restblk's own use"), "{}", run.err);
}

/// Root and /dev/fuse, or else it says that it was skipped.
#[test]
fn control_files_stay_until_their_input_ends() {
    let is_root = finish({
        let mut id = Command::new("id");
        id.arg("-u");
        id
    });
    if is_root.out.trim() != "0" || !Path::new("/dev/fuse").exists() {
        println!("skipped: needs root and /dev/fuse");
        return;
    }
    let dir = TempDir::new().unwrap();
    let mountpoint = dir.path().join("control");
    let mut command = restblk("__control-files --socket /nonexistent.sock --default-pool main --mountpoint");
    command
        .arg(&mountpoint)
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while !mountpoint.join("create").exists() {
        assert!(began.elapsed() < Duration::from_secs(10), "it is not mounted");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!mountpoint.join("create").exists(), "it is unmounted");
}
