//! The claims of the group `foundation` that are functions; the others are scripts in tests/show/foundation/.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use super::{Claim, Proof};
use crate::process::capture;
use crate::tree::Tree;

pub(super) fn claims() -> Vec<Claim> {
    vec![Claim {
        group: "foundation".to_owned(),
        name: "guest-kernels".to_owned(),
        claim: "a stock Debian kernel 6.12 and 7.2 with ublk, nbd, thin pools, FUSE and loop boots in seconds without KVM".to_owned(),
        proof: Proof::Function(guest_kernels),
    }]
}

fn guest_kernels(tree: &Tree) -> Result<String> {
    let mut figures = Vec::new();
    for kernel in ["6.12", "7.2"] {
        let started = Instant::now();
        let script = "uname -r && modprobe -a ublk_drv nbd dm-thin-pool fuse loop && ls /dev/ublk-control /dev/nbd0 /dev/fuse \
                      /dev/loop-control /dev/mapper/control > /dev/null";
        let release =
            capture(Command::new(tree.root.join("vm/run")).args(["-k", kernel, "--", "bash", "-c", script]))?;
        let release = release.trim();
        if !release.starts_with(&format!("{kernel}.")) {
            bail!("the guest called {kernel} runs {release}");
        }
        figures.push(format!("{release} in {:.1} s", started.elapsed().as_secs_f64()));
    }
    Ok(format!("booted, drivers loaded, ended: {}", figures.join(", ")))
}
