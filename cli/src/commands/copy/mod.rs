//! `copy`: the entries of a store into another one, at the same sequences. It can be run again: what is there is compared, and what is
//! missing is appended, so nothing is stored twice.

mod segment;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use segment::{Difference, Segment};
use streamkit_client::StoreClient;

use crate::arguments::space;
use crate::connect::ends::Ends;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines};
use crate::terminal::bar::Bar;

/// Segments copied at a time: each holds a few chunks of its entries.
const SEGMENTS_AT_ONCE: usize = 16;

/// Differences that the message names; all are in the result.
const NAMED_MAX: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Copy {
    /// The spaces; without any, all of the store
    #[arg(value_name = "SPACE", value_parser = space)]
    spaces: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ends: Ends,
}

/// How far it is, in entries that are known to be in the target.
struct Progress<'a> {
    bar: &'a Bar,
    all: u64,
    there: AtomicU64,
    begun: Instant,
}

impl Progress<'_> {
    fn add(&self, entries: u64) {
        let there = self.there.fetch_add(entries, Ordering::Relaxed) + entries;
        self.bar.stored((0, self.all), there, self.all);
        let rate = there as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        self.bar.say(format!("{there} of {} entries, {rate:.0}/s", self.all));
    }
}

impl Copy {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (from, to) = self.ends.open().await?;
        let begun = Instant::now();
        let done = self.copied(from.store(), to.store(), begun).await;
        from.close().await;
        to.close().await;
        let done = done?;
        let seconds = begun.elapsed().as_secs_f64();
        Out::new().result("the copy is done", |out| {
            if json_lines(self.json) {
                return out.json(&serde_json::json!({
                    "spaces": done.spaces,
                    "segments": done.segments,
                    "entries": done.entries,
                    "copied": done.copied,
                    "verified": done.differences.is_empty(),
                    "differences": &done.differences,
                    "seconds": seconds,
                }));
            }
            out.text(format_args!(
                "{} in {}: {} copied now in {seconds:.2} s",
                counted(done.entries, "entry"),
                counted(done.segments as u64, "segment"),
                done.copied
            ))?;
            match done.differences.is_empty() {
                true => out.text("all of them are the same in both stores: payload, metadata and sequence"),
                false => Ok(()),
            }
        })?;
        match done.differences.is_empty() {
            true => Ok(()),
            false => Err(failed(&done.differences)),
        }
    }

    async fn copied(&self, from: &StoreClient, to: &StoreClient, begun: Instant) -> Result<Done, Failure> {
        let reading = |failure: streamkit_client::Error| Failure::from(failure).during("the source");
        let mut spaces = match self.spaces.is_empty() {
            true => from.spaces().await.map_err(reading)?,
            false => self.spaces.clone(),
        };
        // One that is named twice would be a second producer of its own segments.
        spaces.sort_unstable();
        spaces.dedup();
        let (mut segments, mut missing) = (Vec::new(), Vec::new());
        for space in &spaces {
            let listed = listed(from, to, space).await?;
            if listed.is_empty() {
                // Of a store as a whole, it went since the spaces were listed.
                missing.push(space.as_str());
            }
            segments.extend(listed);
        }
        if !missing.is_empty() && !self.spaces.is_empty() {
            let message = format!("there is no space {} in the source", missing.join(", "));
            return Err(Failure::new(message).hint("nothing was copied: name spaces that are there"));
        }
        let entries: u64 = segments.iter().map(Segment::entries).sum();
        let count = segments.len();
        let bar = Bar::new(entries);
        let progress = Progress {
            bar: &bar,
            all: entries,
            there: AtomicU64::new(0),
            begun,
        };
        let copies = segments.into_iter().map(|segment| {
            let progress = &progress;
            async move { segment.copy(from, to, &|entries| progress.add(entries)).await }
        });
        let copied = stream::iter(copies).buffer_unordered(SEGMENTS_AT_ONCE);
        let done = copied.try_fold((0, Vec::new()), async |(mut copied, mut differences), done| {
            copied += done.copied;
            differences.extend(done.difference);
            Ok((copied, differences))
        });
        let done = done.await;
        bar.clear();
        let (copied, mut differences) = done.map_err(|failure| {
            failure.hint("what was copied stays: run the same command again, it goes on and adds nothing twice")
        })?;
        differences.sort_by(|one, other| (&one.space, &one.segment).cmp(&(&other.space, &other.segment)));
        Ok(Done {
            spaces: spaces.len(),
            segments: count,
            entries,
            copied,
            differences,
        })
    }
}

/// What was done.
struct Done {
    spaces: usize,
    segments: usize,
    /// Of the source.
    entries: u64,
    /// Now.
    copied: u64,
    differences: Vec<Difference>,
}

/// The segments of a space of the source, and how far each is in the target.
async fn listed(from: &StoreClient, to: &StoreClient, space: &str) -> Result<Vec<Segment>, Failure> {
    let of_source = from.segment_statuses(space, "", 0).await;
    let of_source = of_source.map_err(|error| Failure::from(error).during("the source"))?;
    // Behind the source: what another copy may append meanwhile is in the source by then.
    let of_target = to.segment_statuses(space, "", 0).await;
    let of_target = of_target.map_err(|error| Failure::from(error).during("the target"))?;
    let ranges = of_target
        .into_iter()
        .map(|s| (s.segment, (s.first_sequence, s.last_sequence)));
    let ranges: HashMap<String, (u64, u64)> = ranges.collect();
    let segments = of_source.into_iter().map(|s| Segment {
        there: ranges.get(&s.segment).copied(),
        space: space.to_owned(),
        segment: s.segment,
        first: s.first_sequence.max(1),
        last: s.last_sequence,
    });
    Ok(segments.collect())
}

/// What cannot be copied, or is not the same.
fn failed(differences: &[Difference]) -> Failure {
    let named: Vec<String> = differences.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = match differences.len() - named.len() {
        0 => String::new(),
        more => format!("; and {} more, all in the result", counted(more as u64, "segment")),
    };
    let message = format!("{}{more}", named.join("; "));
    let next = "nothing there was changed: the other segments are copied; copy these into another store";
    match differences.iter().any(|difference| difference.is_conflict) {
        true => Failure::conflict(message).hint(next),
        false => Failure::new(message).hint(next),
    }
}
