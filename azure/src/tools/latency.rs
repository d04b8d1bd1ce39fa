//! How long an account takes for what a log asks of it, by size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use streamkit_engine::StoreId;
use uuid::Uuid;

use super::patience::patiently;
use crate::account::Account;
use crate::medium::azure::AzureMedium;
use crate::medium::{
    BlobKind, BlobName, Created, ExtentId, Inserted, Medium as _, Put, SlotBefore, SlotNumber, Swapped, Unanswered,
};

/// Sizes of groups: up to one row, then up to what one transaction takes.
const SLOTS: [usize; 7] = [
    1 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    900 << 10,
    1800 << 10,
    2900 << 10,
];
/// Sizes of blobs: one call, and several.
const BLOBS: [usize; 4] = [64 << 10, 1 << 20, 4 << 20, 16 << 20];
/// Failed calls behind which a trial of one kind ends.
const FAILURES_MAX: u64 = 5;

/// What is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trial {
    /// Calls of each kind and size. At least one.
    pub calls: u32,
    /// Largest size.
    pub bytes_max: usize,
}

/// How long one kind of call took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LatencyRow {
    /// Which.
    pub operation: &'static str,
    /// Bytes that it moves.
    pub bytes: usize,
    /// Calls that were answered as they should be.
    pub calls: u64,
    /// Calls that were not: no answer, throttled, refused.
    pub failed: u64,
    /// What the last of these said.
    pub why: Option<String>,
    /// Half of the calls took at most so long.
    pub p50: Duration,
    /// 99 of 100 did.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// Tries calls of each kind, one after the other, in a store of its own, which it removes again. `told` hears of each kind once it is done.
///
/// # Errors
/// [`Unanswered`] if there is no extent or root to try it with.
///
/// # Cancel safety
/// Dropped before the end, it leaves what it made.
pub async fn measure(
    account: &Arc<Account>,
    trial: &Trial,
    told: &mut (dyn FnMut(&LatencyRow) + Send),
) -> Result<Vec<LatencyRow>, Unanswered> {
    let medium = AzureMedium::new(Arc::clone(account), StoreId(Uuid::new_v4()));
    let mut measuring = Measuring {
        medium: &medium,
        trial,
        told,
        rows: Vec::new(),
        extents: Vec::new(),
        blobs: Vec::new(),
    };
    let done = measuring.all().await;
    let Measuring {
        rows, extents, blobs, ..
    } = measuring;
    let mut removed = Ok(());
    for extent in extents {
        removed = removed.and(patiently(|| medium.retire_extent(extent)).await);
        removed = removed.and(patiently(|| medium.forget_tombstone(extent)).await);
    }
    for blob in blobs {
        removed = removed.and(patiently(|| medium.delete_blob(blob)).await);
    }
    removed = removed.and(patiently(|| medium.forget_root()).await);
    done.and(removed).map(|()| rows)
}

struct Measuring<'a> {
    medium: &'a AzureMedium,
    trial: &'a Trial,
    told: &'a mut (dyn FnMut(&LatencyRow) + Send),
    rows: Vec<LatencyRow>,
    extents: Vec<ExtentId>,
    blobs: Vec<BlobName>,
}

