//! How fast the CDMI client is beside `curl` and `wrk`, against the embedded server in a process of its own.
//!
//! `cargo run --release -p restblk-store --example bench [SECONDS]`. Prints a table and the ratios; what is not installed is
//! left out. All clients speak to the same server over loopback with as many connections as requests under way.
//!
//! `… --example bench -- --mirrors SECONDS` compares our client through the mirror layer with the bare client, in turns within one run,
//! and fails where the layer takes more than 5 % more of the processor for each request, or does 5 % less of them in a second. What it costs with
//! three mirrors, and hedging, is told besides.

use bytes::Bytes;
use restblk_cdmi_server::{Config, Server};
use restblk_store::{
    Dialect, Key, Marker, MirrorOptions, Precondition, Store, StoreConfig, StoreKind, open,
    open_mirror_pinned,
};
use restblk_types::Extent;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OBJECT_LEN: u64 = 256 << 20;

/// The server, in a process that ends when its standard input does.
struct ServerProcess {
    child: Child,
    url: String,
}

impl ServerProcess {
    fn new(dir: &std::path::Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command
            .arg("--serve")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("the server has no output")?;
        let mut url = String::new();
        BufReader::new(out).read_line(&mut url)?;
        Ok(Self {
            child,
            url: url.trim().to_owned(),
        })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn serve(dir: &str) -> Result<()> {
    let mut config = Config::new(dir);
    config.listen = vec![([127, 0, 0, 1], 0).into()];
    let server = Server::bind(config).await?;
    println!("{}", server.base_uri());
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Offsets spread over the object without chance, so that every client reads the same kind of thing.
fn offset(n: u64, len: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (OBJECT_LEN / len)) * len
}

/// Requests per second of our client, and how many: reads, or writes of these bytes.
async fn ours(
    store: &Arc<dyn Store>,
    key: &Key,
    len: u64,
    depth: usize,
    write: Option<&Bytes>,
    time: Duration,
) -> Result<(f64, f64)> {
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..depth)
        .map(|_| {
            let (store, key, next) = (Arc::clone(store), key.clone(), Arc::clone(&next));
            // Bytes of its own, as users have.
            let write = write.map(|data| Bytes::copy_from_slice(data));
            tokio::spawn(async move {
                let mut done = 0_u64;
                while begun.elapsed() < time {
                    let at = offset(next.fetch_add(1, Ordering::Relaxed), len);
                    match &write {
                        None => drop(store.get(&key, Extent::new(at, len)).await?),
                        Some(data) => drop(store.write_at(&key, at, data.clone(), false).await?),
                    }
                    done += 1;
                }
                Ok::<u64, restblk_store::StoreError>(done)
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests in seconds")]
    let done = done as f64;
    Ok((done / begun.elapsed().as_secs_f64(), done))
}

/// Requests per second of one `curl` process with as many transfers under way.
fn curl(url: &str, len: u64, depth: usize) -> Option<f64> {
    let count: u64 = if len > 100_000 { 300 } else { 5_000 };
    let config: String = (0..count)
        .map(|n| {
            let at = offset(n, len);
            format!(
                "url = \"{url}\"\nheader = \"Range: bytes={at}-{}\"\noutput = \"/dev/null\"\nnext\n",
                at + len - 1
            )
        })
        .collect();
    let config = config.trim_end_matches("next\n").to_owned();
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "--config", "-"]);
    if depth > 1 {
        command.args(["--parallel", "--parallel-max", &depth.to_string()]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().ok()?;
    child.stdin.take()?.write_all(config.as_bytes()).ok()?;
    let begun = Instant::now();
    let fine = child.wait().ok()?.success();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    fine.then(|| count as f64 / begun.elapsed().as_secs_f64())
}

/// Requests per second of `wrk` in one thread: the ceiling, as it looks at nothing that it receives.
fn wrk(url: &str, len: u64, depth: usize, time: Duration) -> Option<f64> {
    let range = format!("Range: bytes=0-{}", len - 1);
    let seconds = format!("{}s", time.as_secs().max(1));
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{depth}"), "-d", &seconds, "-H", &range, url])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
}

fn cell(rate: Option<f64>, ours: f64) -> String {
    rate.map_or_else(
        || format!("{:>18}", "-"),
        |rate| format!("{rate:>10.0} ({:>4.2}x)", ours / rate),
    )
}

async fn bench(time: Duration) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = ServerProcess::new(dir.path())?;
    let mut config = StoreConfig::new(StoreKind::Cdmi, [server.url.as_str()]);
    config.dialect = Some(Dialect::Cdmi2.to_string());
    let opened = open(&config).await?;
    let store: Arc<dyn Store> = opened.store;
    let key = Key::new("vol")?;
    let mebibyte = Bytes::from(vec![0x5a; 1 << 20]);
    store.put(&key, Bytes::new(), Precondition::Always).await?;
    for at in (0..OBJECT_LEN).step_by(1 << 20) {
        store.write_at(&key, at, mebibyte.clone(), false).await?;
    }
    let url = format!("{}vol", server.url);
    println!("requests per second; in brackets ours divided by theirs");
    println!("{:<18} {:>10} {:>18} {:>18}", "", "restblk", "curl", "wrk");
    for (len, name) in [(4096, "4 KiB"), (1 << 20, "1 MiB")] {
        for depth in [1, 32] {
            ours(&store, &key, len, depth, None, Duration::from_millis(300)).await?;
            let (rate, _) = ours(&store, &key, len, depth, None, time).await?;
            let (curl, wrk) = (curl(&url, len, depth), wrk(&url, len, depth, time));
            println!(
                "{:<18} {rate:>10.0} {} {}",
                format!("GET {name} x{depth}"),
                cell(curl, rate),
                cell(wrk, rate)
            );
        }
    }
    for (data, name) in [(mebibyte.slice(..4096), "4 KiB"), (mebibyte, "1 MiB")] {
        for depth in [1, 32] {
            let (rate, _) = ours(&store, &key, data.len() as u64, depth, Some(&data), time).await?;
            println!("{:<18} {rate:>10.0}", format!("PATCH {name} x{depth}"));
        }
    }
    Ok(())
}

/// Seconds of processor time that this process has used.
#[expect(clippy::cast_precision_loss, reason = "seconds, and nanoseconds of one")]
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// The middle one, which no other program's moment of work decides.
fn middle(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<_> = all.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The bare client, one more of the same, and the mirror layer take turns: what slows the machine for a while slows all of them, and what
/// the second bare one differs by is chance.
async fn mirrors(seconds: u32) -> Result<()> {
    const TURN: Duration = Duration::from_millis(200);
    const DEPTH: usize = 8;
    let dir = tempfile::tempdir()?;
    let server = ServerProcess::new(dir.path())?;
    let mut config = StoreConfig::new(StoreKind::Cdmi, [server.url.as_str()]);
    config.dialect = Some(Dialect::Cdmi2.to_string());
    let opened = open(&config).await?;
    let bare = open_mirror_pinned(&config, &server.url, &opened.proof)?;
    let control = open_mirror_pinned(&config, &server.url, &opened.proof)?;
    let (key, marker) = (Key::new("vol")?, Key::new("marker")?);
    bare.put(&key, Bytes::from(vec![0x5a; 16 << 20]), Precondition::Always)
        .await?;
    bare.set_size(&key, OBJECT_LEN).await?;
    bare.put(&marker, Bytes::from_static(b"ours"), Precondition::Always)
        .await?;
    opened.store.watch(Marker {
        key: marker,
        is_ours: Arc::new(|bytes| bytes == b"ours"),
    });
    let of_three = Arc::clone(&opened.store);
    let stores = [bare, control, opened.store as Arc<dyn Store>];
    let data = Bytes::from(vec![0x5a; 4096]);
    // All that will be read or written is there, so that no turn pays for what an earlier one did.
    for at in (0..OBJECT_LEN).step_by(1 << 20) {
        stores[0]
            .write_at(&key, at, Bytes::from(vec![0x5a; 1 << 20]), false)
            .await?;
    }
    let mut holds = true;
    for (name, write, three) in [
        ("reads", None, false),
        ("writes", Some(&data), false),
        ("reads by three mirrors", None, true),
    ] {
        if three {
            // The same server by two more clients: with others to turn to, a read has a time after which it does.
            for name in ["second", "third"] {
                let store = open_mirror_pinned(&config, &server.url, &opened.proof)?;
                of_three.add(name, store, MirrorOptions::default())?;
            }
        }
        let mut rounds: Vec<[[f64; 2]; 3]> = Vec::new();
        for round in 0..(seconds as usize * 5 / 3).max(3) {
            let mut turns = [[0.0; 2]; 3];
            for turn in 0..3 {
                // Each is first, second and third as often as the others.
                let which = (round + turn) % 3;
                let cpu = cpu_seconds();
                let (rate, requests) = ours(&stores[which], &key, 4096, DEPTH, write, TURN).await?;
                turns[which] = [rate, (cpu_seconds() - cpu) * 1e6 / requests];
            }
            rounds.push(turns);
        }
        // The first rounds warm up.
        let rounds = &rounds[rounds.len() / 10..];
        let of = |which: usize, what: usize| middle(rounds.iter().map(|round| round[which][what]));
        let to_bare = |which: usize, what: usize| {
            middle(rounds.iter().map(|round| round[which][what] / round[0][what]))
        };
        let (rate, cpu) = (to_bare(2, 0), to_bare(2, 1));
        println!(
            "4 KiB {name} at depth {DEPTH}: bare {:.0}/s at {:.1} us of processor each, through the mirror layer {:.0}/s at {:.1} us: {rate:.3} of the \
             requests, {cpu:.3} of the processor time (another bare client {:.3} and {:.3})",
            of(0, 0),
            of(0, 1),
            of(2, 0),
            of(2, 1),
            to_bare(1, 0),
            to_bare(1, 1),
        );
        holds &= three || (rate >= 0.95 && cpu <= 1.05);
    }
    if holds {
        Ok(())
    } else {
        Err("the mirror layer costs more than 5 %".into())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [serve_here, dir] if serve_here == "--serve" => serve(dir).await,
        [layer, seconds] if layer == "--mirrors" => mirrors(seconds.parse()?).await,
        [] => bench(Duration::from_secs(3)).await,
        [seconds] => bench(Duration::from_secs(seconds.parse()?)).await,
        _ => Err("usage: bench [--mirrors] [SECONDS]".into()),
    }
}
