//! What two looks at a server tell: what stands now, and what happened between them.

use serde::Serialize;

use super::busiest::Moved;
use super::scraped::{Buckets, Scraped};

/// Operations whose time is how long somebody looked, not how long it took to answer.
const LASTING: [&str; 3] = ["follow", "subscribe", "workers"];

/// The fields of its JSON form; `null` is what the server does not say.
#[derive(Serialize, Default)]
pub(super) struct View {
    /// Between the two looks.
    pub(super) seconds: f64,
    pub(super) ready: Option<bool>,
    pub(super) connections: Option<u64>,
    pub(super) channels: Option<u64>,
    pub(super) subscriptions: Option<u64>,
    pub(super) transactions_per_second: Option<f64>,
    pub(super) entries_per_second: Option<f64>,
    pub(super) appends_failed_per_second: Option<f64>,
    pub(super) received_bytes_per_second: Option<f64>,
    pub(super) sent_bytes_per_second: Option<f64>,
    pub(super) written_bytes_per_second: Option<f64>,
    pub(super) commit_us: Quantiles,
    pub(super) sync_us: Quantiles,
    pub(super) queued_transactions: Option<u64>,
    pub(super) queued_bytes: Option<u64>,
    pub(super) open_stores: Option<u64>,
    pub(super) halted_stores: Option<u64>,
    pub(super) log_bytes: Option<u64>,
    pub(super) disk_free_bytes: Option<u64>,
    /// Those that were ever asked for, the most frequent first.
    pub(super) operations: Vec<OperationRate>,
    /// Of the store, the busiest first.
    pub(super) busiest: Vec<Moved>,
    /// Why these are not known, or not all.
    pub(super) busiest_unknown: Option<String>,
}

/// Microseconds, within the bounds of a histogram; `null` where nothing was seen.
#[derive(Serialize, Default, Clone, Copy, PartialEq, Debug)]
pub(super) struct Quantiles {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// Of one operation.
#[derive(Serialize)]
pub(super) struct OperationRate {
    pub(super) operation: String,
    /// That came to their end.
    pub(super) per_second: f64,
    /// That did not end well.
    pub(super) failed_per_second: f64,
    pub(super) latency_us: Quantiles,
}

impl View {
    /// All but the busiest segments.
    pub(super) fn between(before: &Scraped, now: &Scraped) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64().max(0.001);
        let count = |name: &str| now.value(name).map(|value| value.round() as u64);
        let rate = |name: &str| {
            let (now, before) = (now.value(name)?, before.value(name).unwrap_or(0.0));
            Some(rounded(grown(before, now) / seconds))
        };
        let times = |name: &str, of: Option<(&str, &str)>| quantiles(&before.buckets(name, of), &now.buckets(name, of));
        Self {
            seconds: rounded(seconds),
            ready: now.value("streamkit_ready").map(|ready| ready > 0.0),
            connections: count("streamkit_connections"),
            channels: count("streamkit_channels"),
            subscriptions: count("streamkit_subscriptions"),
            transactions_per_second: rate("streamkit_transactions_total"),
            entries_per_second: rate("streamkit_entries_total"),
            appends_failed_per_second: rate("streamkit_appends_failed_total"),
            received_bytes_per_second: rate("streamkit_received_bytes_total"),
            sent_bytes_per_second: rate("streamkit_sent_bytes_total"),
            written_bytes_per_second: rate("streamkit_written_bytes_total"),
            commit_us: times("streamkit_commit_seconds", None),
            sync_us: times("streamkit_sync_seconds", None),
            queued_transactions: count("streamkit_queued_transactions"),
            queued_bytes: count("streamkit_queued_bytes"),
            open_stores: count("streamkit_open_stores"),
            halted_stores: count("streamkit_halted_stores"),
            log_bytes: count("streamkit_log_bytes"),
            disk_free_bytes: count("streamkit_disk_free_bytes"),
            operations: operations(before, now, seconds, times),
            busiest: Vec::new(),
            busiest_unknown: None,
        }
    }
}

