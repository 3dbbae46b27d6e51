//! A server on a real Unix socket whose answers a test gives: for programs that use the client, while the daemon is not
//! what is tested. Threads and blocking I/O, so that a test needs no runtime. It ends with its process or when dropped.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a client asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// `GET`, `POST`, …
    pub method: String,
    /// With its query.
    pub path: String,
    /// The body, or null.
    pub body: Value,
}

impl Asked {
    /// `POST /v1/volumes`: what a test matches on.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A status and the body that goes with it.
pub type Answer = (u16, Value);

/// The server.
pub struct Server {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Listens on `socket`; every request is answered by `answer`, several at a time.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub fn start(
        socket: &Path,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(&stream, &seen, &*answer));
            }
        });
        Ok(Self {
            socket: socket.to_owned(),
            asked,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Everything that was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }

    /// The lines of what was asked, without questions.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        self.asked()
            .iter()
            .filter(|asked| asked.method != "GET")
            .map(Asked::line)
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // New clients find nobody; the thread itself ends with the process.
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &UnixStream, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Answer) -> Option<()> {
    let asked = read(stream)?;
    lock(seen).push(asked.clone());
    let (status, body) = answer(&asked);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let head = format!(
        "HTTP/1.1 {status} Test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()
}

fn read(stream: &UnixStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked { method, path, body })
}
