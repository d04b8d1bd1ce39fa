//! The recorded runs, benches/results/wire.jsonl, one JSON object a line, and what the document quotes of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{cells, rows};
use crate::Outcome;
use crate::history::{document, put_between};

/// Between these lines the document holds what is made from the runs.
const MARKS: (&str, &str) = ("<!-- made by `wire --render` -->", "<!-- end -->");

/// The file of the runs.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/wire.jsonl")
}

/// Appends a run.
///
/// # Errors
/// Of the file system.
pub fn append(run: &Value) -> Outcome {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file())?;
    writeln!(file, "{run}")?;
    Ok(file.sync_all()?)
}

/// The document with the newest row of each work put in its place.
///
/// # Errors
/// If there is no document, no place in it, or a line of the file is no JSON.
pub fn rendered() -> Outcome<String> {
    let lines = std::fs::read_to_string(file()).unwrap_or_default();
    let runs = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    put_between(&std::fs::read_to_string(document())?, MARKS, &render(&runs))
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
