//! Recorded runs of a program that measures servers: a file of one JSON object a line, and what the document quotes of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Outcome;
use crate::history::{document, put_between};

/// The runs of the program of this name: benches/results/NAME.jsonl, quoted between its marks in the document.
pub struct Runs(pub &'static str);

impl Runs {
    fn file(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("results/{}.jsonl", self.0))
    }

    /// Appends a run.
    ///
    /// # Errors
    /// Of the file system.
    pub fn append(&self, run: &Value) -> Outcome {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file())?;
        writeln!(file, "{run}")?;
        Ok(file.sync_all()?)
    }

    /// The document with what `render` makes of the runs put in its place.
    ///
    /// # Errors
    /// If there is no document, no place in it, or a line of the file is no JSON.
    pub fn rendered(&self, render: impl FnOnce(&[Value]) -> String) -> Outcome<String> {
        let lines = std::fs::read_to_string(self.file()).unwrap_or_default();
        let runs = lines
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<Value>, _>>()?;
        let begins = format!("<!-- made by `{} --render` -->", self.0);
        let marks = (begins.as_str(), "<!-- end -->");
        put_between(&std::fs::read_to_string(document())?, marks, &render(&runs))
    }
}
