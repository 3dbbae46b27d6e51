//! A client that says exactly what it is told to, with numbers of its own and not the server's.

use crate::serve::soon;
use std::path::Path;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISC: u16 = 2;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const ZERO: u16 = 6;

pub(crate) const ACK: u32 = 1;
pub(crate) const ERR: u32 = 1 << 31;

/// Bytes of one option.
pub(crate) fn option_bytes(option: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    [b"IHAVEOPT", &option.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
}

/// Data of INFO and GO.
pub(crate) fn info_bytes(name: &str, facts: &[u16]) -> Vec<u8> {
    let mut data = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
    data.extend(name.as_bytes());
    data.extend(u16::try_from(facts.len()).unwrap().to_be_bytes());
    data.extend(facts.iter().flat_map(|fact| fact.to_be_bytes()));
    data
}

/// Bytes of one request without data.
pub(crate) fn request_bytes(command: u16, flags: u16, cookie: u64, offset: u64, len: u32) -> Vec<u8> {
    let mut bytes = 0x2560_9513u32.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes
}

/// One reply, simple or structured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) cookie: u64,
    pub(crate) error: u32,
    /// Data of a read, or the message of a structured error.
    pub(crate) data: Vec<u8>,
}

pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
}

impl Raw {
    pub(crate) async fn greeted(socket: &Path, flags: u32) -> Self {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let mut greeting = [0; 18];
        soon(stream.read_exact(&mut greeting)).await.unwrap();
        assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\0\x03");
        stream.write_all(&flags.to_be_bytes()).await.unwrap();
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        soon(self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    pub(crate) async fn take_vec(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        soon(self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// True when the server has hung up.
    pub(crate) async fn is_over(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(soon(self.stream.read_to_end(&mut rest)).await, Ok(0) | Err(_))
    }

    /// Sends an option; its replies up to the acknowledgement or error.
    pub(crate) async fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send(&option_bytes(option, data)).await;
        let mut replies = Vec::new();
        loop {
            assert_eq!(self.take().await, 0x0003_e889_0455_65a9u64.to_be_bytes());
            assert_eq!(u32::from_be_bytes(self.take().await), option);
            let kind = u32::from_be_bytes(self.take().await);
            let len = u32::from_be_bytes(self.take().await);
            replies.push((kind, self.take_vec(len as usize).await));
            if kind == ACK || kind & ERR != 0 {
                return replies;
            }
        }
    }

    /// The last reply's type.
    pub(crate) async fn option_ends(&mut self, option: u32, data: &[u8]) -> u32 {
        self.option(option, data).await.last().unwrap().0
    }

    pub(crate) async fn go(&mut self, name: &str, structured: bool) {
        if structured {
            assert_eq!(self.option_ends(8, &[]).await, ACK);
        }
        assert_eq!(self.option_ends(7, &info_bytes(name, &[])).await, ACK);
    }

    /// The same, with `base:allocation` set.
    pub(crate) async fn go_with_allocation(&mut self, name: &str) {
        assert_eq!(self.option_ends(8, &[]).await, ACK);
        let set = self.option(10, &contexts_bytes(name, &["base:allocation"])).await;
        assert_eq!(set[0], (4, b"\0\0\0\x01base:allocation".to_vec()));
        self.go(name, false).await;
    }

    pub(crate) async fn request(&mut self, command: u16, flags: u16, cookie: u64, offset: u64, len: u32) {
        self.send(&request_bytes(command, flags, cookie, offset, len))
            .await;
    }

    /// A simple reply; `data` bytes follow where there is no error.
    pub(crate) async fn simple(&mut self, data: usize) -> Reply {
        assert_eq!(self.take().await, 0x6744_6698u32.to_be_bytes());
        let error = u32::from_be_bytes(self.take().await);
        let cookie = u64::from_be_bytes(self.take().await);
        let data = if error == 0 {
            self.take_vec(data).await
        } else {
            Vec::new()
        };
        Reply { cookie, error, data }
    }

    /// A structured reply of one chunk: its type and the reply; `offset` is what a data chunk must say.
    pub(crate) async fn structured(&mut self, offset: u64) -> (u16, Reply) {
        assert_eq!(self.take().await, 0x668e_33efu32.to_be_bytes());
        assert_eq!(u16::from_be_bytes(self.take().await), 1, "the last chunk");
        let kind = u16::from_be_bytes(self.take().await);
        let cookie = u64::from_be_bytes(self.take().await);
        let len = u32::from_be_bytes(self.take().await) as usize;
        let (mut error, mut data) = (0, Vec::new());
        match kind {
            0 => assert_eq!(len, 0),
            1 => {
                assert_eq!(u64::from_be_bytes(self.take().await), offset);
                data = self.take_vec(len - 8).await;
            }
            5 => {
                assert_eq!(u32::from_be_bytes(self.take().await), 1, "the context's number");
                data = self.take_vec(len - 4).await;
            }
            0x8001 => {
                error = u32::from_be_bytes(self.take().await);
                assert_eq!(usize::from(u16::from_be_bytes(self.take().await)), len - 6);
                data = self.take_vec(len - 6).await;
            }
            other => panic!("a chunk of type {other:#x}"),
        }
        (kind, Reply { cookie, error, data })
    }

    /// A request and its simple reply's error.
    pub(crate) async fn errno(&mut self, command: u16, flags: u16, offset: u64, len: u32) -> u32 {
        self.request(command, flags, 7, offset, len).await;
        let reply = self.simple(if command == READ { len as usize } else { 0 }).await;
        assert_eq!(reply.cookie, 7);
        reply.error
    }

    /// A write and its simple reply's error.
    pub(crate) async fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u32 {
        let mut bytes = request_bytes(WRITE, flags, 8, offset, u32::try_from(data.len()).unwrap());
        bytes.extend(data);
        self.send(&bytes).await;
        self.simple(0).await.error
    }
}

/// The data of an option that asks for contexts.
pub(crate) fn contexts_bytes(name: &str, queries: &[&str]) -> Vec<u8> {
    let text = |text: &str| {
        [
            &u32::try_from(text.len()).unwrap().to_be_bytes()[..],
            text.as_bytes(),
        ]
        .concat()
    };
    let count = u32::try_from(queries.len()).unwrap().to_be_bytes();
    let queries: Vec<u8> = queries.iter().flat_map(|query| text(query)).collect();
    [text(name), count.to_vec(), queries].concat()
}
