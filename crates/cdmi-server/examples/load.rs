//! Loads a server with 4 KiB reads or writes over keep-alive connections: `load URI [get|patch] [connections] [seconds]`.
//!
//! `URI` is an object's, `http://ADDRESS/…`; it must have at least 64 MiB. Prints requests a second and the latency at the median and at 99 %.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const BLOCKS: u64 = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let uri = args
        .next()
        .ok_or("usage: load URI [get|patch] [connections] [seconds]")?;
    let write = args.next().as_deref() == Some("patch");
    let connections: usize = args.next().map_or(Ok(8), |n| n.parse())?;
    let seconds: u64 = args.next().map_or(Ok(5), |n| n.parse())?;
    let rest = uri.strip_prefix("http://").ok_or("only http://")?;
    let (address, path) = rest.split_at(rest.find('/').ok_or("no path")?);
    let end = Instant::now() + Duration::from_secs(seconds);
    let workers: Vec<_> = (0..connections)
        .map(|seed| {
            let (address, path) = (address.to_owned(), path.to_owned());
            std::thread::spawn(move || {
                run(&address, &path, write, seed as u64, end).map_err(|error| error.to_string())
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for worker in workers {
        latencies.extend(worker.join().map_err(|_| "a worker panicked")??);
    }
    latencies.sort_unstable();
    let at = |part: usize| {
        latencies
            .get(latencies.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{} requests/s, median {:?}, 99 % {:?}",
        latencies.len() as u64 / seconds,
        at(50),
        at(99)
    );
    Ok(())
}

fn run(
    address: &str,
    path: &str,
    write: bool,
    seed: u64,
    end: Instant,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut latencies = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    while Instant::now() < end {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = (random % BLOCKS) * 4096;
        let mut request = if write {
            format!("PATCH {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 4096\r\nContent-Range: bytes {at}-{}/*\r\n\r\n", at + 4095)
                .into_bytes()
        } else {
            format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nRange: bytes={at}-{}\r\n\r\n",
                at + 4095
            )
            .into_bytes()
        };
        if write {
            request.resize(request.len() + 4096, 7);
        }
        let started = Instant::now();
        stream.write_all(&request)?;
        let mut filled = 0;
        let (mut head_end, mut wanted) = (None, usize::MAX);
        while filled < wanted {
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            filled += read;
            if head_end.is_none()
                && let Some(at) = buffer[..filled]
                    .windows(4)
                    .position(|window| window == b"\r\n\r\n")
            {
                if !buffer.starts_with(if write { b"HTTP/1.1 204" } else { b"HTTP/1.1 206" }) {
                    return Err(String::from_utf8_lossy(&buffer[..at]).into_owned().into());
                }
                head_end = Some(at + 4);
                wanted = at + 4 + if write { 0 } else { 4096 };
            }
        }
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}
