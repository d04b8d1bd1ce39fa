//! The document quotes the history, and nothing else.

use serde_json::{Value, json};
use streamkit_benches::{history, plot};

#[test]
fn the_table_of_the_document_is_made_from_the_history() {
    let document = std::fs::read_to_string(history::document()).unwrap();
    let made = history::put(&document, &history::render(&history::read().unwrap())).unwrap();
    assert!(
        document == made,
        "run `cargo run -p streamkit-benches --bin limits -- --render`"
    );
}

fn row(id: &str, work: &str, date: &str, p50: f64) -> Value {
    json!({"id": id, "work": work, "floor": {}, "ours": {"p50_us": p50}, "peers": {"fjall": "not built"}, "ratio": null,
        "bar": "b", "pass": true, "date": date, "commit": "c", "machine": {"processor": "p"}})
}

#[test]
fn the_newest_row_of_each_work_is_quoted_and_scaled_down_ones_are_not() {
    let rows = [
        row("P10", "w", "2026-01-01T00:00:00Z", 1.0),
        row("P2", "w", "2026-01-01T00:00:00Z", 2.0),
        row("P2", "w", "2026-01-02T00:00:00Z", 3.0),
        row("P2", "w (quick)", "2026-01-03T00:00:00Z", 4.0),
    ];
    let made = history::render(&rows);
    let lines: Vec<&str> = made.lines().filter(|line| line.starts_with("| P")).collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].contains("| P2 | w |  | 3.00 µs |") && lines[0].contains("2026-01-02"),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with("| P10 |"));
    assert_eq!(history::render(&[]), "No results are recorded yet.\n");
}

#[test]
fn the_plot_shows_the_newest_points_of_each_subject() {
    let point = |subject: &str, writers: u64, date: &str| {
        json!({"id": "load", "subject": subject, "writers": writers, "per_s": writers as f64 * 900.0, "p50_us": 200.0,
            "p99_us": 900.0, "date": date, "commit": "c"})
    };
    let svg = plot::draw(&[
        point("old", 1, "2026-01-01"),
        point("a < b", 1, "2026-01-02"),
        point("a < b", 64, "2026-01-02"),
        point("peer", 1, "2026-01-02"),
    ]);
    let svg = svg.unwrap();
    assert!(svg.contains("a &lt; b, 64 writers: 57600/s") && svg.contains("peer") && !svg.contains("old"));
    assert_eq!(svg.matches("<polyline").count(), 4);
    assert!(plot::draw(&[row("P2", "w", "2026-01-01", 1.0)]).is_none());
}
