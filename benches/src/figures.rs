//! Measured numbers with names, their medians over repetitions, and histograms made into them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value};

use crate::Outcome;

/// Numbers by name, in the order they are shown; a unit ends each name. The first is what a row compares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(pub Vec<(&'static str, f64)>);

impl Figures {
    /// The number of that name, NaN if there is none: it then passes no bar.
    pub fn get(&self, name: &str) -> f64 {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map_or(f64::NAN, |(_, value)| *value)
    }

    /// Adds a number, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
        self
    }

    /// The same with one number first, which is then what the row compares.
    #[must_use]
    pub fn led_by(mut self, name: &str) -> Self {
        self.0.sort_by_key(|(known, _)| *known != name);
        self
    }

    /// Medians of a floor's repetitions, with what its first number was at the start and at the end of the run, and how many
    /// times the smallest of all its largest was.
    pub fn floor(repetitions: &[Self]) -> Self {
        let median = Self::median(repetitions);
        let Some((name, _)) = median.0.first() else {
            return median;
        };
        let at = |one: Option<&Self>| one.map_or(f64::NAN, |one| one.get(name));
        let (before, after) = (at(repetitions.first()), at(repetitions.last()));
        let all = || repetitions.iter().map(|one| one.get(name));
        let spread = all().fold(f64::NAN, f64::max) / all().fold(f64::NAN, f64::min);
        median
            .with("before", before)
            .with("after", after)
            .with("spread", spread)
    }

    /// The median of each number over repetitions.
    pub fn median(repetitions: &[Self]) -> Self {
        let Some(first) = repetitions.first() else {
            return Self::default();
        };
        let names = first.0.iter().map(|(name, _)| *name);
        Self(
            names
                .map(|name| (name, median(repetitions.iter().map(|one| one.get(name)).collect())))
                .collect(),
        )
    }

    /// The largest of one number over repetitions.
    pub fn largest(repetitions: &[Self], name: &str) -> f64 {
        repetitions.iter().map(|one| one.get(name)).fold(f64::NAN, f64::max)
    }

    /// As a JSON object.
    pub fn to_json(&self) -> Value {
        let numbers = self.0.iter().map(|(name, value)| ((*name).to_owned(), number(*value)));
        Value::Object(numbers.collect::<Map<_, _>>())
    }
}

/// The middle one of some numbers; NaN if there are none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number with no more digits than it is known by; null if there is none.
pub fn number(value: f64) -> Value {
    let digits = if value.abs() >= 100.0 { 1.0 } else { 1000.0 };
    serde_json::json!((value * digits).round() / digits)
}

/// An empty histogram of nanoseconds, from 100 ns to ten minutes, with three digits.
///
/// # Errors
/// None in practice: the bounds are constants.
pub fn nanoseconds() -> Outcome<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(100, 600_000_000_000, 3)?)
}

/// Records one duration.
pub fn record(latency: &mut Histogram<u64>, taken: Duration) {
    latency.saturating_record(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
}

/// Percentiles in microseconds, the longest one, and how many a second.
pub fn latency(latency: &Histogram<u64>, seconds: f64) -> Figures {
    let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    Figures(vec![
        ("p50_us", at(0.5)),
        ("p99_us", at(0.99)),
        ("p99.9_us", at(0.999)),
        ("max_us", latency.max() as f64 / 1e3),
        ("per_s", latency.len() as f64 / seconds),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_figures_is_taken_number_by_number() {
        let one = |a, b| Figures(vec![("a_us", a), ("b_us", b)]);
        let median = Figures::median(&[one(1.0, 9.0), one(3.0, 7.0), one(2.0, 8.0)]);
        assert_eq!(median, one(2.0, 8.0));
    }

    #[test]
    fn a_missing_number_is_null_and_passes_nothing() {
        let missing = Figures::default().get("p50_us");
        assert!(number(missing).is_null());
        assert_eq!(missing.partial_cmp(&1.0), None);
    }
}
