//! The recorded runs, and what the document quotes from the newest.

use serde_json::Value;

use super::table::{cells, sentences};
use crate::runs::Runs;
use crate::{Outcome, servers};

/// The recorded runs.
pub const RUNS: Runs = Runs("peers");

/// The document with what is quoted of them.
///
/// # Errors
/// As [`Runs::rendered`].
pub fn rendered() -> Outcome<String> {
    RUNS.rendered(render)
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
