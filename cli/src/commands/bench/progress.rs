//! How far a load is, on a terminal.

use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;

/// Columns of the longest bar.
const BAR: u64 = 40;

/// Lines of a histogram: a terminal of 24 has room for it. What is beyond is in the last one.
const LINES_MAX: usize = 16;

/// Lines on a terminal, drawn again and again; elsewhere nothing.
pub(super) fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// How many calls took how long: a line for each bound, from the fastest call to the slowest.
pub(super) fn histogram(microseconds: &Histogram<u64>) -> Vec<String> {
    let bounds: Vec<u64> = (0..8)
        .flat_map(|power| [1, 2, 5].map(|of| of * 10_u64.pow(power)))
        .collect();
    let mut counts = vec![0_u64; bounds.len()];
    for seen in microseconds.iter_recorded() {
        let place = bounds.partition_point(|bound| *bound < seen.value_iterated_to());
        counts[place.min(bounds.len() - 1)] += seen.count_at_value();
    }
    let seen = |count: &u64| *count > 0;
    let (Some(first), Some(last)) = (counts.iter().position(seen), counts.iter().rposition(seen)) else {
        return Vec::new();
    };
    let shown = last.min(first + LINES_MAX - 1);
    counts[shown] = counts[shown..].iter().sum();
    let bounds = &bounds[..=last];
    let most = counts[first..=shown].iter().max().copied().unwrap_or(1);
    let line = |place: usize| {
        // The last line has the slowest.
        let bound = bounds[if place == shown { last } else { place }];
        let count = counts[place];
        let bar = "█".repeat(usize::try_from((count * BAR).div_ceil(most)).unwrap_or(0));
        format!("{:>9}  {bar:40}  {count}", time(bound))
    };
    (first..=shown).map(line).collect()
}

/// One of the bounds, which have one digit that is not zero.
fn time(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{} ms", microseconds / 1_000),
        _ => format!("{} s", microseconds / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[(u64, u64)]) -> Vec<String> {
        let mut seen = Histogram::new_with_max(60_000_000, 3).unwrap();
        for (microseconds, count) in times {
            seen.record_n(*microseconds, *count).unwrap();
        }
        histogram(&seen)
    }

    #[test]
    fn each_bound_has_a_line_from_the_fastest_to_the_slowest() {
        assert!(of(&[]).is_empty());
        let bar = |columns: usize| format!("{}{}", "█".repeat(columns), " ".repeat(40 - columns));
        assert_eq!(
            of(&[(101, 20), (200, 60), (900, 1), (4_000, 1)]),
            [
                format!("   200 µs  {}  80", bar(40)),
                format!("   500 µs  {}  0", bar(0)),
                format!("     1 ms  {}  1", bar(1)),
                format!("     2 ms  {}  0", bar(0)),
                format!("     5 ms  {}  1", bar(1)),
            ]
        );
    }

    #[test]
    fn what_is_beyond_the_last_line_is_in_it() {
        let lines = of(&[(1, 5), (10_000_000, 2), (59_000_000, 3)]);
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines[LINES_MAX - 1].ends_with("  5"), "{lines:?}");
    }
}
