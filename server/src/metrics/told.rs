//! Writes metrics whose values are told when somebody asks for them. Of what nobody tells, nothing is written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;
use streamkit_engine::boundary::figures::Distribution;

use super::distributions::encode;

/// What a metric is called, what it says, and its unit.
pub(super) struct About(pub(super) &'static str, pub(super) &'static str, pub(super) Option<Unit>);

/// The labels of a sample.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Writes one metric after the other.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    /// Counters.
    pub(super) fn counters<const N: usize>(
        &mut self,
        about: About,
        samples: impl IntoIterator<Item = (Labels<N>, u64)>,
    ) -> fmt::Result {
        self.family(about, MetricType::Counter, samples, |encoder, value| {
            encoder.encode_counter(&value, None::<&Exemplar<Labels<0>, u64>>)
        })
    }

    /// Gauges.
    pub(super) fn gauges<const N: usize, V: EncodeGaugeValue>(
        &mut self,
        about: About,
        samples: impl IntoIterator<Item = (Labels<N>, V)>,
    ) -> fmt::Result {
        self.family(about, MetricType::Gauge, samples, |encoder, value| {
            encoder.encode_gauge(&value)
        })
    }

    /// Histograms of values of which `of_one` make one of the unit.
    pub(super) fn histograms<'d, const N: usize>(
        &mut self,
        about: About,
        of_one: f64,
        samples: impl IntoIterator<Item = (Labels<N>, &'d Distribution)>,
    ) -> fmt::Result {
        self.family(about, MetricType::Histogram, samples, |encoder, value| {
            encode(value, of_one, encoder)
        })
    }

    fn family<const N: usize, V>(
        &mut self,
        About(name, help, unit): About,
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
