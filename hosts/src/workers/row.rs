//! A host's row of the workers of a store: JSON, cut into cells.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use streamkit_azure::account::table::{BINARY_MAX, Cell, Cells};
use streamkit_engine::Timestamp;
use streamkit_server_core::HostedWorker;
use tokio::time::Instant;
use uuid::Uuid;

/// Most bytes of a row: the service takes 1 MiB with names and all.
pub(super) const BYTES_MAX: usize = 900 << 10;

#[derive(Serialize, Deserialize)]
struct Told {
    id: Uuid,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    last_seen: i64,
    coming: u64,
    /// Milliseconds since it came, when this was written.
    here_for: u64,
}

/// The cells that tell of these workers; of the last ones nothing, if they are too many for a row.
pub(super) fn cells(workers: &[HostedWorker]) -> Cells {
    let mut bytes = BytesMut::from(&b"["[..]);
    for worker in workers {
        let told = Told {
            id: worker.id,
            metadata: worker.metadata.clone(),
            last_seen: worker.last_seen.0,
            coming: worker.coming,
            here_for: u64::try_from(worker.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        // Of strings and numbers there is always JSON.
        let Ok(json) = serde_json::to_vec(&told) else { continue };
        if bytes.len() + json.len() + 2 > BYTES_MAX {
            tracing::warn!("other hosts are not told of all workers of a store: they say too much of themselves");
            break;
        }
        if bytes.len() > 1 {
            bytes.extend_from_slice(b",");
        }
        bytes.extend_from_slice(&json);
    }
    bytes.extend_from_slice(b"]");
    let bytes = bytes.freeze();
    let pieces = (0..bytes.len()).step_by(BINARY_MAX);
    let cells = pieces.map(|begin| bytes.slice(begin..bytes.len().min(begin + BINARY_MAX)));
    (0..).map(name).zip(cells.map(Cell::Binary)).collect()
}

/// The workers that a row tells of; `None` if it is none.
pub(super) fn read(cells: &Cells) -> Option<Vec<HostedWorker>> {
    let pieces = (0..).map_while(|number| cells.get(&name(number)));
    let mut bytes = BytesMut::new();
    for piece in pieces {
        match piece {
            Cell::Binary(piece) => bytes.extend_from_slice(piece),
            Cell::Number(_) => return None,
        }
    }
    let told: Vec<Told> = serde_json::from_slice(&Bytes::from(bytes)).ok()?;
    let now = Instant::now();
    let workers = told.into_iter().map(|told| HostedWorker {
        id: told.id,
        metadata: told.metadata,
        last_seen: Timestamp(told.last_seen),
        coming: told.coming,
        since: now.checked_sub(Duration::from_millis(told.here_for)).unwrap_or(now),
    });
    Some(workers.collect())
}

fn name(number: usize) -> String {
    format!("b{number:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: u128, bytes: usize) -> HostedWorker {
        HostedWorker {
            id: Uuid::from_u128(number),
            metadata: [("k".to_owned(), "\"".repeat(bytes))].into(),
            last_seen: Timestamp(-7),
            coming: u64::MAX,
            since: Instant::now(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_reads_as_it_was_written_and_what_is_none_is_left_out() {
        for workers in [vec![], vec![worker(1, 0)], (0..1000).map(|n| worker(n, 100)).collect()] {
            assert_eq!(read(&cells(&workers)), Some(workers));
        }
        // Whoever reads it later knows no better than that.
        let row = cells(&[worker(1, 0)]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(read(&row).unwrap()[0].since, Instant::now());
        let early = worker(1, 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(read(&cells(std::slice::from_ref(&early))), Some(vec![early]));
        let many: Vec<_> = (0..1000).map(|number| worker(number, 1000)).collect();
        let some = read(&cells(&many)).unwrap();
        assert!(
            many.starts_with(&some) && (400..1000).contains(&some.len()),
            "{}",
            some.len()
        );
        let mut bad = cells(&many);
        bad.remove(&name(1));
        assert_eq!(read(&bad), None);
        for cell in [Cell::Number(1), Cell::Binary(Bytes::from_static(b"[{\"id\":1}]"))] {
            assert_eq!(read(&[(name(0), cell)].into()), None);
        }
    }
}
