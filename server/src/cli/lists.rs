//! `spaces`, `segments` and `status`: what a store holds.

use std::io::{BufWriter, Write as _};

use serde_json::json;

use super::connect::{Connect, space_or_path};
use super::failure::Failure;
use super::output::{json_lines, line, table, time};

#[derive(clap::Args)]
pub(crate) struct Spaces {
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Spaces {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let spaces = self.connect.open().spaces().await?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        for space in spaces {
            if json_lines(self.json) {
                line(&mut out, &json!({ "space": space }))?;
            } else {
                writeln!(out, "{space}")?;
            }
        }
        Ok(out.flush()?)
    }
}

#[derive(clap::Args)]
pub(crate) struct Segments {
    /// The space
    space: String,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Segments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let segments = self.connect.open().segment_statuses(&self.space, "", 0).await?;
        if json_lines(self.json) {
            let mut out = BufWriter::new(std::io::stdout().lock());
            for s in segments {
                line(
                    &mut out,
                    &json!({
                        "segment": s.segment,
                        "first_sequence": s.first_sequence,
                        "last_sequence": s.last_sequence,
                        "first_timestamp": s.first_timestamp,
                        "last_timestamp": s.last_timestamp,
                    }),
                )?;
            }
            return Ok(out.flush()?);
        }
        let rows: Vec<Vec<String>> = segments
            .into_iter()
            .map(|s| {
                vec![
                    s.segment,
                    s.first_sequence.to_string(),
                    s.last_sequence.to_string(),
                    time(s.last_timestamp),
                ]
            })
            .collect();
        Ok(table(&["segment", "first", "last", "last committed"], &rows)?)
    }
}

#[derive(clap::Args)]
pub(crate) struct Status {
    /// SPACE or SPACE/SEGMENT; without it, the whole store
    #[arg(default_value = "")]
    target: String,
    /// Print a JSON line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = space_or_path(&self.target);
        let status = self.connect.open().status(space, segment.unwrap_or_default()).await?;
        if json_lines(self.json) {
            return Ok(line(&mut std::io::stdout().lock(), &status)?);
        }
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            row("spaces", status.space_count.to_string()),
            row("segments", status.segment_count.to_string()),
            row("entries", status.entry_count.to_string()),
        ];
        if segment.is_some() {
            rows.push(row("first sequence", status.first_sequence.to_string()));
            rows.push(row("last sequence", status.last_sequence.to_string()));
        }
        if status.last_timestamp > 0 {
            rows.push(row("last committed", time(status.last_timestamp)));
        }
        let what = if self.target.is_empty() { "store" } else { &self.target };
        Ok(table(&[what, ""], &rows)?)
    }
}
