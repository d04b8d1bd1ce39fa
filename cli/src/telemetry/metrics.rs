//! The metrics of `/metrics` as OTLP: the same names and numbers, so that one dashboard suits both ways.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::openmetrics::{self, MetricFamily, Sample};

/// When they began to be counted, and when they were read.
#[derive(Clone, Copy)]
pub(super) struct Times {
    start: u64,
    now: u64,
}

impl Times {
    pub(super) fn since(start: SystemTime) -> Self {
        let nanos = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        };
        Self {
            start: nanos(start),
            now: nanos(SystemTime::now()),
        }
    }
}

/// What a collector takes.
pub(super) fn request(text: &str, resource: Resource, times: Times) -> ExportMetricsServiceRequest {
    let families = openmetrics::read(text);
    let metrics = families
        .into_iter()
        .filter_map(|family| metric(family, times))
        .collect();
    let scope = InstrumentationScope {
        name: "streamkit".to_owned(),
        ..InstrumentationScope::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(family: MetricFamily, times: Times) -> Option<Metric> {
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.kind.as_str() {
        "counter" => metric::Data::Sum(Sum {
            data_points: points(&family.samples, times),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        "gauge" => metric::Data::Gauge(Gauge {
            data_points: points(&family.samples, times),
        }),
        "histogram" => metric::Data::Histogram(Histogram {
            data_points: histogram_points(&family.samples, times),
            aggregation_temporality: cumulative,
        }),
        _ => return None,
    };
    let unit = match family.unit.as_str() {
        "seconds" => "s",
        "bytes" => "By",
        _ => "",
    };
    Some(Metric {
        name: family.name,
        description: family.help,
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn points(samples: &[Sample], times: Times) -> Vec<NumberDataPoint> {
    let point = |sample: &Sample| {
        let whole = sample.value.parse().ok().map(Value::AsInt);
        Some(NumberDataPoint {
            attributes: attributes(&sample.labels),
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            value: Some(whole.or_else(|| sample.value.parse().ok().map(Value::AsDouble))?),
            ..NumberDataPoint::default()
        })
    };
    samples.iter().filter_map(point).collect()
}

/// A point for each set of labels, which the samples of a histogram name one after the other. Their buckets count all before them.
fn histogram_points(samples: &[Sample], times: Times) -> Vec<HistogramDataPoint> {
    let mut points = Vec::<(Vec<(String, String)>, HistogramDataPoint)>::new();
    for sample in samples {
        let (ends, labels): (Vec<_>, Vec<_>) = sample.labels.iter().cloned().partition(|(name, _)| name == "le");
        if points.last().is_none_or(|(of, _)| *of != labels) {
            let new = HistogramDataPoint {
                attributes: attributes(&labels),
                start_time_unix_nano: times.start,
                time_unix_nano: times.now,
                ..HistogramDataPoint::default()
            };
            points.push((labels, new));
        }
        let Some((_, point)) = points.last_mut() else { continue };
        match sample.suffix.as_str() {
            "_sum" => point.sum = sample.value.parse().ok(),
            "_count" => point.count = sample.value.parse().unwrap_or(0),
            "_bucket" => {
                let before: u64 = point.bucket_counts.iter().sum();
                let until: u64 = sample.value.parse().unwrap_or(before);
                point.bucket_counts.push(until.saturating_sub(before));
                let end = ends.first().and_then(|(_, end)| end.parse::<f64>().ok());
                point.explicit_bounds.extend(end.filter(|end| end.is_finite()));
            }
            _ => {}
        }
    }
    points.into_iter().map(|(_, point)| point).collect()
}

fn attributes(labels: &[(String, String)]) -> Vec<KeyValue> {
    let attribute = |(name, value): &(String, String)| KeyValue {
        key: name.clone(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.clone())),
        }),
        ..KeyValue::default()
    };
    labels.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_of_a_histogram_are_counted_each_for_itself() {
        let text = "# TYPE h_seconds histogram\n# UNIT h_seconds seconds\n\
                    h_seconds_sum{o=\"a\"} 1.5\nh_seconds_count{o=\"a\"} 6\n\
                    h_seconds_bucket{le=\"0.1\",o=\"a\"} 1\nh_seconds_bucket{le=\"1.0\",o=\"a\"} 4\nh_seconds_bucket{le=\"+Inf\",o=\"a\"} 6\n\
                    h_seconds_sum{o=\"b\"} 0.0\nh_seconds_count{o=\"b\"} 0\nh_seconds_bucket{le=\"+Inf\",o=\"b\"} 0\n\
                    # TYPE c counter\nc_total 7\n# EOF\n";
        let made = request(text, Resource::default(), Times { start: 1, now: 2 });
        let metrics = &made.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!((metrics[0].name.as_str(), metrics[0].unit.as_str()), ("h_seconds", "s"));
        let Some(metric::Data::Histogram(histogram)) = &metrics[0].data else {
            panic!("{:?}", metrics[0]);
        };
        let [a, b] = &histogram.data_points[..] else {
            panic!("{histogram:?}");
        };
        assert_eq!(
            (&a.bucket_counts[..], &a.explicit_bounds[..]),
            (&[1, 3, 2][..], &[0.1, 1.0][..])
        );
        assert_eq!((a.count, a.sum, b.count), (6, Some(1.5), 0));
        assert_eq!(b.bucket_counts.len(), b.explicit_bounds.len() + 1);
        let Some(metric::Data::Sum(sum)) = &metrics[1].data else {
            panic!("{:?}", metrics[1]);
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[0].value, Some(Value::AsInt(7)));
    }
}
