//! Mounts of a device, in every mount namespace that some process lives in; and swap.

use super::{HeldBy, Holder, Program, Wanted, parse_number};
use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::PathBuf,
};

pub(super) fn find(wanted: &Wanted, found: &mut Vec<Holder>) {
    // btrfs mounts carry a number of no device, so the source's node is looked at too: each once.
    let mut sources = HashMap::new();
    // People see the namespace of process 1, whatever namespace we have; where it cannot be looked at, ours.
    let host = if namespace(HOST).is_some() {
        HOST
    } else {
        std::process::id()
    };
    let mut seen: HashSet<u64> = namespace(host).into_iter().collect();
    let of_host = mounts_of(host, wanted, &mut sources);
    for pid in super::processes::pids() {
        if !namespace(pid).is_some_and(|namespace| seen.insert(namespace)) {
            continue;
        }
        for mount in mounts_of(pid, wanted, &mut sources) {
            // The copy of a mount that the host has too goes with it, or is told when that has gone.
            if !of_host.contains(&mount) {
                found.push(mount.holder(Some(super::processes::program(pid))));
            }
        }
    }
    found.extend(of_host.into_iter().map(|mount| mount.holder(None)));
    find_swap(wanted, found);
}

/// The first process of the host, or of the container that we are in.
const HOST: u32 = 1;

/// Which mount namespace a process is in; none where it has ended or must not be looked at.
fn namespace(pid: u32) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().map(|m| m.ino())
}

/// A wanted device mounted somewhere.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    path: PathBuf,
}

impl Mount {
    fn holder(self, seen_by: Option<Program>) -> Holder {
        Holder {
            device: self.device,
            by: HeldBy::Mount {
                path: self.path,
                seen_by,
            },
        }
    }
}

/// The mounts of wanted devices that the process sees.
fn mounts_of(pid: u32, wanted: &Wanted, sources: &mut HashMap<String, Option<String>>) -> Vec<Mount> {
    // A process that has just ended is no holder.
    let bytes = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mounts = text.lines().filter_map(parse_line);
    let of_wanted = mounts.filter_map(|(number, mount_point, source)| {
        let by_number = parse_number(number)
            .and_then(|number| wanted.name(number))
            .map(str::to_owned);
        let device = by_number.or_else(|| {
            let lookup = || wanted.name_of_node(&unescape(source)).map(str::to_owned);
            sources.entry(source.to_owned()).or_insert_with(lookup).clone()
        })?;
        let path = unescape(mount_point);
        Some(Mount { device, path })
    });
    of_wanted.collect()
}

/// Device number, mount point and source of a line of mountinfo (proc_pid_mountinfo(5)).
fn parse_line(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split(' ');
    let number = fields.nth(2)?;
    let mount_point = fields.nth(1)?;
    let mut after = fields.skip_while(|field| *field != "-");
    Some((number, mount_point, after.nth(2)?))
}

/// The kernel writes space, tab, newline and backslash in octal.
fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes
            .get(at + 1..at + 4)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (bytes[at], code) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                at += 4;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

fn find_swap(wanted: &Wanted, found: &mut Vec<Holder>) {
    let text = fs::read_to_string("/proc/swaps").unwrap_or_default();
    for line in text.lines().skip(1) {
        let path = unescape(line.split_whitespace().next().unwrap_or_default());
        if let Some(name) = wanted.name_of_node(&path) {
            found.push(Holder {
                device: name.to_owned(),
                by: HeldBy::Swap,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_understood() {
        let line =
            r"36 35 7:0 /sub /mnt/a\040b rw,noatime shared:1 master:2 - ext4 /dev/loop0 rw,errors=continue";
        assert_eq!(parse_line(line), Some(("7:0", r"/mnt/a\040b", "/dev/loop0")));
        assert_eq!(unescape(r"/mnt/a\040b\134"), PathBuf::from(r"/mnt/a b\"));
        let bare = "22 1 0:20 / /sys rw - sysfs sysfs rw";
        assert_eq!(parse_line(bare), Some(("0:20", "/sys", "sysfs")));
        assert_eq!(parse_line("22 1 0:20"), None);
    }
}
