//! Mounts of a device, in every mount namespace that some process lives in; and swap.

use super::{HeldBy, Holder, Wanted, parse_number};
use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

pub(super) fn find(wanted: &Wanted, found: &mut Vec<Holder>) {
    let own = fs::metadata("/proc/self/ns/mnt")
        .map(|m| m.ino())
        .unwrap_or_default();
    let mut seen = HashSet::from([own]);
    // btrfs mounts carry a number of no device, so the source's node is looked at too: each once.
    let mut sources = HashMap::new();
    read_mountinfo(
        Path::new("/proc/self/mountinfo"),
        None,
        wanted,
        &mut sources,
        found,
    );
    for pid in super::processes::pids() {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/mnt")).map(|m| m.ino());
        if namespace.is_ok_and(|namespace| seen.insert(namespace)) {
            let path = PathBuf::from(format!("/proc/{pid}/mountinfo"));
            read_mountinfo(&path, Some(pid), wanted, &mut sources, found);
        }
    }
    find_swap(wanted, found);
}

fn read_mountinfo(
    path: &Path,
    namespace_of: Option<u32>,
    wanted: &Wanted,
    sources: &mut HashMap<String, Option<String>>,
    found: &mut Vec<Holder>,
) {
    // A process that has just ended is no holder.
    let Ok(bytes) = fs::read(path) else { return };
    for line in String::from_utf8_lossy(&bytes).lines() {
        let Some((number, mount_point, source)) = parse_line(line) else {
            continue;
        };
        let by_number = parse_number(number)
            .and_then(|number| wanted.name(number))
            .map(str::to_owned);
        let device = by_number.or_else(|| {
            let lookup = || wanted.name_of_node(&unescape(source)).map(str::to_owned);
            sources.entry(source.to_owned()).or_insert_with(lookup).clone()
        });
        if let Some(device) = device {
            found.push(Holder {
                device,
                by: HeldBy::Mount {
                    path: unescape(mount_point),
                    namespace_of,
                },
            });
        }
    }
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
