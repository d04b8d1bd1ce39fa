//! `spaces`, `segments` and `status`: what a store holds.

use serde_json::json;

use crate::arguments::{name, space_or_path};
use crate::connect::Connect;
use crate::connect::{readiness, unknown};
use crate::failure::Failure;
use crate::output::{Out, json_lines, note, time};

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
        let spaces = self.connect.open().await?.spaces().await?;
        let mut out = Out::new();
        for space in spaces {
            if json_lines(self.json) {
                out.json(&json!({ "space": space }))?;
            } else {
                out.text(space)?;
            }
        }
        out.flush()
    }
}

#[derive(clap::Args)]
pub(crate) struct Segments {
    /// The space
    #[arg(value_parser = name)]
    space: String,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Segments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.connect.open().await?;
        let segments = store.segment_statuses(&self.space, "", 0).await?;
        if segments.is_empty() {
            unknown::tell(&store, &self.space, None).await?;
        }
        let mut out = Out::new();
        if json_lines(self.json) {
            for s in segments {
                out.json(&json!({
                    "segment": s.segment,
                    "first_sequence": s.first_sequence,
                    "last_sequence": s.last_sequence,
                    "first_timestamp": s.first_timestamp,
                    "last_timestamp": s.last_timestamp,
                }))?;
            }
            return out.flush();
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
        out.table(&["segment", "first", "last", "last committed"], &rows)?;
        out.flush()
    }
}

#[derive(clap::Args)]
pub(crate) struct Status {
    /// What to count; without it, the whole store
    #[arg(value_name = "SPACE[/SEGMENT]", value_parser = space_or_path)]
    target: Option<(String, Option<String>)>,
    /// Print a JSON line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// A status in its JSON form.
#[derive(serde::Serialize)]
struct StatusLine {
    #[serde(flatten)]
    status: streamkit_client::Status,
    /// `null` where the server does not say.
    commit_method: Option<String>,
    /// Of the server's clock behind the last commit of a store; not there where it is not, or the server does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_behind_seconds: Option<u64>,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = self.target.unwrap_or_default();
        let one_segment = segment.is_some();
        let segment = segment.unwrap_or_default();
        let server = self.connect.server().await?;
        let store = server.open();
        let (status, said) = tokio::join!(
            store.status(&space, &segment),
            readiness::said(&server.url, &server.tls)
        );
        let status = status?;
        if status.segment_count == 0 && !space.is_empty() {
            note(unknown::message(&space, one_segment.then_some(&segment)));
        }
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&StatusLine {
                status,
                commit_method: said.commit_method,
                clock_behind_seconds: said.clock_behind,
            })?;
            return out.flush();
        }
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            row("spaces", status.space_count.to_string()),
            row("segments", status.segment_count.to_string()),
            row("entries", status.entry_count.to_string()),
        ];
        if one_segment {
            rows.push(row("first sequence", status.first_sequence.to_string()));
            rows.push(row("last sequence", status.last_sequence.to_string()));
        }
        if status.last_timestamp > 0 {
            rows.push(row("last committed", time(status.last_timestamp)));
        }
        if let Some(method) = said.commit_method {
            rows.push(row("server commits with", method));
        }
        if let Some(seconds) = said.clock_behind {
            let by = humantime::format_duration(std::time::Duration::from_secs(seconds));
            rows.push(row("server's clock behind commits by", by.to_string()));
        }
        let what = match (space.as_str(), one_segment) {
            ("", _) => "store".to_owned(),
            (space, false) => space.to_owned(),
            (space, true) => format!("{space}/{segment}"),
        };
        out.table(&[&what, ""], &rows)?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_a_status_may_have_is_documented() {
        let status = StatusLine {
            status: Default::default(),
            commit_method: Some(String::new()),
            clock_behind_seconds: Some(1),
        };
        let status = serde_json::to_value(status).unwrap();
        let documented = include_str!("../../../docs/COMMANDS.md");
        let section = documented
            .split("\n## status\n")
            .nth(1)
            .unwrap()
            .split("\n## ")
            .next()
            .unwrap();
        for field in status.as_object().unwrap().keys() {
            assert!(section.contains(&format!("`{field}`")), "{field} is not documented");
        }
    }
}
