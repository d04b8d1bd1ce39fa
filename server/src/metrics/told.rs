//! Metrics whose values are told when somebody asks for them. Of what nobody tells, nothing is written.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};
use streamkit_engine::boundary::figures::Distribution;

use super::distributions::{NANOS, encode};

/// Figures that are written as metrics.
pub(super) trait ToldFigures: fmt::Debug + Send + Sync + 'static {
    /// Writes all of them.
    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result;
}

/// Figures as they were at the last look, if they were told.
#[derive(Debug)]
pub(super) struct LastTold<T>(Arc<Mutex<Option<T>>>);

impl<T: ToldFigures> LastTold<T> {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let last = Arc::default();
        registry.register_collector(Box::new(Self(Arc::clone(&last))));
        Self(last)
    }

    pub(super) fn set(&self, now: Option<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl<T: ToldFigures> Collector for LastTold<T> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(told) => told.write(&mut Writer(encoder)),
            None => Ok(()),
        }
    }
}

/// What a metric is called, and what it says.
pub(super) struct About(pub(super) &'static str, pub(super) &'static str);

/// The labels of a sample.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Writes one metric after the other.
pub(super) struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    /// A counter without labels.
    pub(super) fn counter(&mut self, about: About, value: u64) -> fmt::Result {
        self.counters(about, None, [([], value)])
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, about: About, unit: Option<Unit>, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(about, unit, MetricType::Gauge, [([], value)], |encoder, value| {
            encoder.encode_gauge(&value)
        })
    }

    /// A counter for each set of labels.
    pub(super) fn counters<const N: usize>(
        &mut self,
        about: About,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels<N>, u64)>,
    ) -> fmt::Result {
        self.family(about, unit, MetricType::Counter, samples, |encoder, value| {
            encoder.encode_counter(&value, None::<&Exemplar<Labels<0>, u64>>)
        })
    }

    /// A histogram of each set of labels, in seconds, of values in nanoseconds.
    pub(super) fn times<'d, const N: usize>(
        &mut self,
        about: About,
        samples: impl IntoIterator<Item = (Labels<N>, &'d Distribution)>,
    ) -> fmt::Result {
        let seconds = Some(Unit::Seconds);
        self.family(about, seconds, MetricType::Histogram, samples, |encoder, value| {
            encode(value, NANOS, encoder)
        })
    }

    fn family<const N: usize, V>(
        &mut self,
        About(name, help): About,
        unit: Option<Unit>,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<N>, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        // As those of a registry end.
        let help = format!("{help}.");
        let mut family = self.0.encode_descriptor(name, &help, unit.as_ref(), kind)?;
        for (labels, value) in samples {
            write(&mut family.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}
