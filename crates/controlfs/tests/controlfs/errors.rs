//! Every errno of the driver's table, as a writer gets it.

use crate::mounted::Mounted;
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// A long name, one over the limit.
const NAME32: &str = "12345678901234567890123456789012";

#[test]
fn add_urls() {
    let Some(tree) = Mounted::new() else { return };
    for bad in [
        "nonsense",
        "ftp://h/v",
        "http://h",
        "http://h:99999/v",
        "",
        ",",
        "http://unreachable/v",
    ] {
        assert_eq!(tree.echo(bad, "add_urls"), Err(Errno::EINVAL), "{bad}");
    }
    assert_eq!(tree.cat("urls").unwrap(), "\n", "nothing of it took effect");
    assert_eq!(
        tree.echo("bad,http://a/v,http://unreachable/v,http://b/v", "add_urls"),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        tree.cat("urls").unwrap(),
        "http://a/v,http://b/v\n",
        "the valid ones are kept"
    );
    assert_eq!(
        tree.echo("http://a/v,http://a/v/", "add_urls"),
        Ok(()),
        "what is there already collapses"
    );
    assert_eq!(tree.cat("urls").unwrap(), "http://a/v,http://b/v\n");
}

#[test]
fn remove_urls() {
    let Some(tree) = Mounted::new() else { return };
    assert_eq!(
        tree.echo("http://a/v", "remove_urls"),
        Err(Errno::ENOENT),
        "there is no pool"
    );
    tree.echo("http://a/v,http://b/v", "add_urls").unwrap();
    assert_eq!(tree.echo("http://c/v", "remove_urls"), Err(Errno::ENOENT));
    assert_eq!(tree.echo("nonsense", "remove_urls"), Err(Errno::EINVAL));
    tree.echo("vol 1M", "create").unwrap();
    tree.echo("vol dev", "attach").unwrap();
    assert_eq!(tree.echo("http://b/v", "remove_urls"), Ok(()));
    assert_eq!(
        tree.echo("http://a/v", "remove_urls"),
        Err(Errno::EBUSY),
        "the last one, and a device is attached"
    );
    tree.echo("dev", "detach").unwrap();
    assert_eq!(tree.echo("http://a/v/", "remove_urls"), Ok(()));
    assert_eq!(tree.cat("urls").unwrap(), "\n");
    assert_eq!(tree.server.changes().last().unwrap(), "DELETE /v1/pools/default");
}

#[test]
fn create() {
    let Some(tree) = Mounted::new() else { return };
    assert_eq!(
        tree.echo("vol 1G", "create"),
        Err(Errno::ENXIO),
        "there is no server"
    );
    tree.echo("http://a/v", "add_urls").unwrap();
    for bad in [
        "vol",
        "vol 1G x",
        "vol 0",
        "vol -1",
        "vol 1T",
        "vol 17179869184G",
        "a/b 1G",
        "",
        "a 1G\nb 1G",
    ] {
        assert_eq!(tree.echo(bad, "create"), Err(Errno::EINVAL), "{bad}");
    }
    tree.echo("vol 1G", "create").unwrap();
    for failing in [
        "vol 1G",
        "err-no_space 1G",
        "err-unavailable 1G",
        "err-denied 1G",
        "err-bug 1G",
    ] {
        assert_eq!(tree.echo(failing, "create"), Err(Errno::EIO), "{failing}");
    }
}

#[test]
fn extend() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    for bad in ["vol 1M", "vol 1k", "vol", "vol x", "vol 2M x"] {
        assert_eq!(tree.echo(bad, "extend"), Err(Errno::EINVAL), "{bad}");
    }
    assert_eq!(tree.echo("none 2M", "extend"), Err(Errno::ENODEV));
    assert_eq!(tree.echo("err-busy 2M", "extend"), Err(Errno::EBUSY));
    assert_eq!(tree.echo("err-corrupt 2M", "extend"), Err(Errno::EIO));
    assert_eq!(tree.echo("vol 2M", "extend"), Ok(()));
}

