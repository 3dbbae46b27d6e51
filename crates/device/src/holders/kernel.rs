//! Other drivers on top of a device: device-mapper, md, loop, btrfs, and the NVMe and SCSI targets.

use super::{HeldBy, Holder, Wanted};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) fn find(wanted: &Wanted, found: &mut Vec<Holder>) {
    for (number, device) in &wanted.names {
        let folder = format!("/sys/dev/block/{}:{}/holders", number.0, number.1);
        for name in names_in(Path::new(&folder)) {
            let label = fs::read_to_string(format!("/sys/class/block/{name}/dm/name"));
            let label = label.ok().map(|text| text.trim().to_owned());
            push(found, device, name, label);
        }
        find_btrfs(device, found);
    }
    for name in names_in(Path::new("/sys/block"))
        .into_iter()
        .filter(|name| name.starts_with("loop"))
    {
        by_path(
            wanted,
            Path::new(&format!("/sys/block/{name}/loop/backing_file")),
            &name,
            found,
        );
    }
    let nvmet = Path::new("/sys/kernel/config/nvmet/subsystems");
    for subsystem in names_in(nvmet) {
        let namespaces = nvmet.join(&subsystem).join("namespaces");
        for namespace in names_in(&namespaces) {
            let name = format!("nvmet {subsystem}");
            by_path(
                wanted,
                &namespaces.join(namespace).join("device_path"),
                &name,
                found,
            );
        }
    }
    let lio = Path::new("/sys/kernel/config/target/core");
    for group in names_in(lio)
        .into_iter()
        .filter(|name| name.starts_with("iblock_"))
    {
        for backstore in names_in(&lio.join(&group)) {
            let name = format!("iSCSI target {backstore}");
            by_path(
                wanted,
                &lio.join(&group).join(&backstore).join("udev_path"),
                &name,
                found,
            );
        }
    }
}

/// btrfs lists the members of each file system, also those that mountinfo does not name.
fn find_btrfs(device: &str, found: &mut Vec<Holder>) {
    let root = Path::new("/sys/fs/btrfs");
    for uuid in names_in(root) {
        if root.join(&uuid).join("devices").join(device).exists() {
            let label = fs::read_to_string(root.join(&uuid).join("label")).unwrap_or_default();
            let label = label.trim();
            let label = (!label.is_empty()).then(|| label.to_owned());
            push(found, device, format!("btrfs {uuid}"), label);
        }
    }
}

/// A holder where `attribute` holds the path of a wanted device's node.
fn by_path(wanted: &Wanted, attribute: &Path, name: &str, found: &mut Vec<Holder>) {
    let Ok(text) = fs::read_to_string(attribute) else {
        return;
    };
    if let Some(device) = wanted.name_of_node(&PathBuf::from(text.trim_end_matches(['\n', '\0']))) {
        push(found, device, name.to_owned(), None);
    }
}

fn push(found: &mut Vec<Holder>, device: &str, name: String, label: Option<String>) {
    found.push(Holder {
        device: device.to_owned(),
        by: HeldBy::Kernel { name, label },
    });
}

/// The entries of a folder; none where it does not exist.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
