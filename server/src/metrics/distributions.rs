//! Histograms in the text: those of [`Distribution`], which may be counted in without a lock, other than the library's own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use streamkit_engine::boundary::figures::Distribution;

/// Nanoseconds of a second.
pub(super) const NANOS: f64 = 1e9;

/// Writes a histogram of values of which `of_one` make one of the unit that is told.
pub(super) fn encode(distribution: &Distribution, of_one: f64, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    let ends = distribution.ends.iter().map(|&end| end as f64 / of_one);
    let counts = distribution.counts.iter().copied();
    // One of which nothing was seen yet has its last bucket all the same.
    let counts = counts.chain(std::iter::repeat(0));
    let buckets: Vec<(f64, u64)> = ends.chain([f64::INFINITY]).zip(counts).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<[(&str, &str); 0]>(distribution.sum as f64 / of_one, count, &buckets, None)
}

/// A histogram as it was at the last look.
#[derive(Clone, Debug)]
pub(super) struct LastSeen {
    distribution: Arc<Mutex<Distribution>>,
    of_one: f64,
}

impl LastSeen {
    pub(super) fn new(of_one: f64) -> Self {
        Self {
            distribution: Arc::default(),
            of_one,
        }
    }

    pub(super) fn set(&self, distribution: Distribution) {
        *self.distribution.lock().unwrap_or_else(PoisonError::into_inner) = distribution;
    }
}

impl EncodeMetric for LastSeen {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let distribution = self.distribution.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&distribution, self.of_one, &mut encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
