//! The list of metrics in the documents is the list of those there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamkit_engine::boundary::figures::{
    ArchiveFigures, CacheFigures, CallFigures, Figures, ForwardingFigures, SharedFigures,
};

use super::{BusFigures, Metrics, Moment};
use crate::auth::KeysStanding;

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

/// A moment at which everything that may be told is told.
fn moment() -> Moment {
    Moment {
        ready: true,
        connections: 0,
        clock_behind: Duration::ZERO,
        queued_bytes: 0,
        budgets: crate::budgets::Budgets::new(&crate::Limits::default()).held(),
        figures: Some(Figures {
            free_bytes: Some(1),
            cache: Some(CacheFigures::default()),
            shared: Some(SharedFigures {
                calls: vec![CallFigures::default()],
                archive: Some(ArchiveFigures::default()),
                forwarding: Some(ForwardingFigures::default()),
                ..SharedFigures::default()
            }),
            ..Figures::default()
        }),
        bus: Some(BusFigures::default()),
        keys: Some(KeysStanding {
            set_age: Some(Duration::ZERO),
            ..KeysStanding::default()
        }),
    }
}

/// All that a server counts once everything has happened that it counts.
fn real() -> (Names, String) {
    let metrics = Metrics::new();
    metrics.everything_happens();
    let text = metrics.text(moment());
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
fn a_server_whose_stores_are_its_own_tells_nothing_of_several_hosts() {
    let text = Metrics::new().text(Moment {
        figures: Some(Figures::default()),
        bus: None,
        ..moment()
    });
    for part in [
        "medium", "shared", "archive", "root", "cache", "forwards", "hosts", "bus",
    ] {
        assert!(!text.contains(&format!("streamkit_{part}")), "{text}");
    }
}

/// The values of a label that a server which just began has.
fn values(text: &str, name: &str, label: &str) -> BTreeSet<String> {
    let start = format!("{name}{{{label}=\"");
    let samples = text.lines().filter_map(|line| line.strip_prefix(&start));
    samples
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect()
}

/// What stands between backticks.
fn spelled(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// An alarm on what grows misses the first of one that was not there before.
#[test]
fn every_reason_is_there_from_the_start_and_all_of_them_are_documented() {
    let text = Metrics::new().text(moment());
    let mut families = 0;
    for row in include_str!("../../../docs/COMMANDS.md").lines() {
        let Some((name, values_of_it)) = row.strip_prefix("| `").and_then(|row| row.split_once("{reason}` |")) else {
            continue;
        };
        families += 1;
        assert_eq!(values(&text, name, "reason"), spelled(values_of_it), "{name}");
    }
    assert!(families > 5);
    let rows = include_str!("../../../docs/OPERATING.md").lines();
    let rows = rows.skip_while(|line| *line != "## Limits").skip(1);
    let rows = rows.take_while(|line| !line.starts_with("## "));
    let limits = rows.filter_map(|row| row.split('|').nth(1));
    let limits: BTreeSet<String> = limits.flat_map(spelled).collect();
    assert_eq!(values(&text, "streamkit_limits_hit_total", "limit"), limits);
}

#[test]
fn no_metric_is_of_a_store_space_or_segment() {
    for (name, labels) in real().0 {
        for label in ["store", "space", "segment", "store_id", "channel", "key", "address"] {
            assert!(!labels.contains(label), "{name} has {label}");
        }
    }
}

/// The queries of the dashboard, and of the alerts.
fn queries() -> Vec<String> {
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/grafana/streamkit.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let shown = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let asked = variables
        .iter()
        .filter_map(|variable| variable["definition"].as_str())
        .map(str::to_owned);
    let alerts = include_str!("../../../docs/prometheus/alerts.yml").lines();
    let alarmed = alerts
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .map(str::to_owned);
    shown.chain(asked).chain(alarmed).collect()
}

/// Whether a word of a query is a name.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A metric without what the parts of a histogram add to its name.
fn of_histogram(name: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"];
    parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_and_labels_that_there_are() {
    // What Prometheus adds, and what each bucket has.
    const OTHERS: &[&str] = &["job", "instance", "le"];
    let (real, text) = real();
    let rows = include_str!("../../../docs/COMMANDS.md");
    let queries = queries();
    assert!(queries.len() > 50);
    let mut asked = BTreeSet::new();
    for query in &queries {
        let mut labels = BTreeSet::new();
        for (at, _) in query.match_indices("streamkit_") {
            let rest = &query[at..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let known = [name, of_histogram(name)]
                .into_iter()
                .find(|name| real.contains_key(*name));
            let known = known.unwrap_or_else(|| panic!("{query}: no {name}"));
            let is_histogram = text.contains(&format!("# TYPE {known} histogram"));
            assert_eq!(is_histogram, known != name, "{query}: {name}");
            asked.insert(known.to_owned());
            labels.extend(real[known].clone());
            let filter = rest
                .strip_prefix('{')
                .and_then(|rest| rest.split_once('}'))
                .map_or("", |(inside, _)| inside);
            for condition in filter.split("\",").filter(|condition| !condition.is_empty()) {
                let end = condition.find(|c| !is_name(c)).unwrap();
                let (label, value) = condition.split_at(end);
                assert!(
                    real[known].contains(label) || OTHERS.contains(&label),
                    "{query}: {known} has no {label}"
                );
                let row = rows
                    .lines()
                    .find(|row| row.starts_with("| `streamkit_") && row.contains(known))
                    .unwrap();
                let values = value.trim_start_matches(['=', '~', '!', '"']).trim_end_matches('"');
                for value in values.split('|').filter(|value| !value.starts_with('$')) {
                    assert!(row.contains(&format!("`{value}`")), "{query}: {label} is never {value}");
                }
            }
        }
        for by in query.split("by (").skip(1) {
            for label in by
                .split(')')
                .next()
                .unwrap()
                .split([',', ' '])
                .filter(|label| !label.is_empty())
            {
                assert!(
                    labels.contains(label) || OTHERS.contains(&label),
                    "{query}: no label {label}"
                );
            }
        }
    }
    let shown_nowhere: Vec<_> = real.keys().filter(|name| !asked.contains(*name)).collect();
    assert!(
        shown_nowhere.is_empty(),
        "neither shown nor alarmed on: {shown_nowhere:?}"
    );
}
