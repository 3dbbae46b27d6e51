//! Attaches a plain file as /dev/ublkbN and serves it until a signal: the transport without any engine.
//!
//! SIGTERM detaches; SIGUSR1 looks at the file's size again; SIGUSR2 stops and resumes answering; SIGINT hands the device over to the next process; SIGKILL is a crash. `--recover N` goes on
//! after either. It also shows what every daemon over ublk does before it starts threads.

use async_trait::async_trait;
use clap::Parser;
use restblk_block::{BlockDevice, BlockError, Checked, Features, Geometry, WriteFlags};
use restblk_device::{AttachSpec, DeviceError, Recovery, Transport, memory};
use restblk_types::{BlockSize, ErrorKind};
use restblk_ublk::UblkTransport;
use std::{
    error::Error,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

#[derive(Parser)]
struct Options {
    /// The file, with its size.
    #[arg(required_unless_present = "clean")]
    file: Option<PathBuf>,
    /// What the device is known by when it is recovered.
    #[arg(long, default_value = "example/file")]
    label: String,
    /// Go on with /dev/ublkbN.
    #[arg(long)]
    recover: Option<u32>,
    /// Delete /dev/ublkbN, which a dead process left, and end.
    #[arg(long)]
    clean: Option<u32>,
    /// Of the device, 512 or 4096.
    #[arg(long, default_value_t = 4096)]
    block_size: u32,
    #[arg(long, default_value_t = 0)]
    queues: u16,
    #[arg(long, default_value_t = 0)]
    depth: u16,
    /// Milliseconds that each request waits first.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Work on the file without changing threads: for files in memory, to measure the transport alone.
    #[arg(long)]
    inline: bool,
    /// Answer nothing until SIGUSR2, which turns this on and off.
    #[arg(long)]
    down: bool,
    /// Writers see errors.
    #[arg(long)]
    read_only: bool,
    /// Without FUA and write-zeroes, so that the transport makes them up.
    #[arg(long)]
    plain: bool,
}

/// A file as a volume; its work is done by threads that may block.
#[derive(Debug)]
struct FileDevice {
    file: Arc<File>,
    size: watch::Sender<u64>,
    block_size: BlockSize,
    features: Features,
    latency: Duration,
    inline: bool,
    /// Like a store that does not answer.
    down: watch::Sender<bool>,
    requests: AtomicU64,
}

impl FileDevice {
    fn open(options: &Options) -> Result<Self, Box<dyn Error>> {
        let path = options.file.clone().unwrap_or_default();
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let features = Features {
            volatile_cache: true,
            fua: !options.plain,
            discard: true,
            write_zeroes: !options.plain,
            read_only: options.read_only,
        };
        Ok(Self {
            file: Arc::new(file),
            size: watch::Sender::new(size),
            block_size: BlockSize::try_from(options.block_size)?,
            features,
            latency: Duration::from_millis(options.latency_ms),
            inline: options.inline,
            down: watch::Sender::new(options.down),
            requests: AtomicU64::new(0),
        })
    }

    fn look_at_size(&self) -> io::Result<u64> {
        let size = self.file.metadata()?.len();
        self.size.send_replace(size);
        Ok(size)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlockError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let _ = self.down.subscribe().wait_for(|down| !down).await; // fails only when the sender, ours, is gone
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        if self.inline {
            return work(&self.file).map_err(|e| BlockError::new(ErrorKind::Unavailable, e.to_string()));
        }
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || work(&file))
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|e| BlockError::new(ErrorKind::Unavailable, e.to_string()))
    }

    async fn punch(&self, offset: u64, len: u64, keep: bool) -> Result<(), BlockError> {
        use nix::fcntl::{FallocateFlags, fallocate};
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        self.run(move |file| {
            if keep {
                let zeros = vec![0; usize::try_from(len).map_err(io::Error::other)?];
                return file.write_all_at(&zeros, offset);
            }
            let range = (i64::try_from(offset), i64::try_from(len));
            let (Ok(offset), Ok(len)) = range else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            fallocate(file, hole, offset, len).map_err(io::Error::from)
        })
        .await
    }
}

#[async_trait]
impl BlockDevice for FileDevice {
    fn geometry(&self) -> Geometry {
        let size = *self.size.borrow();
        Geometry {
            size,
            block_size: self.block_size,
            io_size_optimal: 65536,
            features: self.features,
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let mut bytes = vec![0; buf.len()];
        let bytes = self
            .run(move |file| file.read_exact_at(&mut bytes, offset).map(|()| bytes))
            .await?;
        buf.copy_from_slice(&bytes);
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        let data = data.to_vec();
        self.run(move |file| {
            file.write_all_at(&data, offset)?;
            if flags.fua { file.sync_data() } else { Ok(()) }
        })
        .await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.run(File::sync_data).await
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.punch(offset, len, false).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.punch(offset, len, flags.no_unmap).await?;
        if flags.fua { self.flush().await } else { Ok(()) }
    }
}

/// Before any thread: no mount namespace in common with the device's users, and no I/O of our own for memory.
fn prepare_process() -> Result<(), DeviceError> {
    memory::own_mount_namespace()?;
    if let Err(error) = memory::be_io_flusher() {
        eprintln!("going on although I {error}");
    }
    Ok(())
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let transport = UblkTransport::new();
    let probe = transport.probe().await;
    eprintln!("probe: {probe:?}");
    if let Some(dev_id) = options.clean {
        transport.clean(Recovery::Ublk { dev_id }).await?;
        println!("cleaned {dev_id}");
        return Ok(());
    }
    let mut signals = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::user_defined1())?,
        signal(SignalKind::user_defined2())?,
    );
    let file = Arc::new(Checked(FileDevice::open(&options)?));
    let run_dir = tempfile::tempdir()?;
    let spec = AttachSpec {
        label: options.label,
        device: file.clone(),
        queues: options.queues,
        queue_depth: options.depth,
        run_dir: run_dir.path().to_owned(),
    };
    let attached = match options.recover {
        None => transport.attach(spec).await?,
        Some(dev_id) => transport.recover(spec, Recovery::Ublk { dev_id }).await?,
    };
    println!(
        "ready {} resumed={}",
        attached.path().display(),
        attached.resumed()
    );
    loop {
        tokio::select! {
            _ = signals.0.recv() => match attached.detach().await {
                Ok(()) => {
                    println!("detached after {} requests", file.0.requests.load(Ordering::Relaxed));
                    break;
                }
                Err(error) => println!("failed to {error}"),
            },
            _ = signals.1.recv() => {
                println!("handed over {:?}", attached.hand_over().await?);
                break;
            }
            _ = signals.2.recv() => println!("size {}", file.0.look_at_size()?),
            _ = signals.3.recv() => {
                file.0.down.send_modify(|down| *down = !*down);
                println!("down {}", *file.0.down.borrow());
            }
            why = attached.gone() => {
                println!("gone: {why}");
                break;
            }
        }
    }
    gone_for_good(attached.path());
    Ok(())
}

fn gone_for_good(path: &Path) {
    eprintln!(
        "{} {}",
        path.display(),
        if path.exists() {
            "is still there"
        } else {
            "has gone"
        }
    );
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    prepare_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Err(error) = runtime.block_on(serve(options)) {
        eprintln!("failed to {error}");
        std::process::exit(1);
    }
    // Not dropped: that would wait for threads that wait for the store.
    std::process::exit(0)
}
