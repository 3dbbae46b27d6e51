//! Other people's clients: libnbd's and QEMU's.

use crate::serve::Served;
use restblk_block::{BlockDevice, MemoryDevice};
use restblk_types::BlockSize;
use std::{process::Output, sync::Arc};
use tokio::process::Command;

const SIZE: usize = 32 << 20;

/// Runs a program; `None`, and a line that says so, where it is not installed.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    // Debian's bindings belong to Debian's Python, whatever other one comes first in the path.
    let command = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .output();
    match tokio::time::timeout(std::time::Duration::from_secs(60), command)
        .await
        .expect("in time")
    {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed (cargo xtask setup)");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Its output, if it is installed; it must succeed.
pub(crate) async fn succeeds(program: &str, arguments: &[&str]) -> Option<String> {
    let output = run(program, arguments).await?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    Some(text)
}

async fn memory() -> (Arc<MemoryDevice>, Served) {
    let device = Arc::new(MemoryDevice::new(SIZE, BlockSize::B512));
    let served = Served::plain(Arc::clone(&device) as Arc<dyn BlockDevice>).await;
    (device, served)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from((at / 512 + at % 7) % 253).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nbdinfo_sees_what_is_there() {
    let (_, served) = memory().await;
    let Some(text) = succeeds("nbdinfo", &[&served.uri("nbd")]).await else {
        return;
    };
    for line in [
        "export-size: 33554432",
        "description: a disk of a test",
        "using structured packets",
        "can_fua: true",
        "can_trim: true",
        "can_zero: true",
        "can_fast_zero: true",
        "can_multi_conn: true",
        "can_df: true",
        "block_size_minimum: 512",
        "block_size_maximum: 33554432",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    succeeds("nbdinfo", &["--list", &served.uri("nbd")]).await;
    let none = run("nbdinfo", &[&served.uri("nbd").replace("disk", "none")])
        .await
        .unwrap();
    assert!(!none.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nbdcopy_copies_both_ways() {
    let (device, served) = memory().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, pattern(SIZE)).unwrap();
    let uri = served.uri("nbd");
    let Some(_) = succeeds("nbdcopy", &["--flush", from.to_str().unwrap(), &uri]).await else {
        return;
    };
    let mut read = vec![0; SIZE];
    device.read(0, &mut read).await.unwrap();
    assert!(read == pattern(SIZE), "what was copied in");
    succeeds("nbdcopy", &["--connections=4", &uri, to.to_str().unwrap()]).await;
    assert!(
        std::fs::read(&to).unwrap() == pattern(SIZE),
        "what was copied out"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nbdsh_gets_the_protocols_errors() {
    let (_, served) = memory().await;
    let script = "
import errno
def fails(wanted, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except nbd.Error as error:
        assert error.errnum == wanted, (error, wanted)
    else:
        raise AssertionError(f'{call} {arguments} did not fail')
assert h.get_structured_replies_negotiated()
h.set_strict_mode(0)
fails(errno.EINVAL, h.pread, 100, 3)
fails(errno.EINVAL, h.pread, 512, h.get_size())
fails(errno.ENOSPC, h.pwrite, bytes(512), h.get_size())
fails(errno.EINVAL, h.cache, 512, 0)
h.pwrite(b'x' * 4096, 8192, nbd.CMD_FLAG_FUA)
assert h.pread(4096, 8192) == b'x' * 4096
h.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
assert h.pread(4096, 8192) == bytes(4096)
h.trim(1 << 20, 0, nbd.CMD_FLAG_FUA)
h.flush()
cookies = [h.aio_pread(nbd.Buffer(65536), at * 65536) for at in range(64)]
while cookies:
    h.poll(-1)
    cookies = [cookie for cookie in cookies if not h.aio_command_completed(cookie)]
h.shutdown()
print('all held')
";
    let Some(output) = run("nbdsh", &["-u", &served.uri("nbd"), "-c", script]).await else {
        return;
    };
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if text.contains("No module named nbd") {
        eprintln!("skipped: python3-libnbd is not installed (cargo xtask setup)");
        return;
    }
    assert!(output.status.success() && text.contains("all held"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_reads_writes_zeroes_and_discards() {
    let (_, served) = memory().await;
    let uri = served.uri("nbd");
    let commands = [
        "write -P 7 -f 0 64k",
        "read -P 7 0 64k",
        "write -P 9 4k 4k",
        "read -P 9 4k 4k",
        "write -z 0 4k",
        "read -P 0 0 4k",
        "write -z -u 64k 1M",
        "read -P 0 64k 1M",
        "discard 32k 32k",
        "aio_write -P 3 2M 512k",
        "aio_write -P 4 4M 512k",
        "aio_flush",
        "read -P 3 2M 512k",
        "read -P 4 4M 512k",
        "flush",
    ];
    let mut arguments = vec!["-f", "raw"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
    arguments.push(&uri);
    let Some(text) = succeeds("qemu-io", &arguments).await else {
        return;
    };
    assert!(!text.contains("failed") && !text.contains("rror"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let (raw, qcow) = (folder.path().join("raw"), folder.path().join("qcow"));
    let (raw, qcow) = (raw.to_str().unwrap(), qcow.to_str().unwrap());
    std::fs::write(raw, pattern(SIZE)).unwrap();
    succeeds(
        "qemu-img",
        &["convert", "-n", "-f", "raw", "-O", "raw", raw, &uri],
    )
    .await;
    succeeds("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, qcow]).await;
    succeeds("qemu-img", &["check", qcow]).await;
    succeeds("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &uri, qcow]).await;
    succeeds("qemu-img", &["compare", "-f", "raw", "-F", "raw", &uri, raw]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_keeps_an_image_of_its_own_format_on_an_export() {
    let (_, served) = memory().await;
    let uri = served.uri("nbd");
    let Some(_) = succeeds("qemu-img", &["create", "-q", "-f", "qcow2", &uri, "16M"]).await else {
        return;
    };
    succeeds(
        "qemu-io",
        &[
            "-f",
            "qcow2",
            "-c",
            "write -P 5 0 8M",
            "-c",
            "read -P 5 0 8M",
            &uri,
        ],
    )
    .await;
    succeeds("qemu-img", &["check", "-f", "qcow2", &uri]).await;
}
