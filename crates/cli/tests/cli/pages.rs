//! Help, manual pages and docs/cli.md: all from the same definitions, and complete.

use crate::harness::{finish, restblk};
use std::path::Path;

/// Commands as words, from the headings of the reference.
fn commands() -> Vec<String> {
    let reference = finish(restblk("__reference")).out;
    reference
        .lines()
        .filter_map(|line| line.strip_prefix("## restblk "))
        .map(ToOwned::to_owned)
        .collect()
}

/// Long options in a text.
fn options(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn the_reference_in_docs_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let made = finish(restblk("__reference")).out;
    assert!(
        committed == made,
        "docs/cli.md is not what the definitions say; make it: cargo run -p restblk-cli -- __reference > docs/cli.md"
    );
}

#[test]
fn help_is_grouped_and_fits_a_screen() {
    let help = finish(restblk("--help"));
    assert_eq!(help.code, 0);
    assert!(help.out.lines().count() <= 56, "{}", help.out);
    for group in ["Volumes:", "Copies:", "Devices:", "Pools:", "Host:", "Shell:"] {
        assert!(help.out.contains(group), "{group} in {}", help.out);
    }
    assert!(!help.out.contains("__"), "hidden commands stay hidden");
    assert!(!help.out.contains('\x1b'), "no colors into a pipe");
}

#[test]
fn version_is_the_packages() {
    assert_eq!(
        finish(restblk("--version")).out,
        format!("restblk {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn every_option_of_help_is_in_the_manual() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut command = restblk("man");
    assert_eq!(
        finish({
            command.arg(dir.path().join("man"));
            command
        })
        .code,
        0
    );
    let page = |name: String| {
        std::fs::read_to_string(dir.path().join("man").join(name))
            .unwrap()
            .replace("\\-", "-")
    };
    let commands = commands();
    assert!(commands.len() > 25, "{commands:?}");
    for command in &commands {
        if ["Global", "Exit"].iter().any(|other| command.starts_with(other)) {
            continue;
        }
        let help = finish(restblk(&format!("{command} --help")));
        assert_eq!(help.code, 0, "{command}");
        let page = page(format!("restblk-{}.1", command.replace(' ', "-")));
        for option in options(&help.out) {
            assert!(page.contains(&option), "{option} of {command} is in its page");
        }
    }
    let root = page("restblk.1".to_owned());
    for section in ["EXIT STATUS", "ENVIRONMENT", "FILES"] {
        assert!(root.contains(&format!(".SH \"{section}\"")), "{section}");
    }
    assert!(
        root.contains(".B 12\nthe daemon of this host cannot be reached"),
        "{root}"
    );
}
