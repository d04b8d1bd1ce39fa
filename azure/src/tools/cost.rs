//! What a store costs a month, at the rate at which it is written now.

use std::sync::Arc;

use streamkit_engine::{StoreId, Timestamp};

use super::patience::patiently;
use super::recent::{recent, root};
use super::report::LogUnread;
use super::standing::blobs;
use crate::account::Account;
use crate::log::Settings;
use crate::medium::Medium as _;
use crate::medium::azure::AzureMedium;

/// Hours of a month.
const MONTH_HOURS: f64 = 730.0;
/// Bytes of the gigabyte that is billed.
const GB: f64 = 1_073_741_824.0;
/// Bytes that one call on a blob moves.
const PIECE: f64 = 4_194_304.0;
/// Bytes of a sealed file of the copies.
const ARCHIVED_EXTENT: f64 = 16_777_216.0;
/// Rows that one call deletes or lists.
const ROWS_DELETED: f64 = 100.0;
/// Bytes of rows that one call reads.
const PAGE: f64 = 1_048_576.0;

/// Prices of an account, in one currency. The defaults are the list prices in US dollars of a general purpose v2 account with LRS in East US, of the
/// hot tier, as they stood in 2025. They differ by region, redundancy and contract, and change: look at
/// <https://azure.microsoft.com/pricing/details/storage/>.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Prices {
    /// A GB of rows for a month.
    pub table_gb: f64,
    /// 10 000 calls on a table; a transaction is one.
    pub table_calls: f64,
    /// A GB of blobs for a month.
    pub blob_gb: f64,
    /// 10 000 writes of blobs, each of at most 4 MiB; a list is one.
    pub blob_writes: f64,
    /// 10 000 reads of blobs.
    pub blob_reads: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            table_gb: 0.045,
            table_calls: 0.000_36,
            blob_gb: 0.0184,
            blob_writes: 0.05,
            blob_reads: 0.004,
        }
    }
}

/// How much a store was written of late, and what it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct CostSample {
    /// Groups that were looked at.
    pub groups: u64,
    /// Their bytes, those of bodies in blobs, too.
    pub bytes: u64,
    /// Bodies in blobs among them.
    pub bodies: u64,
    /// Bytes of these.
    pub body_bytes: u64,
    /// The commit time of the first of them.
    pub from: Timestamp,
    /// The service's time, so that a store at rest is seen to rest.
    pub to: Timestamp,
    /// Bytes of rows.
    pub table_bytes: u64,
    /// Bytes of blobs.
    pub blob_bytes: u64,
}

/// What is assumed of the hosts, since the log does not say it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Workload {
    /// Hosts that read the tail.
    pub hosts: u32,
    /// Checkpoints an hour while there are new groups.
    pub checkpoints: f64,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            hosts: 3,
            checkpoints: 12.0,
            checkpoint_bytes: 1 << 20,
        }
    }
}

/// One line of an estimate.
#[derive(Clone, PartialEq, Debug)]
pub struct CostItem {
    /// What is paid for.
    pub what: &'static str,
    /// How much of it a month.
    pub quantity: f64,
    /// What a quantity is counted in.
    pub unit: &'static str,
    /// What it costs a month.
    pub cost: f64,
}

/// What a store costs a month.
#[derive(Clone, PartialEq, Debug)]
pub struct CostEstimate {
    /// Groups a second.
    pub groups: f64,
    /// Bytes a second.
    pub bytes: f64,
    /// What is paid for.
    pub items: Vec<CostItem>,
    /// All of it together.
    pub total: f64,
    /// What each further month adds to each month's costs, while nothing is removed.
    pub growth: f64,
}

/// Looks at the last groups of a store, at most so many, and at what it holds.
///
/// # Errors
/// [`LogUnread`].
pub async fn sample(account: &Arc<Account>, store: StoreId, most: usize) -> Result<CostSample, LogUnread> {
    let medium = AzureMedium::new(Arc::clone(account), store);
    let root = root(&medium).await?;
    let recent = recent(&medium, &root).await?;
    let now = patiently(|| medium.service_time()).await?;
    let groups = &recent.groups[recent.groups.len().saturating_sub(most)..];
    let counts = blobs(account, &medium).await?;
    Ok(CostSample {
        groups: groups.len() as u64,
        bytes: groups.iter().map(|group| group.bytes).sum(),
        bodies: groups.iter().filter(|group| group.blob.is_some()).count() as u64,
        body_bytes: groups.iter().filter_map(|group| group.blob).sum(),
        from: groups.first().map_or(now, |group| group.time),
        to: now,
        table_bytes: recent.bytes,
        blob_bytes: counts.iter().map(|count| count.bytes).sum(),
    })
}

