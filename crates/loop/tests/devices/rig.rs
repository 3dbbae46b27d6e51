//! What every test does: see whether the host can, attach, run commands, look for what is left behind.

use restblk_block::{BlockDevice, Checked};
use restblk_device::{
    AttachSpec, Attached, Transport,
    loopdev::{self, LoopDevice},
};
use restblk_loop::{HelperProgram, LoopTransport};
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};
use tempfile::TempDir;

/// Tests that share a process take turns: some count its threads and descriptors.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The transport, with the example program for its helpers; devices end with the test.
pub(crate) fn transport() -> LoopTransport {
    LoopTransport::without_holder(HelperProgram {
        program: example(),
        args: vec!["__helper".into()],
    })
}

/// The example program, which is built beside the tests.
pub(crate) fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/loop_attach");
    assert!(
        program.exists(),
        "{} is missing: cargo build --examples -p restblk-loop",
        program.display()
    );
    program
}

/// A folder under /run for one attachment, and one's turn.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Rig {
    /// None, with a message, where the host has no loop over FUSE.
    pub(crate) async fn new() -> Option<Self> {
        let availability = transport().probe().await;
        if !availability.available {
            eprintln!("SKIPPED: {}", availability.detail);
            return None;
        }
        let turn = TURN.lock().await;
        Some(Self {
            folder: tempfile::tempdir_in("/run").unwrap(),
            _turn: turn,
        })
    }

    pub(crate) fn spec(&self, device: Arc<dyn BlockDevice>) -> AttachSpec {
        let run_dir = self.folder.path().join("run");
        std::fs::create_dir_all(&run_dir).unwrap();
        AttachSpec {
            label: "pool/volume".into(),
            device,
            queues: 0,
            queue_depth: 0,
            run_dir,
        }
    }

    pub(crate) async fn attach<D: BlockDevice + 'static>(&self, device: Arc<D>) -> Box<dyn Attached> {
        transport().attach(self.spec(checked(device))).await.unwrap()
    }

    /// A fresh folder to mount on.
    pub(crate) fn mount_point(&self) -> PathBuf {
        let path = self.folder.path().join("mounted");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Fails where a loop device still has a file of ours.
    pub(crate) fn assert_no_loop_device(&self) {
        assert_eq!(
            self.loop_devices(),
            [0; 0],
            "still have files in {}",
            self.folder.path().display()
        );
    }

    /// The numbers of loop devices whose files are in our folder.
    fn loop_devices(&self) -> Vec<u32> {
        let names = std::fs::read_dir("/sys/block")
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let numbers = names.filter_map(|name| name.to_str()?.strip_prefix("loop")?.parse().ok());
        let ours = |index: &u32| {
            loopdev::backing_file(*index).is_some_and(|file| file.starts_with(self.folder.path()))
        };
        numbers.filter(ours).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A failed test may leave it mounted.
        let _ = Command::new("umount")
            .arg("-q")
            .arg(self.folder.path().join("mounted"))
            .stderr(std::process::Stdio::null())
            .status();
        for index in self.loop_devices() {
            let _ = LoopDevice::open(index, false, false).and_then(|device| device.clear());
        }
    }
}

/// A shared device behind the checks that the daemon puts there.
pub(crate) fn checked<D: BlockDevice + 'static>(device: Arc<D>) -> Arc<dyn BlockDevice> {
    Arc::new(Checked(Shared(device)))
}

#[derive(Debug)]
struct Shared<D>(Arc<D>);

#[async_trait::async_trait]
impl<D: BlockDevice> BlockDevice for Shared<D> {
    fn geometry(&self) -> restblk_block::Geometry {
        self.0.geometry()
    }
    fn watch_size(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.watch_size()
    }
    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), restblk_block::BlockError> {
        self.0.read(offset, buf).await
    }
    async fn write(
        &self,
        offset: u64,
        data: &[u8],
        flags: restblk_block::WriteFlags,
    ) -> Result<(), restblk_block::BlockError> {
        self.0.write(offset, data, flags).await
    }
    async fn flush(&self) -> Result<(), restblk_block::BlockError> {
        self.0.flush().await
    }
    async fn discard(&self, offset: u64, len: u64) -> Result<(), restblk_block::BlockError> {
        self.0.discard(offset, len).await
    }
    async fn write_zeroes(
        &self,
        offset: u64,
        len: u64,
        flags: restblk_block::WriteFlags,
    ) -> Result<(), restblk_block::BlockError> {
        self.0.write_zeroes(offset, len, flags).await
    }
}

/// Runs blocking code beside the runtime, which serves the device meanwhile.
pub(crate) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Runs a command line of the shell.
pub(crate) async fn shell(line: impl Into<String>) -> Output {
    let line = line.into();
    beside(move || Command::new("sh").arg("-c").arg(line).output().unwrap()).await
}

/// The same; it must succeed. Returns what it printed.
pub(crate) async fn run(line: impl Into<String>) -> String {
    let line = line.into();
    let output = shell(line.clone()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{line}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.trim().to_owned()
}

/// False, with a message, where the host lacks a program.
pub(crate) fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()));
    if !found {
        eprintln!("SKIPPED in part: {program} is not installed");
    }
    found
}

/// A block device opened without the page cache.
pub(crate) struct Direct(File);

/// Memory aligned as direct I/O wants it.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Page([u8; 4096]);

impl Direct {
    pub(crate) fn open(path: &Path) -> Self {
        let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
        Self(
            File::options()
                .read(true)
                .write(true)
                .custom_flags(flags)
                .open(path)
                .unwrap(),
        )
    }

    /// Writes a page full of `byte`.
    pub(crate) fn write(&self, offset: u64, byte: u8) -> io::Result<()> {
        self.0.write_all_at(&Page([byte; 4096]).0, offset)
    }

    /// The byte that a page is full of.
    pub(crate) fn read(&self, offset: u64) -> u8 {
        let mut page = Page([0xEE; 4096]);
        self.0.read_exact_at(&mut page.0, offset).unwrap();
        assert!(
            page.0.iter().all(|byte| *byte == page.0[0]),
            "the page at {offset} is mixed"
        );
        page.0[0]
    }
}
