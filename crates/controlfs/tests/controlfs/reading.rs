//! What is read: lists of any length, usage, devices, other pools.

use crate::mounted::Mounted;
use nix::errno::Errno;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_tree_is_the_drivers_and_roots_alone() {
    let Some(tree) = Mounted::new() else { return };
    let wanted = [
        "add_urls",
        "attach",
        "create",
        "destroy",
        "detach",
        "devices",
        "extend",
        "last_error",
        "pools",
        "remove_urls",
        "urls",
        "volumes",
    ];
    assert_eq!(tree.ls(""), wanted);
    for (file, mode) in [
        ("create", 0o600),
        ("attach", 0o600),
        ("urls", 0o400),
        ("volumes", 0o400),
        ("", 0o700),
    ] {
        let permissions = std::fs::metadata(tree.path(file)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{file}");
    }
    let nobody = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
        .arg(tree.path("urls"))
        .output();
    if let Ok(nobody) = nobody {
        assert!(!nobody.status.success(), "only root gets in");
    }
}

#[test]
fn a_command_file_tells_how_to_use_it() {
    let Some(tree) = Mounted::new() else { return };
    for file in [
        "add_urls",
        "remove_urls",
        "create",
        "extend",
        "destroy",
        "attach",
        "detach",
    ] {
        let usage = tree.cat(file).unwrap();
        assert!(
            usage.starts_with("Usage: echo '") && usage.contains(&format!("> {file}\n")),
            "{file}: {usage}"
        );
    }
}

#[test]
fn thousands_of_volumes_are_listed_whole() {
    let Some(tree) = Mounted::with(&[]) else { return };
    let names: Vec<String> = (0..500)
        .map(|n| format!("volume-{n:04}-with-a-name-that-makes-the-list-longer"))
        .collect();
    for name in &names {
        tree.echo(&format!("{name} 1k"), "create").unwrap();
    }
    let listed = tree.cat("volumes").unwrap();
    assert!(listed.len() > 4096);
    assert_eq!(listed, names.join("\n") + "\n");
    let dd = std::process::Command::new("dd")
        .arg(format!("if={}", tree.path("volumes").display()))
        .arg("bs=7")
        .output();
    assert_eq!(
        String::from_utf8(dd.unwrap().stdout).unwrap(),
        listed,
        "in small pieces too"
    );
}

#[test]
fn a_device_has_its_folder_while_it_is_attached() {
    let Some(tree) = Mounted::with(&["vol", "plain"]) else {
        return;
    };
    assert_eq!(tree.ls("devices"), [""; 0]);
    tree.echo("vol dev", "attach").unwrap();
    assert_eq!(tree.ls("devices"), ["dev"]);
    assert_eq!(
        tree.ls("devices/dev"),
        ["srb_debug", "srb_name", "srb_size", "srb_urls"]
    );
    assert_eq!(tree.cat("devices/dev/srb_name").unwrap(), "vol\n");
    assert_eq!(tree.cat("devices/dev/srb_size").unwrap(), "1048576\n");
    assert_eq!(tree.cat("devices/dev/srb_urls").unwrap(), "http://a/v\n");
    let open = std::fs::File::open(tree.path("devices/dev/srb_name")).unwrap();
    tree.echo("dev", "detach").unwrap();
    assert_eq!(tree.cat("devices/dev/srb_name"), Err(Errno::ENOENT));
    let read = std::io::read_to_string(&open).map_err(crate::mounted::errno);
    assert_eq!(read, Err(Errno::ENOENT), "also to one who still has it open");
}

#[test]
fn other_pools_have_the_same_files() {
    let Some(tree) = Mounted::with(&["vol"]) else {
        return;
    };
    assert_eq!(tree.ls("pools"), [""; 0], "the default pool is at the top");
    let client = restblk_api::client::Client::new(tree.server.socket());
    let spec = serde_json::from_value(
        serde_json::json!({"name": "second", "store": "cdmi", "urls": ["http://b/v"]}),
    );
    tree.runtime.block_on(client.create_pool(&spec.unwrap())).unwrap();
    assert_eq!(tree.ls("pools"), ["second"]);
    assert!(!tree.ls("pools/second").contains(&"pools".to_owned()));
    tree.echo("vol 2M", "pools/second/create").unwrap();
    assert_eq!(tree.cat("pools/second/volumes").unwrap(), "vol\n");
    tree.echo("vol dev", "pools/second/attach").unwrap();
    assert_eq!(
        (tree.ls("devices").len(), tree.ls("pools/second/devices")),
        (0, vec!["dev".to_owned()])
    );
    assert_eq!(
        tree.cat("pools/second/devices/dev/srb_size").unwrap(),
        "2097152\n"
    );
    assert_eq!(
        tree.echo("dev", "detach"),
        Err(Errno::EINVAL),
        "it is another pool's"
    );
    assert_eq!(tree.echo("dev", "pools/second/detach"), Ok(()));
    assert_eq!(tree.cat("pools/third/urls"), Err(Errno::ENOENT));
    assert_eq!(tree.cat("pools/default/urls"), Err(Errno::ENOENT));
}
