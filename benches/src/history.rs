//! The recorded results, benches/results/history.jsonl, one JSON object a line, and the table that the document quotes
//! from them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Outcome;
use crate::machine::{Machine, commit, date};
use crate::report::{cells, heads};

/// Between these lines a document holds what is made from the history.
const MARKS: (&str, &str) = ("<!-- made by `limits --render` -->", "<!-- end -->");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file of the history.
pub fn file() -> PathBuf {
    root().join("results/history.jsonl")
}

/// The document that quotes it.
pub fn document() -> PathBuf {
    root().join("../docs/PERFORMANCE.md")
}

/// Appends rows, each with when, on which commit and where it was measured.
///
/// # Errors
/// Of the file system.
pub fn append(rows: &[Value], machine: &Machine) -> Outcome {
    let (date, commit) = (date(), commit());
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file())?;
    for row in rows {
        let mut row = row.clone();
        row["date"] = date.clone().into();
        row["commit"] = commit.clone().into();
        row["machine"] = machine.to_json();
        writeln!(file, "{row}")?;
    }
    Ok(file.sync_all()?)
}

/// All rows, the oldest first.
///
/// # Errors
/// Of the file system; a line that is not JSON.
pub fn read() -> Outcome<Vec<Value>> {
    let text = std::fs::read_to_string(file())?;
    let lines = text.lines().zip(1..).map(|(line, number)| {
        serde_json::from_str(line).map_err(|error| format!("line {number} of the history: {error}").into())
    });
    lines.collect()
}

/// The newest row of each piece of work, as a Markdown table. Scaled down ones are left out: they are no results.
pub fn render(history: &[Value]) -> String {
    let mut newest: Vec<&Value> = Vec::new();
    for row in history.iter().filter(|row| row["bar"].is_string() && !is_quick(row)) {
        match newest
            .iter_mut()
            .find(|known| known["id"] == row["id"] && known["work"] == row["work"])
        {
            Some(known) => *known = row,
            None => newest.push(row),
        }
    }
    if newest.is_empty() {
        return "No results are recorded yet.\n".into();
    }
    newest.sort_by_key(|row| row["id"].as_str().and_then(|id| id[1..].parse::<u32>().ok()));
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut heads = heads();
    heads.extend(["date".into(), "commit".into()]);
    let mut out = line(&heads) + &line(&vec!["---".to_owned(); heads.len()]);
    for row in &newest {
        let mut cells = cells(row);
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        cells.extend([text("date").chars().take(10).collect(), text("commit")]);
        out += &line(&cells);
    }
    let mut machines: Vec<String> = Vec::new();
    for row in &newest {
        let text = |name: &str| row["machine"][name].as_str().unwrap_or_default();
        let machine = format!(
            "{}, {} GiB; Linux {}; {} on {}",
            text("processor"),
            row["machine"]["memory_gib"],
            text("kernel"),
            text("file_system"),
            text("device")
        );
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    format!("{out}\nMeasured on: {}.\n", machines.join("; and on "))
}

/// Whether a row was scaled down.
pub fn is_quick(row: &Value) -> bool {
    row["work"]
        .as_str()
        .is_some_and(|work| work.ends_with(crate::rows::QUICK))
}

/// A document with what is made from the history put in its place.
///
/// # Errors
/// If it has no such place.
pub fn put(document: &str, made: &str) -> Outcome<String> {
    put_between(document, MARKS, made)
}

/// A document with what was made put between two lines of it.
///
/// # Errors
/// If it has no such lines.
pub fn put_between(document: &str, marks: (&str, &str), made: &str) -> Outcome<String> {
    let parts = document
        .split_once(marks.0)
        .and_then(|(before, rest)| Some((before, rest.split_once(marks.1)?.1)));
    let (before, after) = parts.ok_or("the document has no place for the table")?;
    Ok(format!("{before}{}\n{made}{}{after}", marks.0, marks.1))
}
