//! Aligned columns. The last one is never padded, so that lines do not end in spaces.

use std::fmt;

/// Rows under headings.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// A table with these headings; the columns of the indexes `right` are aligned to the right.
    pub(crate) fn new(headings: &[&'static str], right: &'static [usize]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
            right,
        }
    }
}

impl<const N: usize> Extend<[String; N]> for Table {
    fn extend<I: IntoIterator<Item = [String; N]>>(&mut self, rows: I) {
        self.rows.extend(rows.into_iter().map(Vec::from));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings: Vec<String> = self.headings.iter().map(ToString::to_string).collect();
        let rows = || std::iter::once(&headings).chain(&self.rows);
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                rows()
                    .filter_map(|row| row.get(column))
                    .map(|cell| width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for row in rows() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(
                    widths
                        .get(column)
                        .copied()
                        .unwrap_or(0)
                        .saturating_sub(width(cell)),
                );
                let gap = if column == 0 { "" } else { "  " };
                line += &if self.right.contains(&column) {
                    format!("{gap}{pad}{cell}")
                } else {
                    format!("{gap}{cell}{pad}")
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// One thing: a name and a value a line. Empty values are left out.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let names = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown
        .map(|(name, value)| format!("{:<names$}  {value}\n", format!("{name}:")))
        .collect()
}

/// Characters that are seen: colors take no room.
fn width(cell: &str) -> usize {
    let mut chars = cell.chars();
    let mut width = 0;
    while let Some(char) = chars.next() {
        if char == '\x1b' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            width += 1;
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(&["NAME", "SIZE", "BY"], &[1]);
        table.extend([
            ["a".to_owned(), "10 GiB".to_owned(), String::new()],
            [
                "\x1b[32mlonger\x1b[0m".to_owned(),
                "1 B".to_owned(),
                "me".to_owned(),
            ],
        ]);
        assert_eq!(
            table.to_string(),
            "NAME      SIZE  BY\na       10 GiB\n\x1b[32mlonger\x1b[0m     1 B  me\n"
        );
    }

    #[test]
    fn pairs_leave_out_what_is_not_there() {
        let text = pairs(&[
            ("Name", "x".to_owned()),
            ("Problem", String::new()),
            ("Size", "1".to_owned()),
        ]);
        assert_eq!(text, "Name:     x\nSize:     1\n");
    }
}
