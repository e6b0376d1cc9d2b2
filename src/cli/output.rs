//! Writing to the terminal. A reader that went away is not an error.

use std::io::{self, IsTerminal, Write};

/// Writes a line to standard output.
pub(super) fn line(text: &str) {
    if writeln!(io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Writes bytes to standard output, exactly as they are.
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes a line to standard error.
pub(super) fn error(text: &str) {
    // Nobody is left to hear of a standard error that cannot be written.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A line that is written over while work goes on; on a pipe, one line every now and then.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    last: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), last: 0 }
    }

    /// Shows `done` of `total`.
    pub(super) fn show(&mut self, what: &str, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        if self.terminal {
            drop(write!(io::stderr().lock(), "\r{what} {done}/{total} ({percent} %)\x1b[K"));
        } else if percent >= self.last.saturating_add(25) || done == total {
            self.last = percent;
            error(&format!("{what} {done}/{total} ({percent} %)"));
        }
    }

    /// Ends the line.
    pub(super) fn done(&mut self) {
        if self.terminal {
            drop(writeln!(io::stderr().lock()));
        }
        self.last = 0;
    }
}

/// An amount with at least two places.
pub(super) fn amount(value: rust_decimal::Decimal) -> String {
    let mut value = value.normalize();
    if value.scale() < 2 {
        value.rescale(2);
    }
    value.to_string()
}

/// A table with columns as wide as their widest cell; numbers are aligned by the caller.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let format = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        format!("  {}\n", text.trim_end())
    };
    let mut text = format(&mut head.iter().copied());
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text.push_str(&format(&mut rule.iter().map(String::as_str)));
    for row in rows {
        text.push_str(&format(&mut row.iter().map(String::as_str)));
    }
    text
}
