//! `trim` and `delete`: remove entries for good. Without --yes they only say what they would remove.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use streamkit_client::{Error, StoreClient};

use crate::arguments::{path, space_or_path};
use crate::called::called;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines};

#[derive(clap::Args)]
pub(crate) struct Trim {
    /// The segment
    #[arg(value_name = "SPACE/SEGMENT", value_parser = path)]
    target: (String, String),
    /// First sequence that stays; the last entry always does
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    before: u64,
    /// Remove them; without it, only say how many there are
    #[arg(long)]
    yes: bool,
    /// Print a JSON line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Trim {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        let store = self.connect.open().await?;
        let found = store.status(space, segment).await?;
        if found.segment_count == 0 {
            return Err(Failure::new(format!("there is no segment {space}/{segment}")));
        }
        if self.before > found.last_sequence {
            let head = found.last_sequence;
            return Err(Failure::arguments(format!(
                "{space}/{segment} ends at sequence {head}, and its last entry stays: --before {head} at most"
            )));
        }
        let entries = self.before.saturating_sub(found.first_sequence);
        if !self.yes {
            return Err(Failure::arguments(format!(
                "this would remove {} of {space}/{segment} for good, nothing was done; add --yes to do it",
                counted(entries, "entry")
            )));
        }
        let status = store.trim(space, segment, self.before).await?;
        Out::new().result("it is done", |out| {
            if json_lines(self.json) {
                out.json(&json!({
                    "space": space,
                    "segment": segment,
                    "removed": status.first_sequence.saturating_sub(found.first_sequence),
                    "first_sequence": status.first_sequence,
                    "last_sequence": status.last_sequence,
                }))?;
            } else {
                out.text(format_args!(
                    "{space}/{segment} begins at sequence {} now, and ends at {}",
                    status.first_sequence, status.last_sequence
                ))?;
            }
            Ok(())
        })
    }
}

#[derive(clap::Args)]
pub(crate) struct Delete {
    /// One segment, or all of a space
    #[arg(value_name = "SPACE[/SEGMENT]", value_parser = space_or_path)]
    target: (String, Option<String>),
    /// Remove them; without it, only say how many there are
    #[arg(long)]
    yes: bool,
    /// Print a JSON line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        let store = self.connect.open().await?;
        let found = store.status(space, segment.as_deref().unwrap_or_default()).await?;
        let what = match segment {
            Some(segment) => format!("the segment {space}/{segment}"),
            None => format!("the space {space}"),
        };
        if found.segment_count == 0 {
            return Err(Failure::new(format!("there is no {}", what.trim_start_matches("the "))));
        }
        if !self.yes {
            return Err(Failure::arguments(format!(
                "this would remove {what} with {} in {} for good, nothing was done; add --yes to do it",
                counted(found.entry_count, "entry"),
                counted(found.segment_count, "segment")
            )));
        }
        let segments = match segment {
            Some(segment) => {
                store.delete(space, segment).await?;
                1
            }
            None => delete_space(&store, space).await.map_err(|failure| {
                failure.hint(format_args!(
                    "segments may be left: run `{} delete {space} --yes` again",
                    called()
                ))
            })?,
        };
        Out::new().result("it is done", |out| {
            if json_lines(self.json) {
                out.json(
                    &json!({ "space": space, "segment": segment, "segments": segments, "entries": found.entry_count }),
                )?;
            } else {
                out.text(format_args!("removed {what}: {}", counted(segments, "segment")))?;
            }
            Ok(())
        })
    }
}

/// Segments deleted at a time: they share the syncs.
const DELETES_AT_ONCE: usize = 64;

/// Deletes all segments of a space; returns how many there were.
pub(crate) async fn delete_space(store: &StoreClient, space: &str) -> Result<u64, Failure> {
    let segments = store.segments(space).await?;
    let count = segments.len() as u64;
    let deletes = stream::iter(segments).map(Ok::<_, Error>);
    deletes
        .try_for_each_concurrent(DELETES_AT_ONCE, async |segment| store.delete(space, &segment).await)
        .await?;
    Ok(count)
}