impl Measuring<'_> {
    async fn all(&mut self) -> Result<(), Unanswered> {
        let medium = self.medium;
        let sizes = |all: &[usize]| -> Vec<usize> {
            all.iter()
                .copied()
                .filter(|&size| size <= self.trial.bytes_max)
                .collect()
        };
        let (slots, blobs) = (sizes(&SLOTS), sizes(&BLOBS));
        self.roots().await?;
        for size in slots {
            let extent = ExtentId(Uuid::new_v4());
            self.extents.push(extent);
            let made = patiently(|| medium.create_extent(extent, Bytes::from_static(b"probe"))).await?;
            if made != Created::Done {
                return Err(Unanswered::Unknown("an extent of a fresh name is there".to_owned()));
            }
            let (mut slot, is_there) = (SlotNumber::ZERO, AtomicBool::new(true));
            let bytes = noise(size);
            let insert = || {
                slot = slot.next();
                let before = match is_there.swap(false, Ordering::Relaxed) {
                    true => SlotBefore::Known,
                    false => SlotBefore::Perhaps,
                };
                let (insert, is_there) = (medium.insert_at(extent, slot, bytes.clone(), before), &is_there);
                async move {
                    expect(insert.await? == Inserted::Done, "a slot of a fresh number is there")?;
                    is_there.store(true, Ordering::Relaxed);
                    Ok(())
                }
            };
            self.timed("group transaction", size, insert).await;
            let read = || {
                let (bytes, read) = (bytes.len(), medium.read_from(extent, SlotNumber::FIRST, 1));
                async move {
                    let rows = read.await?.rows;
                    let is_read = rows.first().is_some_and(|(_, found)| found.len() == bytes);
                    expect(is_read, "a slot is not as it was written")
                }
            };
            // A page of 16 rows at least comes with it.
            self.timed("read of the tail, from this size on", size, read).await;
        }
        for size in blobs {
            let bytes = noise(size);
            let mut names = Vec::new();
            let put = || {
                let name = BlobName {
                    kind: BlobKind::Body,
                    id: Uuid::new_v4(),
                };
                names.push(name);
                let put = medium.put_blob(name, bytes.clone());
                async move { expect(put.await? == Put::Done, "a blob of a fresh name is there") }
            };
            self.timed("put of a blob", size, put).await;
            self.blobs.extend(&names);
            let mut next = names.iter().copied().cycle();
            let get = || {
                let (bytes, name) = (bytes.len(), next.next());
                async move {
                    let Some(name) = name else { return Ok(()) };
                    let found = medium.get_blob(name).await?;
                    expect(
                        found.is_some_and(|found| found.len() == bytes),
                        "a blob is not as it was written",
                    )
                }
            };
            self.timed("get of a blob", size, get).await;
        }
        Ok(())
    }

    async fn roots(&mut self) -> Result<(), Unanswered> {
        let medium = self.medium;
        let bytes = noise(256);
        let first = medium.swap_root(None, bytes.clone()).await?;
        let Swapped::Done(mut version) = first else {
            return Err(Unanswered::Unknown("a root of a fresh name is there".to_owned()));
        };
        self.timed("read of the root", 256, || async move {
            expect(medium.read_root().await?.is_some(), "the root is not there")
        })
        .await;
        // One after the other, each from the version that the last one made.
        let mut times = Times::default();
        for _ in 0..self.trial.calls {
            let begun = Instant::now();
            let swapped = medium.swap_root(Some(version.clone()), bytes.clone()).await;
            let took = begun.elapsed();
            match swapped {
                Ok(Swapped::Done(next)) => {
                    version = next;
                    times.took.push(took);
                }
                Ok(Swapped::Lost) => times.fail("the root is of another version".to_owned()),
                Err(why) => {
                    times.fail(why.to_string());
                    // It may have been changed.
                    match medium.read_root().await {
                        Ok(Some(root)) => version = root.version,
                        _ => break,
                    }
                }
            }
            if times.failed >= FAILURES_MAX {
                break;
            }
        }
        self.row("change of the root", 256, times);
        Ok(())
    }

    /// Times calls of one kind.
    async fn timed<F>(&mut self, operation: &'static str, bytes: usize, mut call: impl FnMut() -> F)
    where
        F: Future<Output = Result<(), Unanswered>>,
    {
        let mut times = Times::default();
        for _ in 0..self.trial.calls {
            let begun = Instant::now();
            match call().await {
                Ok(()) => times.took.push(begun.elapsed()),
                Err(why) => times.fail(why.to_string()),
            }
            if times.failed >= FAILURES_MAX {
                break;
            }
        }
        self.row(operation, bytes, times);
    }

    fn row(&mut self, operation: &'static str, bytes: usize, mut times: Times) {
        times.took.sort_unstable();
        let row = LatencyRow {
            operation,
            bytes,
            calls: times.took.len() as u64,
            failed: times.failed,
            why: times.why,
            p50: percentile(&times.took, 50),
            p99: percentile(&times.took, 99),
            max: percentile(&times.took, 100),
        };
        (self.told)(&row);
        self.rows.push(row);
    }
}

#[derive(Default)]
struct Times {
    took: Vec<Duration>,
    failed: u64,
    why: Option<String>,
}

impl Times {
    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.why = Some(why);
    }
}

fn expect(is_so: bool, otherwise: &str) -> Result<(), Unanswered> {
    match is_so {
        true => Ok(()),
        false => Err(Unanswered::Unknown(otherwise.to_owned())),
    }
}

/// The least time that at least so many of a hundred sorted ones do not pass.
fn percentile(sorted: &[Duration], of_hundred: usize) -> Duration {
    let rank = (sorted.len() * of_hundred).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Bytes that no compression on the way makes fewer.
fn noise(size: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size as u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for (of_hundred, millis) in [(50, 50), (99, 99), (100, 100)] {
            assert_eq!(percentile(&times, of_hundred), Duration::from_millis(millis));
        }
        assert_eq!(percentile(&times[..3], 50), Duration::from_millis(2));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
