//! Rows that a segment does not hold yet are appended to it.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use streamkit_client::Error;

use super::rows::Row;
use super::standing::{SEGMENTS_AT_ONCE, Standing, Standings, Target};
use super::window::Window;
use crate::failure::Failure;
use crate::input::records;

/// Times the rows of a segment are tried when others append to it too.
const ATTEMPTS: u32 = 10;

/// Stores rows of many segments at a time; returns how many were new. Each segment keeps the order of its rows.
pub(super) async fn by_segment(
    target: &Target,
    standings: &mut Standings,
    segments: HashMap<String, Vec<Row>>,
    shown: &impl Fn(usize),
) -> Result<u64, Failure> {
    let work = segments.into_iter().map(|(segment, rows)| {
        let (target, standing) = (target.clone(), standings.get(&segment));
        async move {
            let task = tokio::spawn(async move {
                let (standing, stored) = append(&target, &segment, standing, &rows, &rows).await?;
                Ok::<_, Failure>((segment, standing, stored, rows.len()))
            });
            task.await.map_err(|error| Failure::new(error.to_string()))?
        }
    });
    let mut done = stream::iter(work.collect::<Vec<_>>()).buffer_unordered(SEGMENTS_AT_ONCE);
    let mut new = 0;
    while let Some((segment, standing, stored, rows)) = done.try_next().await? {
        standings.set(segment, standing);
        new += stored;
        shown(rows);
    }
    Ok(new)
}

/// Stores rows one run after the other, each when those before it are durable; returns how many were new.
pub(super) async fn in_order(
    target: &Target,
    standings: &mut Standings,
    window: &Window,
    shown: &impl Fn(usize),
) -> Result<u64, Failure> {
    let mut new = 0;
    for (segment, rows) in window.runs() {
        let all = &window.segments[segment];
        let (standing, stored) = append(target, segment, standings.get(segment), rows, all).await?;
        standings.set(segment.to_owned(), standing);
        new += stored;
        shown(rows.len());
    }
    Ok(new)
}

/// Appends the rows that the segment does not hold yet. Where somebody else was first (the server may still be committing
/// what an import that was just killed had sent) it looks again what is there, which must be among `all` rows of the window.
async fn append(
    target: &Target,
    segment: &str,
    mut standing: Standing,
    rows: &[Row],
    all: &[Row],
) -> Result<(Standing, u64), Failure> {
    let path = (target.space.as_str(), segment);
    let last_row = rows.last().map_or(0, |row| row.number);
    let mut attempts = 1;
    loop {
        let new = standing.new_rows(rows);
        let records = new.iter().map(|row| &row.record);
        match records::append(&target.store, path, standing.head + 1, records).await {
            Ok(()) => {
                let count = new.len() as u64;
                standing.advance(count, last_row);
                return Ok((standing, count));
            }
            Err(Error::Conflict { .. }) if attempts < ATTEMPTS => {
                attempts += 1;
                standing = target.look_again(segment, standing, all).await?;
            }
            Err(error) => {
                let conflict = matches!(error, Error::Conflict { .. });
                let failure = Failure::from(error).during(format!("{}/{segment}", target.space));
                let next = "what was acknowledged is stored, rerun to go on";
                return Err(if conflict {
                    failure.hint(format!("others append to it all the time; {next}"))
                } else {
                    failure.hint(next)
                });
            }
        }
    }
}
