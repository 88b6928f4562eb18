//! A table that fits: columns as wide as they must be, the widest ones cut when the terminal is narrower.
//!
//! Pure: rows to text. It may be written down in parts, as its rows become known: there is one head, and a later row is
//! out of line only with a field that is wider than all before it. What machines say may hold anything, so control characters never reach the terminal.

use super::paint::{Paint, Tone};

/// Between two columns.
const GAP: usize = 2;
/// A column is not cut below this.
const NARROWEST: usize = 8;

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// In a tone.
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: clean(&text.into()), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// A line of the table.
#[derive(Debug, Clone)]
enum Row {
    /// A field per column.
    Cells(Vec<Cell>),
    /// The first column, and something about all the others.
    Note(Cell, Cell),
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    rows: Vec<Row>,
    /// The widest field of each column so far, the head's included.
    widths: Vec<usize>,
}

impl Table {
    /// An empty one; `firsts` is what may come to stand in its first column.
    pub(super) fn new<'a>(head: &[&str], firsts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self { rows: Vec::new(), widths: vec![0; head.len()] };
        table.row(head.iter().map(|text| Cell::toned(*text, Tone::Faint)).collect());
        let first = firsts.into_iter().map(|text| text.chars().count()).max();
        if let (Some(width), Some(first)) = (table.widths.first_mut(), first) {
            *width = (*width).max(first);
        }
        table
    }

    /// Adds a line.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.widen(&cells);
        self.rows.push(Row::Cells(cells));
    }

    /// Adds a line whose first field is followed by a text that belongs to no column.
    pub(super) fn note(&mut self, first: Cell, text: Cell) {
        self.widen(std::slice::from_ref(&first));
        self.rows.push(Row::Note(first, text));
    }

    fn widen(&mut self, cells: &[Cell]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.text.chars().count());
        }
    }

    /// Writes down what has been added since it was last written down.
    pub(super) fn render(&mut self, paint: Paint) -> String {
        let widths = self.fitting(paint.width);
        let mut out = String::new();
        for row in self.rows.drain(..) {
            match row {
                Row::Cells(cells) => line(&cells, &widths, paint, &mut out),
                Row::Note(first, text) => {
                    let own = widths.first().copied().unwrap_or(0);
                    let rest = paint
                        .width
                        .map_or(usize::MAX, |width| width.saturating_sub(own + GAP).max(NARROWEST));
                    line(&[first, text], &[own, rest], paint, &mut out);
                }
            }
        }
        out
    }

    /// The columns' widths on something so wide.
    fn fitting(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths = self.widths.clone();
        let Some(width) = width else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > width {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

fn line(cells: &[Cell], widths: &[usize], paint: Paint, out: &mut String) {
    let last = cells.len().min(widths.len()).saturating_sub(1);
    let mut text = String::new();
    for (n, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let shown = cut(&cell.text, *width);
        let padding = if n == last { 0 } else { width.saturating_sub(shown.chars().count()) + GAP };
        text.push_str(&paint.tone(&shown, cell.tone));
        text.push_str(&" ".repeat(padding));
    }
    out.push_str(text.trim_end_matches(' '));
    out.push('\n');
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut shown: String = text.chars().take(width.saturating_sub(1)).collect();
    shown.push('…');
    shown
}

/// A text without what would move a terminal's cursor, or make one line look like another.
pub(super) fn clean(text: &str) -> String {
    let is_direction = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || is_direction(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Paint = Paint { colour: false, width: None };

    fn table() -> Table {
        let mut table = Table::new(&["MACHINE", "STATE", "WHY"], []);
        table.row(vec![
            "w1".into(),
            Cell::toned("ready", Tone::Good),
            "because it is so, and has been for long".into(),
        ]);
        table.note("w2".into(), Cell::toned("no answer", Tone::Bad));
        table
    }

    #[test]
    fn a_pipe_gets_whole_lines_without_colour() {
        assert_eq!(
            table().render(PIPE),
            "MACHINE  STATE  WHY\nw1       ready  because it is so, and has been for long\nw2       no answer\n"
        );
    }

    #[test]
    fn rows_that_come_later_stand_below_the_same_head_in_the_same_columns() {
        let mut table = Table::new(&["MACHINE", "STATE", "WHY"], ["w1", "controlplane1"]);
        table.row(vec!["w1".into(), "degraded".into(), "a".into()]);
        let first = table.render(PIPE);
        table.note("w2".into(), "no answer".into());
        table.row(vec!["controlplane1".into(), "up".into(), "b".into()]);
        assert_eq!(
            first + &table.render(PIPE),
            "MACHINE        STATE     WHY\n\
             w1             degraded  a\n\
             w2             no answer\n\
             controlplane1  up        b\n"
        );
    }

    #[test]
    fn a_table_fits_into_its_terminal() {
        let text = table().render(Paint { width: Some(30), ..PIPE });
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(text.contains('…'));
    }

    #[test]
    fn colour_takes_no_room() {
        let text = table().render(Paint { colour: true, width: None });
        assert!(text.contains("\x1b[32mready\x1b[0m  because"), "{text:?}");
    }

    #[test]
    fn what_a_machine_says_does_not_move_the_cursor() {
        let mut table = Table::new(&["A"], []);
        table.row(vec!["\x1b[2Jgone".into()]);
        assert!(!table.render(PIPE).contains('\x1b'));
        assert_eq!(clean("a\u{202e}b\u{2066}c\nd\u{9b}e"), "a b c d e");
    }
}
