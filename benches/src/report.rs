//! Rows as they are printed, to a person and as JSON.

use serde_json::{Map, Value, json};

use crate::figures::{Figures, number};
use crate::peers;

/// How many times its smallest repetition a floor's largest may be: beyond it, other work ran on the machine, and the ratio
/// says nothing.
pub const SPREAD_MAX: f64 = 2.0;

/// One measured piece of work beside its floor, its peers and its bar.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// P1 to P12.
    pub id: &'static str,
    /// What was done, how, and whether scaled down.
    pub work: String,
    /// What a bare loop did in the same run; empty where there is no such loop.
    pub floor: Figures,
    /// What ours did; the first number is the one compared.
    pub ours: Figures,
    /// What the peers did that were built and do this work.
    pub peers: Vec<(&'static str, Figures)>,
    /// Ours to whatever the bar names.
    pub ratio: Option<f64>,
    /// The bar in words.
    pub bar: String,
    /// Whether it is met; `None` where it cannot be judged in this build. An unsteady floor makes it `None` too.
    pub pass: Option<bool>,
}

impl Row {
    /// One JSON object; its keys and their order are fixed.
    pub fn to_json(&self) -> Value {
        let peers = peers::KINDS.iter().map(|kind| {
            let measured = self.peers.iter().find(|(name, _)| *name == kind.name);
            let value = match measured {
                Some((_, figures)) => figures.to_json(),
                None if kind.open.is_none() => "not built".into(),
                None => Value::Null,
            };
            (kind.name.to_owned(), value)
        });
        json!({
            "id": self.id,
            "work": self.work,
            "floor": self.floor.to_json(),
            "ours": self.ours.to_json(),
            "peers": peers.collect::<Map<_, _>>(),
            "ratio": self.ratio.map_or(Value::Null, number),
            "bar": self.bar,
            "pass": self.pass.filter(|_| !is_unsteady(self.floor.get("spread"))),
        })
    }
}

/// Whether the slowest of a floor's repetitions is too many times the fastest.
pub fn is_unsteady(spread: f64) -> bool {
    spread > SPREAD_MAX
}

/// The heads of [`cells`].
pub fn heads() -> Vec<String> {
    let peers = peers::KINDS.iter().map(|kind| kind.name);
    let heads = ["", "work", "floor", "ours"]
        .into_iter()
        .chain(peers)
        .chain(["ratio", "bar", ""]);
    heads.map(str::to_owned).collect()
}

/// A row of [`Row::to_json`] as the cells of a table.
pub fn cells(row: &Value) -> Vec<String> {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let mut cells = vec![text("id"), text("work"), cell(&row["floor"]), cell(&row["ours"])];
    cells.extend(peers::KINDS.iter().map(|kind| cell(&row["peers"][kind.name])));
    cells.push(row["ratio"].as_f64().map_or_else(String::new, short));
    cells.push(text("bar"));
    cells.push(match row["pass"].as_bool() {
        Some(true) => "pass".into(),
        Some(false) => "FAIL".into(),
        None if row["floor"]["spread"].as_f64().is_some_and(is_unsteady) => "noisy".into(),
        None => "—".into(),
    });
    cells
}

/// Figures in a cell: the first number, and the percentiles if there are any.
fn cell(figures: &Value) -> String {
    let Some(figures) = figures.as_object() else {
        return figures.as_str().unwrap_or_default().to_owned();
    };
    let percentiles: Vec<String> = ["p50_us", "p99_us", "p99.9_us", "max_us"]
        .iter()
        .filter_map(|name| figures.get(*name)?.as_f64().map(short))
        .collect();
    let latency = (!percentiles.is_empty()).then(|| format!("{} µs", percentiles.join("/")));
    let first = figures.iter().next().filter(|(name, _)| !name.starts_with("p50"));
    let first = first.and_then(|(name, value)| Some(format!("{} {}", short(value.as_f64()?), unit(name))));
    first.into_iter().chain(latency).collect::<Vec<_>>().join(", ")
}

fn unit(name: &str) -> String {
    match name {
        "per_s" => "/s".into(),
        "mb_per_s" => "MB/s".into(),
        "bytes_per_byte" => "×".into(),
        "bytes_per_segment" => "B/segment".into(),
        name => match name.strip_suffix("_per_s") {
            Some(what) => format!("{what}/s"),
            None => name
                .strip_suffix("_ms")
                .map_or_else(|| name.to_owned(), |_| "ms".into()),
        },
    }
}

/// A number in few digits.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Cells in columns as wide as they need to be.
pub fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_keys_in_their_order() {
        let row = Row {
            id: "P1",
            work: "w".into(),
            ..Row::default()
        };
        let json = row.to_json();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["id", "work", "floor", "ours", "peers", "ratio", "bar", "pass"]);
        assert_eq!(cells(&json).len(), heads().len());
    }

    #[test]
    fn nothing_passes_against_an_unsteady_floor() {
        let row = |spread| Row {
            floor: Figures(vec![("p50_us", 1.0), ("spread", spread)]),
            pass: Some(true),
            ..Row::default()
        };
        assert_eq!(row(1.2).to_json()["pass"], true);
        assert!(row(2.5).to_json()["pass"].is_null());
        assert_eq!(cells(&row(2.5).to_json()).last().map(String::as_str), Some("noisy"));
    }

    #[test]
    fn a_cell_shows_the_rate_and_the_percentiles() {
        let figures = json!({"records_per_s": 61234.0, "p50_us": 200.0, "p99_us": 912.4});
        assert_eq!(cell(&figures), "61.2 k records/s, 200/912 µs");
        assert_eq!(cell(&json!("not built")), "not built");
        assert_eq!(
            cell(&json!({"p50_us": 20.0, "p99_us": 31.0, "per_s": 4.0})),
            "20.0/31.0 µs"
        );
    }
}
