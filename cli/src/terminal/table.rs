//! Rows of a table, aligned as a terminal shows them.

use unicode_width::UnicodeWidthStr as _;

/// Columns of a terminal that a cell is filled up to at most: a longer one moves its own row alone.
const FILLED_MAX: usize = 48;

/// The lines of a table: the first column to the left, the others to the right.
pub(crate) fn lines<'a>(rows: impl Iterator<Item = &'a [String]> + Clone) -> impl Iterator<Item = String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows.clone() {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width().min(FILLED_MAX));
        }
    }
    rows.map(move |row| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let fill = " ".repeat(width.saturating_sub(cell.width()));
            match column {
                0 => line.extend([cell, fill.as_str()]),
                _ => line.extend(["  ", &fill, cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 2]]) -> Vec<String> {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        lines(rows.iter().map(Vec::as_slice)).collect()
    }

    #[test]
    fn columns_stand_under_each_other_as_a_terminal_shows_them() {
        let lines = table(&[["segment", "last"], ["日本語", "1"], ["cafe\u{301}", "20"], ["", ""]]);
        assert_eq!(lines, ["segment  last", "日本語      1", "cafe\u{301}       20", ""]);
    }

    #[test]
    fn a_long_name_moves_its_own_row_alone() {
        let long = "n".repeat(150);
        let lines = table(&[[&long, "1"], ["short", "2"]]);
        assert_eq!(
            lines,
            [format!("{long}  1"), format!("short{}  2", " ".repeat(FILLED_MAX - 5))]
        );
    }
}
