//! A space is read back, to see how fast.

use std::time::Instant;

use futures_util::TryStreamExt as _;
use streamkit_client::{ConsumeSpace, StoreClient};
use tokio_util::sync::CancellationToken;

use super::progress::spinner;
use crate::connect::unknown;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines};

/// Reads all of it, or until `stop`; what was measured by then is printed.
pub(super) async fn run(store: &StoreClient, space: &str, json: bool, stop: CancellationToken) -> Result<(), Failure> {
    let started = Instant::now();
    let mut entries = store.consume_space(ConsumeSpace::all(space));
    let (mut count, mut bytes) = (0_u64, 0_u64);
    let progress = spinner();
    let stopped = loop {
        let entry = tokio::select! {
            biased;
            // What was measured by then is printed all the same.
            entry = entries.try_next() => match entry {
                Ok(entry) => entry,
                Err(error) => break Err(error.into()),
            },
            () = stop.cancelled() => break Err(Failure::interrupted()),
        };
        let Some(entry) = entry else { break Ok(()) };
        count += 1;
        bytes += entry.payload.len() as u64;
        if count % 10_000 == 0 {
            let rate = count as f64 / started.elapsed().as_secs_f64();
            progress.set_message(format!("{count} entries, {rate:.0} entries/s"));
        }
    };
    progress.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    if count == 0 && stopped.is_ok() {
        unknown::tell(store, space, None).await?;
    }
    let rate = count as f64 / seconds;
    let mut out = Out::new();
    if json_lines(json) {
        out.json(&serde_json::json!({
            "read": space,
            "entries": count,
            "payload_bytes": bytes,
            "seconds": seconds,
            "entries_per_second": rate.round(),
        }))?;
    } else {
        out.text(format_args!(
            "{}, {:.1} MB of payload in {seconds:.2} s: {rate:.0} entries/s",
            counted(count, "entry"),
            bytes as f64 / 1e6
        ))?;
    }
    out.flush()?;
    stopped
}
