//! What a load measured, as it is printed.

use std::path::Path;

use hdrhistogram::Histogram;

use super::floor;
use crate::failure::Failure;
use crate::output::{Out, counted};

/// What disk and network take by themselves, in microseconds.
pub(super) struct Floor {
    disk: Histogram<u64>,
    tcp: Histogram<u64>,
}

impl Floor {
    /// Measures the disk of a folder, and the loopback; it blocks.
    pub(super) fn measure(dir: &Path) -> Result<Self, Failure> {
        Ok(Self {
            disk: floor::disk(dir).map_err(|error| Failure::from(error).during(dir.display()))?,
            tcp: floor::loopback()?,
        })
    }
}

/// What was asked for, and what came of it.
pub(super) struct Figures<'a> {
    pub(super) writers: u64,
    /// Records of a call.
    pub(super) batch: u64,
    /// Bytes of a record.
    pub(super) size: u64,
    /// Microseconds of the calls that were answered.
    pub(super) latency: &'a Histogram<u64>,
    /// Calls that were not.
    pub(super) unanswered: u64,
    pub(super) seconds: f64,
    /// Before and after, if they were asked for.
    pub(super) floors: &'a [Floor],
    /// Whether all that was acknowledged was found again.
    pub(super) is_checked: bool,
}

impl Figures<'_> {
    /// Prints them, as JSON or for people.
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        let Self {
            latency,
            seconds,
            floors,
            ..
        } = *self;
        let rate = latency.len() as f64 / seconds;
        let q = |h: &Histogram<u64>, q| h.value_at_quantile(q);
        let mut out = Out::new();
        if json {
            let floors: Vec<_> = floors
                .iter()
                .map(|f| {
                    serde_json::json!({
                        "disk_p50_us": q(&f.disk, 0.5),
                        "disk_p99_us": q(&f.disk, 0.99),
                        "tcp_p50_us": q(&f.tcp, 0.5),
                        "tcp_p99_us": q(&f.tcp, 0.99),
                    })
                })
                .collect();
            out.json(&serde_json::json!({
                "writers": self.writers,
                "batch": self.batch,
                "size": self.size,
                "calls": latency.len(),
                "unanswered": self.unanswered,
                "seconds": seconds,
                "calls_per_second": rate.round(),
                "records_per_second": (rate * self.batch as f64).round(),
                "latency_us": {
                    "p50": q(latency, 0.5),
                    "p99": q(latency, 0.99),
                    "p99.9": q(latency, 0.999),
                    "max": latency.max(),
                },
                "floors": floors,
            }))?;
            return out.flush();
        }
        let row = |name: &str, h: &Histogram<u64>| {
            let cells = [0.5, 0.99, 0.999].map(|quantile| format!("{} µs", q(h, quantile)));
            std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
        };
        out.text(format_args!(
            "{} in {seconds:.2} s: {rate:.0} calls/s, {:.0} records/s",
            counted(latency.len(), "call"),
            rate * self.batch as f64
        ))?;
        let mut rows = vec![row("durable call over the wire", latency)];
        for (floor, when) in floors.iter().zip(["before", "after"]) {
            rows.push(row(&format!("bare disk, {when}"), &floor.disk));
            rows.push(row(&format!("bare TCP, {when}"), &floor.tcp));
        }
        out.table(&["latency", "p50", "p99", "p99.9"], &rows)?;
        if self.unanswered > 0 {
            out.text(format_args!(
                "{} had no answer and count nowhere above",
                counted(self.unanswered, "call")
            ))?;
        }
        if self.is_checked {
            out.text("every acknowledged record was found again")?;
        }
        out.flush()
    }
}