fn operations(
    before: &Scraped,
    now: &Scraped,
    seconds: f64,
    times: impl Fn(&str, Option<(&str, &str)>) -> Quantiles,
) -> Vec<OperationRate> {
    const TIMES: &str = "streamkit_operation_seconds";
    const COUNT: &str = "streamkit_operation_seconds_count";
    // An end that the peer chose is no failure.
    let ends_well = |outcome: Option<&str>| matches!(outcome, Some("ok" | "ended"));
    let (all, all_before) = (
        now.by(COUNT, "operation", |_| true),
        before.by(COUNT, "operation", |_| true),
    );
    let ill = |scraped: &'_ Scraped, operation: &str| {
        let ill = scraped.by(COUNT, "operation", |labels| !ends_well(labels.get("outcome")));
        ill.get(operation).copied().unwrap_or(0.0)
    };
    let asked = all.into_iter().filter(|(_, count)| *count > 0.0);
    let mut rates: Vec<_> = asked
        .map(|(operation, count)| OperationRate {
            operation: operation.to_owned(),
            per_second: rounded(grown(all_before.get(operation).copied().unwrap_or(0.0), count) / seconds),
            failed_per_second: rounded(grown(ill(before, operation), ill(now, operation)) / seconds),
            latency_us: match LASTING.contains(&operation) {
                true => Quantiles::default(),
                false => times(TIMES, Some(("operation", operation))),
            },
        })
        .collect();
    // By name where they are equal.
    rates.sort_by(|one, other| other.per_second.total_cmp(&one.per_second));
    rates
}

/// How much a counter grew. One that is less than before began anew, with its server.
fn grown(before: f64, now: f64) -> f64 {
    match now < before {
        true => now,
        false => now - before,
    }
}

/// As exact as a rate of a second or so is.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn quantiles(before: &Buckets, now: &Buckets) -> Quantiles {
    let began_anew = before
        .last()
        .zip(now.last())
        .is_some_and(|(before, now)| now.1 < before.1);
    let of_before = |bound: f64| match before.iter().find(|(known, _)| *known == bound) {
        Some((_, count)) if !began_anew => *count,
        _ => 0.0,
    };
    let seen: Buckets = now
        .iter()
        .map(|(bound, count)| (*bound, (count - of_before(*bound)).max(0.0)))
        .collect();
    Quantiles {
        p50: quantile(&seen, 0.5),
        p99: quantile(&seen, 0.99),
    }
}

/// Within its bucket as if the values stood there evenly; of what is beyond the last bound, that bound.
fn quantile(seen: &Buckets, part: f64) -> Option<f64> {
    let all = seen.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = all * part;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in seen {
        if *count >= rank && *count > below {
            let seconds = match bound.is_finite() {
                true => lower + (bound - lower) * (rank - below) / (count - below),
                false => lower,
            };
            return Some((seconds * 1e6).round());
        }
        (lower, below) = (*bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Quantiles = Quantiles { p50: None, p99: None };

    #[test]
    fn quantiles_are_of_what_was_seen_since() {
        let before = vec![(0.001, 10.0), (0.002, 10.0), (f64::INFINITY, 10.0)];
        assert_eq!(quantiles(&before, &before), NONE);
        assert_eq!(quantiles(&Vec::new(), &Vec::new()), NONE);
        let now = vec![(0.001, 10.0), (0.002, 20.0), (f64::INFINITY, 20.0)];
        let one = quantiles(&before, &now);
        assert_eq!((one.p50, one.p99), (Some(1500.0), Some(1990.0)));
        let beyond = vec![(0.001, 10.0), (0.002, 10.0), (f64::INFINITY, 12.0)];
        assert_eq!(quantiles(&before, &beyond).p50, Some(2000.0));
        // The server was started again.
        let anew = vec![(0.001, 2.0), (0.002, 2.0), (f64::INFINITY, 2.0)];
        assert_eq!(quantiles(&before, &anew).p50, Some(500.0));
        // What grows in one bucket and shrinks behind it is no server's, and harms nobody.
        let odd = vec![(0.001, 30.0), (0.002, 11.0), (f64::INFINITY, 11.0)];
        assert!(quantiles(&before, &odd).p99.is_some());
    }

    #[test]
    fn rates_are_what_a_counter_grew_by_or_all_of_one_that_began_anew() {
        assert_eq!((grown(3.0, 5.0), grown(5.0, 3.0)), (2.0, 3.0));
        let text = |ok: u32, failed: u32| {
            Scraped::read(&format!(
                "streamkit_operation_seconds_count{{operation=\"peek\",outcome=\"ok\"}} {ok}\n\
                 streamkit_operation_seconds_count{{operation=\"peek\",outcome=\"failed\"}} {failed}\n\
                 streamkit_operation_seconds_count{{operation=\"trim\",outcome=\"ok\"}} 0\n\
                 streamkit_ready 1\n"
            ))
        };
        let (before, mut now) = (text(1, 0), text(9, 2));
        now.at = before.at + std::time::Duration::from_secs(2);
        let view = View::between(&before, &now);
        assert_eq!(view.ready, Some(true));
        assert_eq!(view.connections, None);
        let rates: Vec<_> = view
            .operations
            .iter()
            .map(|rate| (rate.operation.as_str(), rate.per_second, rate.failed_per_second))
            .collect();
        assert_eq!(rates, [("peek", 5.0, 1.0)]);
    }
}
