//! A server on a fresh directory, and a client that sends exactly what it is told.

use restblk_cdmi_server::{Config, Server};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) struct Rig {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) addr: SocketAddr,
    pub(crate) prefix: String,
    pub(crate) runtime: Runtime,
    pub(crate) server: Option<Server>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(TempDir::new().unwrap().into(), change)
    }

    /// Servers that share one directory.
    pub(crate) fn sharing(servers: usize) -> Vec<Self> {
        let dir = Arc::new(TempDir::new().unwrap());
        (0..servers)
            .map(|_| Self::on(Arc::clone(&dir), |config| config.shared = true))
            .collect()
    }

    pub(crate) fn on(dir: Arc<TempDir>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(dir.path());
        config.listen.push("127.0.0.1:0".parse().unwrap());
        change(&mut config);
        let prefix = config.prefix();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::bind(config)).unwrap();
        let addr = server
            .local_addrs()
            .first()
            .or(server.tls_addrs().first())
            .copied()
            .unwrap();
        Rig {
            dir,
            addr,
            prefix,
            runtime,
            server: Some(server),
        }
    }

    /// Stops the server cleanly and starts another on the same directory.
    pub(crate) fn restart(mut self) -> Self {
        let server = self.server.take().unwrap();
        self.runtime.block_on(server.shutdown(Duration::from_secs(5)));
        Self::on(self.dir, |_| {})
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.addr, &self.prefix)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) prefix: String,
    rest: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn tag(&self) -> String {
        self.header("etag")
            .unwrap_or_else(|| panic!("no tag: {self:?}"))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{} {}",
            self.head,
            String::from_utf8_lossy(&self.body)
        );
        self
    }
}

impl Client {
    pub(crate) fn new(addr: SocketAddr, prefix: &str) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            prefix: prefix.to_owned(),
            rest: Vec::new(),
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // A server that refused already may have closed.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a request; `path` is below the root URI, or the whole URI with a slash before it.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        let uri = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}{path}", self.prefix)
        };
        let mut head = format!("{method} {uri} HTTP/1.1\r\nHost: test\r\n");
        if !matches!(method, "GET" | "HEAD") || !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes);
        self.reply(method == "HEAD")
            .unwrap_or_else(|e| panic!("{method} {uri}: {e}"))
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn put(&mut self, path: &str, body: &[u8]) -> Reply {
        self.send("PUT", path, &["Content-Type: application/octet-stream"], body)
    }

    pub(crate) fn cdmi(&mut self, method: &str, path: &str, json: &str) -> Reply {
        let kind = if path.split('?').next().unwrap().ends_with('/') {
            "container"
        } else {
            "object"
        };
        let (content, accept) = (
            format!("Content-Type: application/cdmi-{kind}"),
            format!("Accept: application/cdmi-{kind}"),
        );
        if method == "GET" {
            self.send(method, path, &[&accept], b"")
        } else {
            self.send(method, path, &[&content, &accept], json.as_bytes())
        }
    }

    pub(crate) fn patch(&mut self, path: &str, first: u64, body: &[u8]) -> Reply {
        let range = format!("Content-Range: bytes {first}-{}/*", first + body.len() as u64 - 1);
        self.send("PATCH", path, &[&range], body)
    }

    /// Reads one response.
    pub(crate) fn reply(&mut self, no_body: bool) -> std::io::Result<Reply> {
        let mut chunk = vec![0; 256 << 10];
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.rest.extend_from_slice(&chunk[..n]);
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 100 {
            return self.reply(no_body);
        }
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        let length: usize = match reply.header("content-length") {
            Some(length) if !no_body && status != 204 && status != 304 => length.parse().unwrap(),
            _ => 0,
        };
        while self.rest.len() < length {
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    "the body is cut",
                ));
            }
            self.rest.extend_from_slice(&chunk[..n]);
        }
        reply.body = self.rest.drain(..length).collect();
        Ok(reply)
    }
}

/// The example as a process of its own, which can be killed.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) prefix: String,
}

impl Process {
    pub(crate) fn start(root: &Path, options: &[&str]) -> Self {
        let exe = std::env::current_exe().unwrap();
        let example = exe.parent().unwrap().parent().unwrap().join("examples/serve");
        assert!(example.exists(), "{} is built with the tests", example.display());
        let mut child = Command::new(example)
            .arg(root)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut byte = [0];
        let stdout = child.stdout.as_mut().unwrap();
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(char::from(byte[0]));
        }
        let rest = line.strip_prefix("http://").unwrap();
        let (addr, prefix) = rest.split_at(rest.find('/').unwrap());
        Process {
            addr: addr.parse().unwrap(),
            prefix: prefix.to_owned(),
            child,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.addr, &self.prefix)
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
