//! Columns of text. The first column gives way when a line gets too long.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::cli::page::{HEADING, PLAIN, styled};

const GAP: usize = 2;
/// The first column is not cut to less than this.
const LEAST_NAME: usize = 12;

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// One column: its heading in two lines, and its cells.
pub(in crate::cli) struct Column {
    heading: [&'static str; 2],
    align: Align,
    cells: Vec<String>,
}

impl Column {
    /// Words.
    pub(in crate::cli) fn left(heading: [&'static str; 2], cells: Vec<String>) -> Column {
        Column {
            heading,
            align: Align::Left,
            cells,
        }
    }

    /// Numbers.
    pub(in crate::cli) fn right(heading: [&'static str; 2], cells: Vec<String>) -> Column {
        Column {
            heading,
            align: Align::Right,
            cells,
        }
    }
}

/// Columns of equal length.
pub(in crate::cli) struct Table {
    columns: Vec<Column>,
    /// By row; a style is for its first cell.
    styles: Vec<Style>,
}

impl Table {
    pub(in crate::cli) fn new(columns: Vec<Column>, styles: Vec<Style>) -> Table {
        Table { columns, styles }
    }

    /// Columns that it takes when nothing is cut.
    pub(in crate::cli) fn width(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::width).sum();
        columns + GAP * self.columns.len().saturating_sub(1)
    }

    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let mut widths: Vec<usize> = self.columns.iter().map(Column::width).collect();
        let over = width.map_or(0, |width| self.width().saturating_sub(width));
        if let Some(first) = widths.first_mut() {
            *first = first.saturating_sub(over).max(LEAST_NAME.min(*first));
        }
        let headings = (0..2)
            .map(|line| self.line(&widths, |_, column| (column.heading[line], HEADING)))
            .filter(|line| !line.is_empty());
        let rows = self.styles.iter().enumerate().map(|(row, style)| {
            self.line(&widths, |number, column| {
                let style = if number == 0 { *style } else { PLAIN };
                (column.cells.get(row).map_or("", String::as_str), style)
            })
        });
        headings.chain(rows).collect()
    }

    fn line<'a>(
        &'a self,
        widths: &[usize],
        cell: impl Fn(usize, &'a Column) -> (&'a str, Style),
    ) -> String {
        let cells = self.columns.iter().zip(widths).enumerate();
        let cells = cells.map(|(number, (column, width))| {
            let (text, style) = cell(number, column);
            let text = cut(text, *width);
            let space = " ".repeat(width.saturating_sub(text.width()));
            if text.is_empty() {
                return space;
            }
            match column.align {
                Align::Left => styled(style, &text) + &space,
                Align::Right => space + &styled(style, &text),
            }
        });
        let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
        line.trim_end().to_owned()
    }
}

impl Column {
    fn width(&self) -> usize {
        let headings = self.heading.iter().map(|line| line.width());
        let cells = self.cells.iter().map(|cell| cell.width());
        headings.chain(cells).max().unwrap_or(0)
    }
}

/// Leaves the middle out: names differ at both ends.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let left = width.saturating_sub(1);
    let tail_width = left / 2;
    let head = fitting(text.chars(), left - tail_width);
    let tail: Vec<char> = fitting(text.chars().rev(), tail_width);
    let tail = tail.into_iter().rev();
    head.into_iter().chain(['…']).chain(tail).collect()
}

fn fitting(characters: impl Iterator<Item = char>, width: usize) -> Vec<char> {
    let mut used = 0;
    characters
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used <= width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(cut("batch.service", 13), "batch.service");
        assert_eq!(cut("a-very-long-name.service", 13), "a-very…ervice");
        assert_eq!(cut("日本語日本語", 7), "日…語");
    }

    #[test]
    fn columns_line_up() {
        let column = |heading, align, cells: [&str; 2]| Column {
            heading,
            align,
            cells: cells.map(str::to_owned).to_vec(),
        };
        let table = Table::new(
            vec![
                column(["", "name"], Align::Left, ["日本", "web"]),
                column(["CPUs", "used"], Align::Right, ["1.00", "12.0"]),
                column(["", "for"], Align::Left, ["", "self"]),
            ],
            vec![PLAIN; 2],
        );
        let plain: Vec<String> = table
            .lines(None)
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        assert_eq!(
            plain,
            [
                "      CPUs",
                "name  used  for",
                "日本  1.00",
                "web   12.0  self"
            ]
        );
    }
}
