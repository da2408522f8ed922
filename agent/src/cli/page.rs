//! A page of text for a terminal of some width, or for a pipe, where nothing is cut or wrapped.

mod table;

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

pub(super) use table::{Column, Table};

/// Bad news.
pub(super) const ALARM: Style = AnsiColor::Red.on_default().bold();
/// Good news.
pub(super) const FINE: Style = AnsiColor::Green.on_default().bold();
/// No news, or to be taken with care.
pub(super) const CARE: Style = AnsiColor::Yellow.on_default().bold();
/// Headings.
pub(super) const HEADING: Style = Style::new().bold();
/// Said for completeness.
pub(super) const ASIDE: Style = Style::new().dimmed();
/// As the terminal has it.
pub(super) const PLAIN: Style = Style::new();

const UNITS: [&str; 6] = ["%", "µs", "ms", "s", "min", "h"];

/// Lines after the first of a paragraph are further in.
const HANGING: usize = 2;

/// Text in the making.
pub(super) struct Page {
    text: String,
    width: Option<usize>,
}

impl Page {
    pub(super) fn new(width: Option<usize>) -> Page {
        Page {
            text: String::new(),
            width,
        }
    }

    /// The text with its styles.
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A line that tells what follows.
    pub(super) fn heading(&mut self, text: &str) {
        self.paragraph(0, HEADING, text);
    }

    /// A paragraph in one style.
    pub(super) fn paragraph(&mut self, indent: usize, style: Style, text: &str) {
        for line in self.wrapped(indent, text) {
            self.line(&styled(style, line));
        }
    }

    /// A paragraph whose first words have a style of their own.
    pub(super) fn led(&mut self, indent: usize, style: Style, lead: &str, rest: &str) {
        let whole = format!("{lead}{rest}");
        for (number, line) in self.wrapped(indent, &whole).iter().enumerate() {
            let first = line.trim_start().strip_prefix(lead).filter(|_| number == 0);
            match first {
                Some(rest) => {
                    let space = " ".repeat(indent);
                    self.line(&format!("{space}{}{rest}", styled(style, lead)));
                }
                None => self.line(line),
            }
        }
    }

    /// Whether a table needs no cutting.
    pub(super) fn fits(&self, table: &Table) -> bool {
        self.width.is_none_or(|width| table.width() <= width)
    }

    /// A table, laid out for the width.
    pub(super) fn table(&mut self, indent: usize, table: &Table) {
        for line in table.lines(self.width.map(|width| width.saturating_sub(indent))) {
            let space = if line.is_empty() { 0 } else { indent };
            self.line(&format!("{}{line}", " ".repeat(space)));
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn wrapped(&self, indent: usize, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = " ".repeat(indent);
        let mut empty = true;
        for word in unbroken(text) {
            let full = |width| line.width() + 1 + word.width() > width;
            if !empty && self.width.is_some_and(full) {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent + HANGING)));
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(&word);
            empty = false;
        }
        lines.push(line);
        lines
    }
}

/// Words, with units kept at their numbers.
fn unbroken(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let bare = word.trim_end_matches([',', ';', '.', ')']);
        match words.last_mut() {
            Some(number) if UNITS.contains(&bare) => {
                number.push(' ');
                number.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Text in a style.
pub(super) fn styled(style: Style, text: impl Display) -> String {
    if style == PLAIN {
        return text.to_string();
    }
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap_and_long_ones_stay_whole() {
        let mut page = Page::new(Some(20));
        page.led(2, PLAIN, "HURTS:", " a_word_that_is_far_too_long went by");
        assert_eq!(
            page.finish(),
            "  HURTS:\n    a_word_that_is_far_too_long\n    went by\n"
        );
    }

    #[test]
    fn a_pipe_gets_whole_lines() {
        let mut page = Page::new(None);
        page.paragraph(0, PLAIN, &"word ".repeat(100));
        assert_eq!(page.finish().lines().count(), 1);
    }
}
