//! Several thousand spoilt conversations: no panic, no hang, nothing left behind, and a healthy client is served.

use crate::{
    raw::{FLUSH, READ, TRIM, WRITE, ZERO, info_bytes, option_bytes, request_bytes},
    serve::{Served, soon, until},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use restblk_block::MemoryDevice;
use restblk_types::BlockSize;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

const CONVERSATIONS: u64 = 6000;
const AT_ONCE: u64 = 16;

/// What a well-behaved client would send, in pieces: greeting, options, requests.
fn conversation(random: &mut StdRng) -> Vec<Vec<u8>> {
    let mut pieces = vec![random.random_range(0u32..4).to_be_bytes().to_vec()];
    for _ in 0..random.random_range(0..6) {
        pieces.push(match random.random_range(0..9) {
            0 => option_bytes(3, &[]),
            1 => option_bytes(5, &[]),
            2 => option_bytes(8, &[]),
            3 => option_bytes(10, b"\0\0\0\x04disk\0\0\0\x01\0\0\0\x0fbase:allocation"),
            4 => option_bytes(11, &[]),
            5 => option_bytes(6, &info_bytes("", &[0, 1, 2, 3, 4])),
            6 => option_bytes(6, &info_bytes("other", &[3])),
            7 => option_bytes(random.random(), &[random.random(); 40]),
            _ => option_bytes(6, &info_bytes(&"n".repeat(random.random_range(0..9000)), &[])),
        });
    }
    pieces.push(match random.random_range(0..8) {
        0 => option_bytes(1, b"disk"),
        1 => option_bytes(2, &[]),
        _ => option_bytes(7, &info_bytes("disk", &[3])),
    });
    for cookie in 0..random.random_range(0..12) {
        let command = [READ, WRITE, FLUSH, TRIM, ZERO, random.random()][random.random_range(0..6)];
        let flags = if random.random_bool(0.8) {
            random.random_range(0..2)
        } else {
            random.random()
        };
        let blocks: u32 = random.random_range(0..40);
        let mut piece = request_bytes(
            command,
            flags,
            cookie,
            random.random_range(0..160u64) * 512,
            blocks * 512,
        );
        if command == WRITE {
            piece.extend(std::iter::repeat_n(random.random::<u8>(), blocks as usize * 512));
        }
        pieces.push(piece);
    }
    if random.random_bool(0.5) {
        pieces.push(request_bytes(2, 0, 0, 0, 0));
    }
    pieces
}

fn spoil(random: &mut StdRng, pieces: &mut Vec<Vec<u8>>) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..pieces.len());
        match random.random_range(0..8) {
            0 => drop(pieces.remove(at)),
            1 => pieces.insert(at, pieces[at].clone()),
            2 => {
                let other = random.random_range(0..pieces.len());
                pieces.swap(at, other);
            }
            3 => {
                let keep = random.random_range(0..=pieces[at].len());
                pieces[at].truncate(keep);
            }
            4 => pieces[at].extend((0..random.random_range(1..64)).map(|_| random.random::<u8>())),
            5 => pieces.truncate(at + 1),
            _ => {
                for _ in 0..random.random_range(1..4) {
                    // Heads matter more than data.
                    let bits = pieces[at].len().min(40) * 8;
                    if bits > 0 {
                        let bit = random.random_range(0..bits);
                        pieces[at][bit / 8] ^= 1 << (bit % 8);
                    }
                }
            }
        }
        if pieces.is_empty() {
            return;
        }
    }
}

/// Says all of it, then listens until the server hangs up.
async fn converse(socket: &Path, bytes: &[u8]) {
    let (mut read, mut write) = UnixStream::connect(socket).await.unwrap().into_split();
    let say = async {
        // The server may hang up in the middle.
        let _ = write.write_all(bytes).await;
        let _ = write.shutdown().await;
    };
    let hear = async {
        let mut answers = Vec::new();
        let _ = read.read_to_end(&mut answers).await;
    };
    tokio::join!(say, hear);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoilt_conversations_harm_nobody() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Other tests of this process panic on purpose, saying so.
        if !info.to_string().contains("as it should") {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
    let served = Arc::new(Served::plain(Arc::new(MemoryDevice::new(64 << 10, BlockSize::B512))).await);
    let mut tasks = Vec::new();
    for task in 0..AT_ONCE {
        let served = Arc::clone(&served);
        tasks.push(tokio::spawn(async move {
            for seed in (task..CONVERSATIONS).step_by(usize::try_from(AT_ONCE).unwrap()) {
                let mut random = StdRng::seed_from_u64(seed);
                let mut pieces = conversation(&mut random);
                spoil(&mut random, &mut pieces);
                let bytes = pieces.concat();
                let ended = tokio::time::timeout(Duration::from_secs(20), converse(&served.socket, &bytes));
                assert!(ended.await.is_ok(), "the conversation of seed {seed} hangs");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    until("all connections to end", || {
        served.server.stats().connections == 0
    })
    .await;
    assert_eq!(served.server.stats().bytes_in_flight, 0);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    let mut healthy = served.client(true).await;
    assert_eq!(healthy.write(1, 0, &[0xa5; 4096]).await, 0);
    healthy.request(READ, 0, 1, 0, 4096).await;
    assert_eq!(healthy.structured(0).await.1.data, [0xa5; 4096]);
    soon(served.server.close()).await;
}
