//! A run as a table, and who is ahead in sentences.

use serde_json::Value;

use super::Work;
use super::run::ENGINE;
use crate::report::{is_unsteady, short};

/// Ours among the subjects.
const OURS: &str = "Streamkit";

/// The heads and rows of a run's table.
pub fn cells(run: &Value) -> Vec<Vec<String>> {
    let heads = [
        "",
        "version",
        "1 × 1: p50/p99",
        "over the floors, one/two cores",
        "64 × 1",
        "of engine",
        "64 × 100",
        "of engine",
        "read",
        "of engine",
        "waits for its sync",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let floors = &run["floors"];
    let p50 = |value: Option<f64>| value.map_or_else(|| "—".into(), |us| format!("{} µs", short(us)));
    let [one, two] = both_floors(run).map(p50);
    let [on_one, on_two] = LOOPBACKS.map(|name| p50(floors["loopback"][name].as_f64()));
    for (name, taken) in [
        ("bare disk", latency(&floors["disk"])),
        ("bare loopback: one core, two", format!("{on_one}, {on_two}")),
        ("the floors: both, one core, two", format!("{one}, {two}")),
    ] {
        let mut row = vec![String::new(); heads.len()];
        (row[0], row[2]) = (name.to_owned(), taken);
        rows.push(row);
    }
    rows.extend(subjects(run).iter().map(|subject| row(run, subject)));
    rows
}

fn subjects(run: &Value) -> &[Value] {
    run["subjects"].as_array().map_or(&[], Vec::as_slice)
}

/// The medians of loopback: both processes on one core, and each on its own.
const LOOPBACKS: [&str; 2] = ["one_core_p50_us", "two_cores_p50_us"];

/// The disk's p50 with loopback's, on one core and on two.
fn both_floors(run: &Value) -> [Option<f64>; 2] {
    let disk = run["floors"]["disk"]["p50_us"].as_f64();
    LOOPBACKS.map(|name| Some(disk? + run["floors"]["loopback"][name].as_f64()?))
}

fn row(run: &Value, subject: &Value) -> Vec<String> {
    let text = |name: &str| subject[name].as_str().unwrap_or("unknown").to_owned();
    let mut row = vec![text("name"), text("version")];
    if let Some(reason) = subject["absent"].as_str() {
        if subject["version"].is_null() {
            row[1].clear();
        }
        row.resize(10, "—".into());
        row.push(format!("not measured: {reason}"));
        return row;
    }
    row.push(latency(&subject["one"]));
    row.push(over_floors(leader(subject, Work::One), both_floors(run)));
    let engine = subjects(run).iter().find(|subject| subject["name"] == ENGINE);
    for work in [Work::Many, Work::Bulk, Work::Read] {
        let Some(reached) = leader(subject, work) else {
            row.extend([String::new(), String::new()]);
            continue;
        };
        let way = subject[work.key()]["way"]
            .as_str()
            .map_or_else(String::new, |way| format!(", {way}"));
        row.push(format!("{}/s{way}", short(reached)));
        let of_engine = engine.and_then(|engine| Some(reached / leader(engine, work)?));
        row.push(of_engine.map_or_else(String::new, |ratio| format!("{ratio:.2} ×")));
    }
    row.push(sync(&subject["sync"]));
    row
}

fn over_floors(p50: Option<f64>, floors: [Option<f64>; 2]) -> String {
    let (Some(p50), [Some(one), Some(two)]) = (p50, floors) else {
        return String::new();
    };
    format!(
        "{:+.0}/{:+.0} µs, {:.2}/{:.2} ×",
        p50 - one,
        p50 - two,
        p50 / one,
        p50 / two
    )
}

fn leader(subject: &Value, work: Work) -> Option<f64> {
    subject[work.key()][work.leader()].as_f64()
}

fn latency(figures: &Value) -> String {
    let at = |name: &str| figures[name].as_f64().map_or_else(|| "—".into(), short);
    format!("{}/{} µs", at("p50_us"), at("p99_us"))
}

fn sync(shown: &Value) -> String {
    if let Some(reason) = shown["unknown"].as_str() {
        return format!("not shown: {reason}");
    }
    let ms = |name: &str| shown[name].as_f64().map_or_else(|| "—".into(), |us| short(us / 1e3));
    match shown["waits"].as_bool() {
        Some(waits) => {
            let word = if waits { "yes" } else { "does not wait" };
            let [shortest, grown, delay] = ["shortest_us", "grown_us", "delay_us"].map(ms);
            format!("{word}: +{grown} ms, shortest {shortest} ms, with {delay} ms")
        }
        None => String::new(),
    }
}

/// For each work, who is ahead: ours, or the best of the peers that wait for their sync, and by how much. Before them,
/// whether other work ran on the machine.
pub fn sentences(run: &Value) -> Vec<String> {
    let spread = run["floors"]["disk"]["spread"].as_f64();
    let noisy = spread.filter(|spread| is_unsteady(*spread)).map(|spread| {
        format!("noisy: the slowest floor of the disk took {spread:.1} × the fastest, which may decide more than the servers")
    });
    let ahead = Work::ALL.iter().filter_map(|work| sentence(run, *work));
    noisy.into_iter().chain(ahead).collect()
}

fn sentence(run: &Value, work: Work) -> Option<String> {
    let reached = |subject: &Value| {
        leader(subject, work).map(|reached| (subject["name"].as_str().unwrap_or_default().to_owned(), reached))
    };
    let is_ours = |subject: &&Value| subject["name"] == OURS;
    let ours = subjects(run).iter().find(is_ours).and_then(reached)?.1;
    let rivals = subjects(run)
        .iter()
        .filter(|subject| !is_ours(subject) && subject["name"] != ENGINE);
    let durable = rivals.filter(|subject| subject["sync"]["waits"] != false);
    let is_latency = work == Work::One;
    let better = |one: f64, other: f64| if is_latency { one < other } else { one > other };
    let best = durable
        .filter_map(reached)
        .reduce(|best, next| if better(next.1, best.1) { next } else { best })?;
    let unit = if is_latency { " µs" } else { "/s" };
    let [of_best, of_ours] = [best.1, ours].map(|value| format!("{}{unit}", short(value)));
    Some(if better(best.1, ours) {
        format!(
            "{}: {} is ahead, {of_best}, against {of_ours} of {OURS}",
            work.word(),
            best.0
        )
    } else {
        format!(
            "{}: {OURS} is ahead, {of_ours}; next is {}, {of_best}",
            work.word(),
            best.0
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Value {
        let served = |name: &str, p50: f64, rate: f64, waits: bool| {
            json!({"name": name, "version": "1.2", "absent": null, "one": {"p50_us": p50, "p99_us": 999.4},
                "many": {"records_per_s": rate, "way": "one connection"}, "bulk": {"records_per_s": rate * 10.0},
                "read": {"entries_per_s": rate * 100.0},
                "sync": {"delay_us": 20_000.0, "grown_us": 20_400.0, "shortest_us": 20_100.0, "waits": waits}})
        };
        json!({"floors": {"disk": {"p50_us": 100.0, "p99_us": 200.0, "spread": 1.5},
                "loopback": {"p50_us": 20.0, "one_core_p50_us": 20.0, "two_cores_p50_us": 50.0}},
        "subjects": [
            {"name": ENGINE, "version": "0.1", "absent": null, "one": {"p50_us": 120.0}, "many": {"records_per_s": 100_000.0}},
            served(OURS, 180.0, 50_000.0, true),
            served("Slow", 400.0, 60_000.0, true),
            served("Careless", 20.0, 900_000.0, false),
            {"name": "Gone", "version": null, "absent": "it is not installed"},
        ]})
    }

    #[test]
    fn ratios_are_to_both_floors_and_to_the_engine() {
        let cells = cells(&run());
        assert!(cells.iter().all(|row| row.len() == cells[0].len()));
        assert_eq!(cells[3][2], "120 µs, 150 µs");
        let ours = cells.iter().find(|row| row[0] == OURS).unwrap();
        assert_eq!(
            ours[2..6],
            [
                "180/999 µs",
                "+60/+30 µs, 1.50/1.20 ×",
                "50.0 k/s, one connection",
                "0.50 ×"
            ]
        );
        assert_eq!(ours[10], "yes: +20.4 ms, shortest 20.1 ms, with 20.0 ms");
    }

    #[test]
    fn the_missing_and_the_careless_are_named() {
        let cells = cells(&run());
        assert_eq!(cells.last().unwrap()[10], "not measured: it is not installed");
        assert!(cells[cells.len() - 2][10].starts_with("does not wait: "));
    }

    #[test]
    fn an_unsteady_disk_is_told() {
        let mut run = run();
        assert!(!sentences(&run)[0].starts_with("noisy"));
        run["floors"]["disk"]["spread"] = 9.0.into();
        assert!(sentences(&run)[0].starts_with("noisy: the slowest floor of the disk took 9.0 ×"));
    }

    #[test]
    fn who_is_ahead_is_said_and_who_does_not_wait_is_not() {
        let said = sentences(&run());
        assert_eq!(
            said[0],
            "1 writer × 1: Streamkit is ahead, 180 µs; next is Slow, 400 µs"
        );
        assert_eq!(
            said[1],
            "64 writers × 1: Slow is ahead, 60.0 k/s, against 50.0 k/s of Streamkit"
        );
    }
}
