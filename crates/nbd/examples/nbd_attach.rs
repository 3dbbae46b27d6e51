//! Attaches memory or a file as /dev/nbdN, prints the node, and serves it until a signal comes.
//!
//! `nbd_attach [--label POOL/VOLUME] [--queues N] [--recover INDEX] [--delay-ms MS] [--stall-ms MS] (memory:BYTES | FILE)`
//! `nbd_attach --clean INDEX` clears away what an earlier one left.
//!
//! With a delay every read and write of a file takes as long, with a stall the first write does.
//! SIGTERM and SIGINT detach; SIGUSR1 hands the device over (and leaves it); SIGHUP looks at the file's size again.
//! It says what it does on standard output, one line each; it ends by itself when the device is gone.

#[path = "support/file.rs"]
mod file;

use restblk_block::{BlockDevice, MemoryDevice};
use restblk_device::{AttachSpec, Recovery, Transport};
use restblk_nbd::NbdTransport;
use restblk_types::BlockSize;
use std::{error::Error, path::Path, sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

type Refresh = Box<dyn Fn() -> std::io::Result<u64>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut queues, mut index, mut volume) = (0, None, None);
    let mut label = "example/volume".to_owned();
    let transport = NbdTransport::default();
    let (mut delay, mut stall) = (Duration::ZERO, Duration::ZERO);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("a value is missing");
        match argument.as_str() {
            "--queues" => queues = value()?.parse()?,
            "--recover" => index = Some(value()?.parse()?),
            "--label" => label = value()?,
            "--clean" => {
                let left = Recovery::Nbd {
                    index: value()?.parse()?,
                    connections: 1,
                };
                return Ok(transport.clean(left).await?);
            }
            "--delay-ms" => delay = Duration::from_millis(value()?.parse()?),
            "--stall-ms" => stall = Duration::from_millis(value()?.parse()?),
            _ => volume = Some(argument),
        }
    }
    let volume = volume.ok_or("a volume is missing: memory:BYTES or a file")?;
    let (device, refresh): (Arc<dyn BlockDevice>, Refresh) = match volume.strip_prefix("memory:") {
        Some(bytes) => (
            Arc::new(MemoryDevice::new(bytes.parse()?, BlockSize::B512)),
            Box::new(|| Ok(0)),
        ),
        None => {
            let file = Arc::new(file::FileDevice::open(Path::new(&volume))?.slow(delay, stall));
            let same = Arc::clone(&file);
            (file, Box::new(move || same.refresh()))
        }
    };
    let run_dir = std::env::temp_dir();
    let spec = AttachSpec {
        label,
        device,
        queues,
        queue_depth: 0,
        run_dir,
    };
    println!("{:?}", transport.probe().await);
    let attached = match index {
        None => transport.attach(spec).await?,
        Some(index) => {
            transport
                .recover(
                    spec,
                    Recovery::Nbd {
                        index,
                        connections: queues.max(1),
                    },
                )
                .await?
        }
    };
    println!(
        "attached {} resumed {}",
        attached.path().display(),
        attached.resumed()
    );
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (mut usr1, mut hup) = (
        signal(SignalKind::user_defined1())?,
        signal(SignalKind::hangup())?,
    );
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => println!("size {}", refresh()?),
            _ = usr1.recv() => {
                println!("handed over {:?}", attached.hand_over().await?);
                return Ok(());
            }
            reason = attached.gone() => {
                println!("gone: {reason}");
                return Ok(());
            }
        }
    }
    attached.detach().await?;
    println!("detached");
    Ok(())
}
