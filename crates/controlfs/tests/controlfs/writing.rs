//! How commands are written: one write, several, with and without a newline, by a shell.

use crate::mounted::{Mounted, errno};
use nix::errno::Errno;
use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_shell_gets_the_error_of_its_echo() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    let script = r#"
        cd "$1" || exit 9
        echo "disk 1M" > create || exit 1
        echo "disk 2M" >> extend || exit 2
        echo "disk 1M" > extend 2> ../said && exit 3
        echo "disk sdz" > attach || exit 4
        [ "$(cat devices/sdz/srb_name)" = disk ] || exit 5
        echo sdz > detach || exit 6
        printf 'disk\n' > destroy || exit 7
    "#;
    let status = Command::new("bash")
        .args(["-c", script, "-", tree.path("").to_str().unwrap()])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let said = std::fs::read_to_string(tree.path("../said")).unwrap();
    assert!(said.contains("Invalid argument"), "{said}");
    assert_eq!(tree.cat("volumes").unwrap(), "vol\n");
}

#[test]
fn a_command_in_pieces_waits_for_its_end() {
    let Some(tree) = Mounted::with(&[]) else { return };
    let mut file = File::options().write(true).open(tree.path("create")).unwrap();
    for piece in ["vo", "l 1", "0M"] {
        file.write_all(piece.as_bytes()).unwrap();
    }
    assert_eq!(tree.cat("volumes").unwrap(), "", "not yet");
    file.write_all(b"\n").unwrap();
    assert_eq!(tree.cat("volumes").unwrap(), "vol\n");
    file.write_all(b"vol2 1M\n").unwrap();
    assert_eq!(
        errno(file.write_all(b"vol2 1M\n").unwrap_err()),
        Errno::EIO,
        "each write has its own answer"
    );
    file.write_all(b"vol3 1M\n").unwrap();
    assert_eq!(tree.cat("volumes").unwrap(), "vol\nvol2\nvol3\n");
}

#[test]
fn without_a_newline_a_command_ends_with_close() {
    let Some(tree) = Mounted::with(&[]) else { return };
    let file = File::options().write(true).open(tree.path("create")).unwrap();
    (&file).write_all(b"vol 1M").unwrap();
    nix::unistd::close(file).unwrap();
    assert_eq!(tree.cat("volumes").unwrap(), "vol\n");
    let file = File::options().write(true).open(tree.path("create")).unwrap();
    (&file).write_all(b"vol 1M").unwrap();
    assert_eq!(
        nix::unistd::close(file),
        Err(Errno::EIO),
        "and close has its error"
    );
}

#[test]
fn a_list_may_be_longer_than_a_page() {
    let Some(tree) = Mounted::new() else { return };
    let urls: Vec<String> = (0..400)
        .map(|n| format!("http://mirror{n}.example:8080/a/rather/long/path/{n}"))
        .collect();
    assert!(urls.join(",").len() > 16384);
    tree.echo(&urls.join(","), "add_urls").unwrap();
    assert_eq!(tree.cat("urls").unwrap(), urls.join(",") + "\n");
    tree.echo(&urls[..399].join(","), "remove_urls").unwrap();
    assert_eq!(tree.cat("urls").unwrap(), urls[399].clone() + "\n");
}

#[test]
fn a_command_that_never_ends_is_refused() {
    let Some(tree) = Mounted::new() else { return };
    assert_eq!(tree.echo(&"x".repeat(2 << 20), "create"), Err(Errno::EINVAL));
}

#[test]
fn a_slow_command_stops_no_other() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| tree.echo("slow 1M", "create"));
        std::thread::sleep(Duration::from_millis(150));
        let begun = Instant::now();
        assert!(tree.cat("create").unwrap().starts_with("Usage: "));
        assert!(
            begun.elapsed() < Duration::from_millis(300),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(slow.join().unwrap(), Ok(()));
    });
}

#[test]
fn what_is_only_read_cannot_be_written() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    tree.echo("vol dev", "attach").unwrap();
    for file in [
        "urls",
        "volumes",
        "last_error",
        "devices/dev/srb_size",
        "devices/dev/srb_name",
        "devices/dev/srb_urls",
    ] {
        assert_eq!(tree.echo("x", file), Err(Errno::EACCES), "{file}");
    }
    assert_eq!(tree.echo("x", "new"), Err(Errno::EPERM));
    assert_eq!(
        std::fs::create_dir(tree.path("pools/new")).map_err(errno),
        Err(Errno::EPERM)
    );
    assert_eq!(
        std::fs::remove_file(tree.path("create")).map_err(errno),
        Err(Errno::EPERM)
    );
}
