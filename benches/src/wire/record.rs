//! The recorded runs, and what the document quotes of them.

use serde_json::Value;

use super::{cells, rows};
use crate::Outcome;
use crate::runs::Runs;

/// The recorded runs.
pub const RUNS: Runs = Runs("wire");

/// The document with what is quoted of them.
///
/// # Errors
/// As [`Runs::rendered`].
pub fn rendered() -> Outcome<String> {
    RUNS.rendered(render)
}

/// The newest row of each work in Markdown; none of runs that were scaled down.
pub fn render(runs: &[Value]) -> String {
    let mut newest: Vec<Value> = Vec::new();
    for row in runs.iter().filter(|run| run["quick"] != true).flat_map(rows) {
        match newest.iter_mut().find(|known| known["work"] == row["work"]) {
            Some(known) => *known = row,
            None => newest.push(row),
        }
    }
    if newest.is_empty() {
        return "No results are recorded yet.\n".into();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut cells = cells(&newest);
    cells[0].push("measured".into());
    for (cells, row) in cells[1..].iter_mut().zip(&newest) {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        cells.push(format!(
            "{} at {}",
            text("date").get(..10).unwrap_or_default(),
            text("commit")
        ));
    }
    let mut out = line(&cells[0]) + &line(&vec!["---".to_owned(); cells[0].len()]);
    out.extend(cells[1..].iter().map(|row| line(row)));
    out
}