#[test]
fn destroy() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    assert_eq!(tree.echo("none", "destroy"), Err(Errno::ENOENT));
    assert_eq!(tree.echo("", "destroy"), Err(Errno::EINVAL));
    tree.echo("vol dev", "attach").unwrap();
    assert_eq!(tree.echo("vol", "destroy"), Err(Errno::EBUSY));
    tree.echo("dev", "detach").unwrap();
    assert_eq!(tree.echo("err-unavailable", "destroy"), Err(Errno::EIO));
    assert_eq!(tree.echo("vol", "destroy"), Ok(()));
    assert_eq!(tree.echo("vol", "destroy"), Err(Errno::ENOENT));
}

#[test]
fn attach() {
    let Some(tree) = Mounted::with(&["vol", "other"]) else {
        return;
    };
    for bad in ["vol", "vol a b", &format!("vol {NAME32}"), "vol a/b", "vol ."] {
        assert_eq!(tree.echo(bad, "attach"), Err(Errno::EINVAL), "{bad}");
    }
    assert_eq!(tree.echo("none dev", "attach"), Err(Errno::ENODEV));
    assert_eq!(tree.echo("err-unavailable dev", "attach"), Err(Errno::EIO));
    assert_eq!(
        tree.echo("err-busy dev", "attach"),
        Err(Errno::EEXIST),
        "held by another host"
    );
    assert_eq!(
        tree.echo(&format!("vol {}", &NAME32[1..]), "attach"),
        Ok(()),
        "31 characters"
    );
    assert_eq!(tree.echo("vol dev", "attach"), Err(Errno::EEXIST));
    assert_eq!(
        tree.echo(&format!("other {}", &NAME32[1..]), "attach"),
        Err(Errno::EINVAL),
        "the node exists"
    );
    assert_eq!(
        tree.echo("other ublkb0", "attach"),
        Err(Errno::EINVAL),
        "and so does the kernel's"
    );
}

#[test]
fn detach() {
    let Some(tree) = Mounted::with(&["vol", "open"]) else {
        return;
    };
    for bad in ["none", "", "a b", "vol"] {
        assert_eq!(tree.echo(bad, "detach"), Err(Errno::EINVAL), "{bad}");
    }
    tree.echo("open busydev", "attach").unwrap();
    assert_eq!(tree.echo("busydev", "detach"), Err(Errno::EBUSY));
    tree.echo("vol dev", "attach").unwrap();
    assert_eq!(tree.echo("dev", "detach"), Ok(()));
    assert_eq!(tree.echo("dev", "detach"), Err(Errno::EINVAL));
}

#[test]
fn srb_debug() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    tree.echo("vol dev", "attach").unwrap();
    for bad in ["8", "-1", "", "x", "1 2"] {
        assert_eq!(
            tree.echo(bad, "devices/dev/srb_debug"),
            Err(Errno::EINVAL),
            "{bad}"
        );
    }
    assert_eq!(tree.cat("devices/dev/srb_debug").unwrap(), "4\n");
    tree.echo("7", "devices/dev/srb_debug").unwrap();
    assert_eq!(tree.cat("devices/dev/srb_debug").unwrap(), "7\n");
}

#[test]
fn the_reason_is_kept_in_words() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    assert_eq!(tree.cat("last_error").unwrap(), "");
    tree.echo("err-no_space 1G", "create").unwrap_err();
    let words = tree.cat("last_error").unwrap();
    assert_eq!(words, "create err-no_space 1G: EIO: as you asked (look at it)\n");
    tree.echo("x", "create").unwrap_err();
    assert!(tree.cat("last_error").unwrap().starts_with("create x: EINVAL: "));
}

#[test]
fn a_daemon_that_is_gone_or_hangs_is_eio() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    std::fs::remove_file(tree.server.socket()).unwrap();
    assert_eq!(tree.echo("vol dev", "attach"), Err(Errno::EIO));
    assert_eq!(tree.cat("volumes"), Err(Errno::EIO));
    assert!(tree.cat("last_error").unwrap().contains("is the daemon running?"));
    let _silent = std::os::unix::net::UnixListener::bind(tree.server.socket()).unwrap();
    let begun = Instant::now();
    assert_eq!(tree.echo("vol2 1G", "create"), Err(Errno::EIO));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "the driver would have waited for ever"
    );
}
