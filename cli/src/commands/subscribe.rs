//! `subscribe`: statuses of segments, as commits change them.

use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::json;
use streamkit_client::{SegmentStatus, Subscribe as Asked};
use tokio_util::sync::CancellationToken;

use crate::arguments::space_or_path;
use crate::connect::Connect;
use crate::connect::unknown;
use crate::failure::Failure;
use crate::output::{Out, json_lines, time};

#[derive(clap::Args)]
pub(crate) struct Subscribe {
    /// One segment, or all of a space
    #[arg(value_name = "SPACE[/SEGMENT]", value_parser = space_or_path)]
    target: (String, Option<String>),
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Subscribe {
    /// `stop` ends it, in good order: it has no other end but an error.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        // The statuses last no longer than their client.
        let store = self.connect.open().await?;
        let (space, segment) = self.target;
        let mut statuses = store.subscribe(match &segment {
            Some(segment) => Asked::segment(&space, segment),
            None => Asked::space(&space),
        });
        let mut out = Out::new();
        let works = async {
            unknown::tell(&store, &space, segment.as_deref()).await?;
            loop {
                let here = statuses.next().now_or_never();
                let told = match here {
                    Some(told) => told,
                    None => {
                        out.flush()?;
                        if out.is_gone() {
                            return Ok(());
                        }
                        statuses.next().await
                    }
                };
                let Some(status) = told.transpose()? else { return Ok(()) };
                print(&mut out, &status, self.json)?;
            }
        };
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            ended = works => ended,
        };
        // What went wrong first counts.
        let flushed = out.flush();
        ended.and(flushed)
    }
}

fn print(out: &mut Out, status: &SegmentStatus, as_json: bool) -> Result<(), Failure> {
    let SegmentStatus {
        space,
        segment,
        first_sequence,
        last_sequence,
        first_timestamp,
        last_timestamp,
        heartbeat: _,
    } = status;
    if json_lines(as_json) {
        return out.json(&json!({
            "space": space,
            "segment": segment,
            "first_sequence": first_sequence,
            "last_sequence": last_sequence,
            "first_timestamp": first_timestamp,
            "last_timestamp": last_timestamp,
        }));
    }
    out.text(format_args!(
        "{}  {space}/{segment}  {first_sequence} to {last_sequence}",
        time(*last_timestamp)
    ))
}
