//! Attaches a file, or memory, as a loop device until it is told to stop: the transport by hand.
//!
//! ```text
//! loop_attach RUN_DIR memory SIZE_MIB          a volume in memory
//! loop_attach RUN_DIR FILE                     a volume in a file, whose size it takes
//! loop_attach RUN_DIR FILE recover INDEX       goes on with /dev/loopINDEX after the death of an earlier one
//! loop_attach RUN_DIR FILE clean INDEX         clears away what an earlier one left
//! ```
//!
//! Prints `PATH INDEX RESUMED` and reads lines: `handover` leaves the device to the next, anything else (or the
//! end of the input) detaches. With LOOP_ATTACH_HOLD=1 the device outlives a kill -9.

use async_trait::async_trait;
use restblk_block::{BlockDevice, BlockError, Checked, Features, Geometry, MemoryDevice, WriteFlags};
use restblk_device::{AttachSpec, Recovery, Transport};
use restblk_loop::{HelperProgram, LoopTransport};
use restblk_types::{BlockSize, ErrorKind};
use std::{error::Error, fs::File, os::unix::fs::FileExt, path::Path, sync::Arc};
use tokio::sync::{oneshot, watch};

/// A volume in a local file.
#[derive(Debug)]
struct FileDevice {
    file: File,
    size: watch::Sender<u64>,
}

impl FileDevice {
    fn open(path: &str) -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let size = watch::Sender::new(file.metadata()?.len());
        Ok(Self { file, size })
    }
}

fn io(error: std::io::Error) -> BlockError {
    BlockError::new(ErrorKind::Unavailable, error.to_string())
}

#[async_trait]
impl BlockDevice for FileDevice {
    fn geometry(&self) -> Geometry {
        let features = Features {
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            ..Features::default()
        };
        Geometry {
            size: *self.size.borrow(),
            block_size: BlockSize::B512,
            io_size_optimal: 4096,
            features,
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.file.read_exact_at(buf, offset).map_err(io)
    }

    async fn write(&self, offset: u64, data: &[u8], _flags: WriteFlags) -> Result<(), BlockError> {
        self.file.write_all_at(data, offset).map_err(io)
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.file.sync_data().map_err(io)
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.write_zeroes(offset, len, WriteFlags::default()).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, _flags: WriteFlags) -> Result<(), BlockError> {
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, offset, len).map_err(|error| io(error.into()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    if let ["__helper", role @ ..] = &args[..] {
        return Ok(restblk_loop::help(role)?);
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let [run_dir, volume, rest @ ..] = &args[..] else {
        return Err("usage: loop_attach RUN_DIR FILE|memory [SIZE_MIB | recover INDEX | clean INDEX]".into());
    };
    let device: Arc<dyn BlockDevice> = match (*volume, rest) {
        ("memory", [size]) => Arc::new(Checked(MemoryDevice::new(
            size.parse::<usize>()? << 20,
            BlockSize::B4096,
        ))),
        (path, _) => Arc::new(Checked(FileDevice::open(path)?)),
    };
    let run_dir = Path::new(run_dir).to_owned();
    let left = |index: &str| -> Result<Recovery, Box<dyn Error>> {
        Ok(Recovery::Loop {
            index: index.parse()?,
            mount: run_dir.canonicalize()?.join("mnt"),
        })
    };
    let spec = AttachSpec {
        label: "example/volume".into(),
        device,
        queues: 0,
        queue_depth: 0,
        run_dir: run_dir.clone(),
    };
    let helper = HelperProgram::this_program(["__helper"]);
    let transport = match std::env::var_os("LOOP_ATTACH_HOLD") {
        Some(_) => LoopTransport::new(helper),
        None => LoopTransport::without_holder(helper),
    };
    eprintln!("{:?}", transport.probe().await);
    let attached = match rest {
        ["recover", index] => transport.recover(spec, left(index)?).await?,
        ["clean", index] => return Ok(transport.clean(left(index)?).await?),
        _ => transport.attach(spec).await?,
    };
    let Recovery::Loop { index, .. } = attached.recovery() else {
        return Err("no loop device".into());
    };
    println!("{} {index} {}", attached.path().display(), attached.resumed());
    let (told, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        told.send(line)
    });
    tokio::select! {
        line = line => match line?.trim() {
            "handover" => println!("{:?}", attached.hand_over().await?),
            _ => attached.detach().await?,
        },
        why = attached.gone() => return Err(why.into()),
    }
    Ok(())
}
