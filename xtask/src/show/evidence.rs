//! docs/evidence.md: the table of claims with the figure each showed last. Rows are found again by their command, so
//! that what is written around the table, and rows of claims not shown this time, stay as they are.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::capture;
use crate::tree::Tree;

const HEAD: &str = "# Evidence

What this project claims, the command that shows it, and the figure it showed last. `cargo xtask show --record GROUP/NAME`
writes the rows; each command sets up what it needs, ends with 0 only if the claim holds, and cleans up.

| claim | command | last figure | machine | date |
|---|---|---|---|---|
";

/// Writes or replaces the row of the claim `path`.
pub(super) fn record(tree: &Tree, path: &str, claim: &str, figure: &str) -> Result<()> {
    let file = tree.root.join("docs/evidence.md");
    let text = fs::read_to_string(&file).unwrap_or_else(|_| HEAD.to_owned());
    let date = capture(Command::new("date").args(["-u", "+%F"]))?;
    let row = format!(
        "| {} | `cargo xtask show {path}` | {} | {} | {} |",
        cell(claim),
        cell(figure),
        cell(&machine()),
        date.trim()
    );
    fs::write(&file, with_row(&text, path, &row)).with_context(|| format!("cannot write {}", file.display()))
}

/// `text` with `row` in its table: in the place of the row with the same command, or by the command's order.
fn with_row(text: &str, path: &str, row: &str) -> String {
    let command = |path: &str| format!("| `cargo xtask show {path}` |");
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(place) = lines.iter().position(|line| line.contains(&command(path))) {
        lines[place] = row;
    } else {
        let rule = lines
            .iter()
            .position(|line| line.starts_with("|---"))
            .map_or(lines.len(), |place| place + 1);
        let later = |line: &&str| {
            let shown = line
                .split_once("`cargo xtask show ")
                .and_then(|(_, rest)| rest.split_once('`'));
            !line.starts_with('|') || shown.is_some_and(|(other, _)| other > path)
        };
        let place = lines[rule..]
            .iter()
            .position(later)
            .map_or(lines.len(), |place| rule + place);
        lines.insert(place, row);
    }
    lines.join("\n") + "\n"
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|")
}

/// The machine in a few words: cores, memory, kernel.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = kernel.trim().split('-').next().unwrap_or_default().to_owned();
    format!(
        "{cores} cores, {} GiB, Linux {version}",
        kilobytes.div_ceil(1 << 20)
    )
}

#[cfg(test)]
mod tests {
    use super::{HEAD, with_row};

    #[test]
    fn rows_are_replaced_or_sorted_in() {
        let b = with_row(HEAD, "g/b", "| B | `cargo xtask show g/b` | 1 |");
        let ab = with_row(&b, "g/a", "| A | `cargo xtask show g/a` | 1 |");
        let abc = with_row(&(ab + "\nafter\n"), "g/c", "| C | `cargo xtask show g/c` | 1 |");
        let again = with_row(&abc, "g/b", "| B | `cargo xtask show g/b` | 2 |");
        let expected = "| A | `cargo xtask show g/a` | 1 |\n| B | `cargo xtask show g/b` | 2 |\n| C | `cargo xtask show g/c` | 1 |\n\nafter\n";
        assert_eq!(again, format!("{HEAD}{expected}"));
    }
}
