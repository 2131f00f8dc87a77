// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text for a terminal: colours where they are wanted, tables, and names that
//! cannot play tricks with it.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub colour: bool,
}

impl Style {
    /// For headings.
    pub fn bold(self, text: &str) -> Cow<'_, str> {
        self.paint("1", text)
    }

    /// For what is wrong.
    pub fn bad(self, text: &str) -> Cow<'_, str> {
        self.paint("1;31", text)
    }

    fn paint<'a>(self, code: &str, text: &'a str) -> Cow<'a, str> {
        match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m").into(),
            false => text.into(),
        }
    }
}

/// A name with its control characters written out.
pub fn printable(name: &str) -> Cow<'_, str> {
    if !name.contains(char::is_control) {
        return name.into();
    }
    let mut text = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match c.is_control() {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    text.into()
}

/// So many of something: `1 object`, `2 objects`.
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Columns under headings; one whose heading begins with `>` is set to the right.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes it, without headings when there is nothing below them.
    pub fn write(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let title = |i: usize| self.headings[i].trim_start_matches('>');
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|i| {
                let cells = self.rows.iter().filter_map(|row| row.get(i));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(title(i).len())
            })
            .collect();
        let titles: Vec<String> = (0..widths.len()).map(|i| title(i).into()).collect();
        writeln!(out, "{}", style.bold(&self.line(&titles, &widths)))?;
        for row in &self.rows {
            writeln!(out, "{}", self.line(row, &widths))?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate() {
            let width = widths[i];
            match self.headings[i].starts_with('>') {
                true => line.extend([format!("{cell:>width$}"), "  ".into()]),
                false => line.extend([format!("{cell:<width$}"), "  ".into()]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", ">SIZE", "ID"]);
        table.row(["a".into(), "17 B".into(), "0f".into()]);
        table.row(["longer".into(), "4.0 KiB".into(), "1e".into()]);
        let mut out = Vec::new();
        table.write(&mut out, Style { colour: false }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "NAME       SIZE  ID\na          17 B  0f\nlonger  4.0 KiB  1e\n");
    }

    #[test]
    fn an_empty_table_is_nothing() {
        let mut out = Vec::new();
        Table::new(&["A"]).write(&mut out, Style { colour: true }).unwrap();
        assert_eq!(out, b"");
    }

    #[test]
    fn things_are_counted() {
        assert_eq!(count(0, "object"), "0 objects");
        assert_eq!(count(1, "object"), "1 object");
    }

    #[test]
    fn names_cannot_reach_the_terminal() {
        assert_eq!(printable("/lists/häuser"), "/lists/häuser");
        assert_eq!(printable("a\x1b[2J\n"), "a\\u{1b}[2J\\n");
    }
}