/// What that costs. Reads of the history by clients are not in it, nor is traffic out of the region.
pub fn estimate(sample: &CostSample, workload: &Workload, prices: &Prices) -> CostEstimate {
    let millis = sample.to.0.saturating_sub(sample.from.0).max(1000);
    let seconds = millis as f64 / 1000.0;
    let (groups, bytes) = (sample.groups as f64 / seconds, sample.bytes as f64 / seconds);
    let month = MONTH_HOURS * 3600.0;
    let (month_groups, month_bytes) = (groups * month, bytes * month);
    let (bodies, body_bytes) = (
        sample.bodies as f64 / seconds * month,
        sample.body_bytes as f64 / seconds * month,
    );
    let row_bytes = (month_bytes - body_bytes).max(0.0);
    let settings = Settings::default();
    let extents = (month_groups / settings.extent_slots as f64).max(row_bytes / settings.extent_bytes as f64);
    let is_written = if sample.groups == 0 { 0.0 } else { 1.0 };
    // No more often than there is a group.
    let checkpoints = (workload.checkpoints * MONTH_HOURS).min(month_groups) * is_written;
    let checkpoint_writes = (workload.checkpoint_bytes as f64 / PIECE).ceil();
    let pages = (row_bytes / PAGE).max(month_groups / 1000.0);
    let of = |what, quantity: f64, unit, price: f64, per: f64| CostItem {
        what,
        quantity,
        unit,
        cost: quantity / per * price,
    };
    let calls = |what, quantity, price| of(what, quantity, "calls", price, 10_000.0);
    // As history, and as sealed files of the copies.
    let grown = 2.0 * month_bytes / GB;
    let archived = month_bytes / ARCHIVED_EXTENT;
    let items = vec![
        calls("commits", month_groups, prices.table_calls),
        calls(
            "reads of the tail by other hosts",
            month_groups * f64::from(workload.hosts.saturating_sub(1)),
            prices.table_calls,
        ),
        // To copy them, to list their keys, to delete them, and the root and header of each.
        calls(
            "moves to the history, table",
            pages + month_groups / ROWS_DELETED * 2.0 + extents * 4.0,
            prices.table_calls,
        ),
        calls(
            "moves to the history, written blobs",
            row_bytes / PIECE + extents * 2.0,
            prices.blob_writes,
        ),
        calls(
            "moves to the history, read back",
            row_bytes / PIECE + extents,
            prices.blob_reads,
        ),
        // Each file, its index, and the list of its pieces.
        calls(
            "archive of the copies, written blobs",
            month_bytes / PIECE + archived * 2.0,
            prices.blob_writes,
        ),
        calls(
            "archive of the copies, read back",
            month_bytes / PIECE + archived,
            prices.blob_reads,
        ),
        calls(
            "large groups, written blobs",
            body_bytes / PIECE + bodies,
            prices.blob_writes,
        ),
        calls(
            "checkpoints, written blobs",
            checkpoints * checkpoint_writes,
            prices.blob_writes,
        ),
        of("rows, now", sample.table_bytes as f64 / GB, "GB", prices.table_gb, 1.0),
        of("blobs, now", sample.blob_bytes as f64 / GB, "GB", prices.blob_gb, 1.0),
        of(
            "blobs, half of what the month adds",
            grown / 2.0,
            "GB",
            prices.blob_gb,
            1.0,
        ),
    ];
    CostEstimate {
        groups,
        bytes,
        total: items.iter().map(|item| item.cost).sum(),
        items,
        growth: grown * prices.blob_gb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(groups: u64, bytes: u64, seconds: i64) -> CostSample {
        CostSample {
            groups,
            bytes,
            bodies: 0,
            body_bytes: 0,
            from: Timestamp(1_000),
            to: Timestamp(1_000 + seconds * 1000),
            table_bytes: 0,
            blob_bytes: 0,
        }
    }

    fn item(estimate: &CostEstimate, what: &str) -> CostItem {
        estimate.items.iter().find(|item| item.what == what).unwrap().clone()
    }

    #[test]
    fn ten_groups_a_second_cost_what_the_list_says() {
        let sample = sampled(1000, 1_000_000, 100);
        let found = estimate(&sample, &Workload::default(), &Prices::default());
        assert_eq!((found.groups, found.bytes), (10.0, 10_000.0));
        // 10 a second are 26.28 million a month; 10 000 of them cost 0.00036.
        let commits = item(&found, "commits");
        assert_eq!(commits.quantity, 26_280_000.0);
        assert!((commits.cost - 0.946_08).abs() < 1e-9, "{commits:?}");
        assert!((found.total - found.items.iter().map(|item| item.cost).sum::<f64>()).abs() < 1e-9);
        // 24.5 GB a month, twice.
        assert!((found.growth - 2.0 * 26_280_000_000.0 / GB * 0.0184).abs() < 1e-9);
    }

    #[test]
    fn a_store_at_rest_costs_what_it_holds() {
        let mut sample = sampled(0, 0, 0);
        sample.blob_bytes = 100 << 30;
        let found = estimate(&sample, &Workload::default(), &Prices::default());
        assert!((found.total - 1.84).abs() < 1e-9, "{found:?}");
        assert_eq!(found.growth, 0.0);
    }

    #[test]
    fn large_groups_and_fewer_hosts_change_what_they_should() {
        let mut sample = sampled(10, 100 << 20, 1000);
        (sample.bodies, sample.body_bytes) = (10, 100 << 20);
        let alone = Workload {
            hosts: 1,
            ..Workload::default()
        };
        let found = estimate(&sample, &alone, &Prices::default());
        assert_eq!(item(&found, "reads of the tail by other hosts").cost, 0.0);
        assert_eq!(
            item(&found, "moves to the history, read back").quantity.round(),
            0.0 + (26_280f64 / 50_000.0).round()
        );
        // 25 pieces of 4 MiB and ten commits of their lists, in 1000 s.
        let large = item(&found, "large groups, written blobs");
        assert!((large.quantity - 35.0 * 2628.0).abs() < 1e-6, "{large:?}");
    }
}
