//! Rows in aligned columns, without lines.

use std::fmt;

use anstyle::Style;
use loadline_core::untrusted::one_line;

use crate::failure::Failure;
use crate::ui::Out;

/// Most characters of a cell.
const WIDEST: usize = 160;

/// One cell: on one line, and safe for a terminal whatever the text says.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Option<Style>,
    right: bool,
}

impl Cell {
    /// Text, set to the left.
    pub fn left(text: impl fmt::Display) -> Self {
        Self { text: one_line(&text.to_string(), WIDEST), ..Self::default() }
    }

    /// Text, set to the right (numbers).
    pub fn right(text: impl fmt::Display) -> Self {
        Self { right: true, ..Self::left(text) }
    }

    /// The same in a style.
    #[must_use]
    pub fn styled(mut self, style: Style) -> Self {
        self.style = Some(style);
        self
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Rows, written when all are there.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the rows, two spaces between columns, moved in by some. A column in which every cell is empty is
    /// left out.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn write(&self, out: &mut Out, indent: usize) -> Result<(), Failure> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| Some(row.get(column)?.width())).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            let mut gap = 0;
            for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
                line.push_str(&" ".repeat(gap));
                let fill = width - cell.width();
                if cell.right {
                    line.push_str(&" ".repeat(fill));
                }
                match cell.style {
                    Some(style) => line.push_str(&out.styled(style, &cell.text).to_string()),
                    None => line.push_str(&cell.text),
                }
                gap = 2 + if cell.right { 0 } else { fill };
            }
            out.line(line.trim_end())?;
        }
        Ok(())
    }
}
