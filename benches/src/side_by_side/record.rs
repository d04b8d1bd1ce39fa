//! The recorded runs, benches/results/peers.jsonl, one JSON object a line, and what the document quotes from the
//! newest.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::table::{cells, sentences};
use crate::history::{document, put_between};
use crate::{Outcome, servers};

/// Between these lines the document holds what is made from the newest run.
const MARKS: (&str, &str) = ("<!-- made by `peers --render` -->", "<!-- end -->");

/// The file of the runs.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/peers.jsonl")
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

/// The document with the newest run put in its place.
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

/// The newest run that was not scaled down, in Markdown.
pub fn render(runs: &[Value]) -> String {
    let Some(run) = runs.iter().rfind(|run| run["quick"] != true) else {
        return "No results are recorded yet.\n".into();
    };
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let cells = cells(run);
    let mut out = line(&cells[0]) + &line(&vec!["---".to_owned(); cells[0].len()]);
    out.extend(cells[1..].iter().map(|row| line(row)));
    out += "\nWho is ahead:\n\n";
    out.extend(sentences(run).iter().map(|sentence| format!("- {sentence}.\n")));
    out += "\nWhat an append and a read are:\n\n";
    out.extend(
        servers::kinds::KINDS
            .iter()
            .map(|kind| format!("- {}: {}.\n", kind.name, kind.calls)),
    );
    let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let machine = &run["machine"];
    out + &format!(
        "\nMeasured on {} at {}, {} rounds of {} s: {}, {} GiB; Linux {}; {} on {}.\n",
        text(run, "date").chars().take(10).collect::<String>(),
        text(run, "commit"),
        run["rounds"],
        run["seconds"],
        text(machine, "processor"),
        machine["memory_gib"],
        text(machine, "kernel"),
        text(machine, "file_system"),
        text(machine, "device")
    )
}
