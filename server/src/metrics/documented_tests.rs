//! The list of metrics in the documents is the list of those there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamkit_engine::boundary::figures::Figures;

use super::{Metrics, Moment};

/// The names that queries use, each with its labels.
type Names = BTreeMap<String, BTreeSet<String>>;

/// Labels within the braces of `{a="b",c="d"}`.
fn labels(sample: &str) -> BTreeSet<String> {
    let inside = sample.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let pairs = inside.map(|(inside, _)| inside).unwrap_or_default().split(',');
    let labels = pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(label, _)| label.to_owned());
    // Each bucket of a histogram has one of its own.
    labels.filter(|label| label != "le").collect()
}

/// All that a server counts once everything has happened that it counts.
fn real() -> (Names, String) {
    let metrics = Metrics::new();
    // One of a failure is there from the first time on.
    metrics.everything_happens();
    let budgets = crate::budgets::Budgets::new(&crate::Limits::default());
    let text = metrics.text(Moment {
        ready: true,
        connections: 0,
        clock_behind: Duration::ZERO,
        queued_bytes: 0,
        budgets: budgets.held(),
        figures: Some(Figures {
            free_bytes: Some(1),
            ..Figures::default()
        }),
    });
    let mut names = Names::new();
    for family in text.split("# HELP ").skip(1) {
        let name = family.split(' ').next().unwrap();
        let is_counter = family.contains(&format!("# TYPE {name} counter"));
        let samples: Vec<_> = family.lines().filter(|line| line.starts_with(name)).skip(1).collect();
        let sample = samples.first().unwrap_or_else(|| panic!("{name} has no value: {text}"));
        let name = if is_counter {
            format!("{name}_total")
        } else {
            name.to_owned()
        };
        names.insert(name, labels(sample));
    }
    (names, text)
}

/// What stands in the table of the commands' page.
fn documented() -> Names {
    let rows = include_str!("../../../docs/COMMANDS.md").lines();
    let rows = rows.filter(|line| line.starts_with("| `streamkit_"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    let spelled = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let parts = spelled.map(|spelled| spelled.split_once('{').unwrap_or((spelled, "")));
    let labels = |inside: &str| {
        inside
            .trim_end_matches('}')
            .split(',')
            .map(str::to_owned)
            .filter(|l| !l.is_empty())
            .collect()
    };
    parts.map(|(name, inside)| (name.to_owned(), labels(inside))).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let (real, text) = real();
    assert!(real.len() > 15, "{text}");
    assert_eq!(documented(), real);
}

#[test]
fn no_metric_is_of_a_store_space_or_segment() {
    for (name, labels) in real().0 {
        for label in ["store", "space", "segment", "store_id", "channel", "key", "address"] {
            assert!(!labels.contains(label), "{name} has {label}");
        }
    }
}
