//! What was measured as rows, each beside its bar.

use serde_json::{Value, json};

use crate::report::{is_unsteady, short};
use crate::side_by_side::Work;
use crate::side_by_side::run::ENGINE;

/// Bytes of memory that a connection may take, in KiB.
const IDLE_KIB: f64 = 16.0;

/// How long after its acknowledgement 99 of 100 deliveries have come, in microseconds.
const DELIVERY_US: f64 = 20_000.0;

/// How long one who follows many segments is behind where it was, in milliseconds.
const RESUMED_MS: f64 = 1_000.0;

/// What one append may take over the bare disk and bare loopback, in microseconds.
const OVER_FLOORS_US: f64 = 20.0;

/// The rows of a run: one object each, with the work, the bar in words, and whether it is met: null where other work ran on the machine.
pub fn rows(run: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    rows.extend(one(run));
    let least = |most: Option<f64>, of: f64| {
        move |reached: f64, engine: f64| most.is_none_or(|most| reached >= most) && reached >= of * engine
    };
    rows.extend(rate(
        run,
        Work::Many,
        "≥ 120 k/s, ≥ 0.45 × in process",
        least(Some(120e3), 0.45),
    ));
    rows.extend(rate(run, Work::Bulk, "≥ 0.4 × in process", least(None, 0.4)));
    rows.extend(rate(run, Work::Read, "≥ 5 M entries/s", least(Some(5e6), 0.0)));
    rows.extend(follow(&run["follow"]));
    rows.extend(scattered(&run["scattered"]));
    rows.extend(run["memory"].as_array().into_iter().flatten().map(memory));
    let unsteady = run["floors"]["disk"]["spread"].as_f64().is_some_and(is_unsteady);
    for row in &mut rows {
        row["date"] = run["date"].clone();
        row["commit"] = run["commit"].clone();
        if unsteady {
            row["pass"] = Value::Null;
        }
    }
    rows
}

fn subject<'a>(run: &'a Value, name: &str) -> &'a Value {
    let mut subjects = run["subjects"].as_array().into_iter().flatten();
    subjects.find(|subject| subject["name"] == name).unwrap_or(&Value::Null)
}

fn one(run: &Value) -> Option<Value> {
    let [engine, v1, v2] = [ENGINE, "over v1", "over v2"].map(|name| &subject(run, name)["one"]);
    let reached = v2["p50_us"].as_f64()?;
    let disk = run["floors"]["disk"]["p50_us"].as_f64()?;
    let loopback = |name: &str| run["floors"]["loopback"][name].as_f64();
    let (on_one, on_two) = (loopback("one_core_p50_us")?, loopback("two_cores_p50_us")?);
    let over = reached - disk - on_two;
    let both = |name: &str| run["floors"]["both"][name].as_f64();
    let in_one = match (both("p50_us"), both("anywhere_p50_us")) {
        (Some(two), Some(anywhere)) => format!(
            "; both in one program: {} µs (where the kernel puts it: {})",
            short(two),
            short(anywhere)
        ),
        _ => String::new(),
    };
    Some(json!({
        "work": format!("{}, p50/p99", Work::One.word()),
        "floor": format!("disk {} + loopback {} (one core: {}) µs{in_one}", short(disk), short(on_two), short(on_one)),
        "in_process": latency(engine),
        "v1": latency(v1),
        "v2": latency(v2),
        "ratio": format!("{over:+.0} µs (one core: {:+.0})", reached - disk - on_one),
        "bar": format!("p50 ≤ disk + loopback on two cores + {OVER_FLOORS_US} µs"),
        "pass": over <= OVER_FLOORS_US,
    }))
}

fn rate(run: &Value, work: Work, bar: &str, meets: impl Fn(f64, f64) -> bool) -> Option<Value> {
    let [engine, v1, v2] = [ENGINE, "over v1", "over v2"].map(|name| &subject(run, name)[work.key()]);
    let reached = |figures: &Value| figures[work.leader()].as_f64();
    let (in_process, over_v2) = (reached(engine)?, reached(v2)?);
    let text = |figures: &Value| {
        let rate = reached(figures).map_or_else(|| "—".into(), |rate| format!("{}/s", short(rate)));
        let processor = ["server_processor_us", "client_processor_us"].map(|name| figures[name].as_f64());
        match processor {
            [Some(server), Some(client)] => format!("{rate}, {} + {} µs", short(server), short(client)),
            _ => rate,
        }
    };
    Some(json!({
        "work": work.word(),
        "floor": "",
        "in_process": format!("{}/s", short(in_process)),
        "v1": text(v1),
        "v2": text(v2),
        "ratio": format!("{:.2} ×", over_v2 / in_process),
        "bar": bar,
        "pass": meets(over_v2, in_process),
    }))
}

fn follow(found: &Value) -> Option<Value> {
    let late = found["p99_us"].as_f64()?;
    let number = |name: &str| found[name].as_f64().map_or_else(|| "—".into(), short);
    Some(json!({
        "work": found["of"],
        "floor": "",
        "in_process": "",
        "v1": "",
        "v2": format!("{} µs after the ack; {} entries/s came, {} + {} µs a delivery", latency(found).trim_end_matches(" µs"),
            number("entries_per_s"), number("server_processor_us"), number("client_processor_us")),
        "ratio": "",
        "bar": format!("p99 ≤ {} ms after the ack", DELIVERY_US / 1e3),
        "pass": late <= DELIVERY_US,
    }))
}

fn scattered(found: &Value) -> Option<Value> {
    let resumed = found["resumed_ms"].as_f64()?;
    let number = |name: &str| found[name].as_f64().map_or_else(|| "—".into(), short);
    Some(json!({
        "work": format!("1 follower of {} segments, 10 entries each", found["segments"]),
        "floor": "",
        "in_process": "",
        "v1": "",
        "v2": format!("caught up in {} ms, {} MiB of server and client; then {} after the ack; behind its cursor of {} bytes in {} ms",
            number("caught_up_ms"), number("memory_mib"), latency(found), found["cursor_bytes"], number("resumed_ms")),
        "ratio": "",
        "bar": format!("behind its cursor in ≤ {} s", RESUMED_MS / 1e3),
        "pass": resumed <= RESUMED_MS,
    }))
}

fn memory(found: &Value) -> Value {
    let number = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
    let (fresh, called) = (number("fresh_kib"), number("called_kib"));
    let is_v2 = found["name"] == "over v2";
    let said = format!("{fresh:.1} KiB, {called:.1} after a call");
    json!({
        "work": format!("{} idle connections {}, each", found["connections"], found["name"].as_str().unwrap_or_default()),
        "floor": "",
        "in_process": "",
        "v1": if is_v2 { "" } else { &said },
        "v2": if is_v2 { &said } else { "" },
        "ratio": "",
        "bar": if is_v2 { format!("≤ {IDLE_KIB} KiB") } else { String::new() },
        "pass": is_v2.then_some(fresh <= IDLE_KIB && called <= IDLE_KIB),
    })
}

fn latency(figures: &Value) -> String {
    let at = |name: &str| figures[name].as_f64().map_or_else(|| "—".into(), short);
    format!("{}/{} µs", at("p50_us"), at("p99_us"))
}

/// The heads and rows of a table.
pub fn cells(rows: &[Value]) -> Vec<Vec<String>> {
    let heads = [
        "work",
        "floor",
        "in process",
        "over v1",
        "over v2",
        "v2 to floor or engine",
        "bar",
        "",
    ];
    let row = |row: &Value| {
        let names = ["work", "floor", "in_process", "v1", "v2", "ratio", "bar"];
        let mut cells = names
            .map(|name| row[name].as_str().unwrap_or_default().to_owned())
            .to_vec();
        cells.push(match (row["pass"].as_bool(), row["bar"] == "") {
            (Some(true), _) => "pass".into(),
            (Some(false), _) => "FAIL".into(),
            (None, true) => String::new(),
            (None, false) => "noisy".into(),
        });
        cells
    };
    std::iter::once(heads.map(str::to_owned).to_vec())
        .chain(rows.iter().map(row))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Value {
        let over = |name: &str, p50: f64, rate: f64| {
            json!({"name": name, "one": {"p50_us": p50, "p99_us": 500.0}, "many": {"records_per_s": rate,
                "server_processor_us": 8.0, "client_processor_us": 4.0},
                "bulk": {"records_per_s": rate * 10.0}, "read": {"entries_per_s": rate * 40.0}})
        };
        json!({"date": "2026-11-28T00:00:00Z", "commit": "c",
            "floors": {"disk": {"p50_us": 100.0, "spread": 1.2}, "loopback": {"one_core_p50_us": 10.0, "two_cores_p50_us": 30.0}},
            "subjects": [over(ENGINE, 120.0, 250_000.0), over("over v1", 300.0, 50_000.0), over("over v2", 149.0, 126_000.0)],
            "follow": {"of": "1000 followers", "p50_us": 900.0, "p99_us": 21_000.0, "entries_per_s": 10_000.0},
            "scattered": {"segments": 10_000, "caught_up_ms": 400.0, "resumed_ms": 90.0, "memory_mib": 50.0, "cursor_bytes": 40,
                "p50_us": 90.0, "p99_us": 200.0},
            "memory": [{"name": "over v1", "connections": 1000, "fresh_kib": 20.0, "called_kib": 30.0},
                {"name": "over v2", "connections": 1000, "fresh_kib": 12.0, "called_kib": 16.5}]})
    }

    #[test]
    fn each_row_is_judged_by_its_bar() {
        let rows = rows(&run());
        let passes: Vec<_> = rows.iter().map(|row| row["pass"].as_bool()).collect();
        let [yes, no] = [Some(true), Some(false)];
        assert_eq!(passes, [yes, yes, yes, yes, no, yes, None, no]);
        assert_eq!(rows[0]["ratio"], "+19 µs (one core: +39)");
        assert_eq!(rows[1]["v2"], "126.0 k/s, 8.00 + 4.00 µs");
        assert!(cells(&rows).iter().all(|cells| cells.len() == 8));
    }

    #[test]
    fn nothing_is_judged_beside_an_unsteady_disk() {
        let mut run = run();
        run["floors"]["disk"]["spread"] = 3.0.into();
        let rows = rows(&run);
        assert!(rows.iter().all(|row| row["pass"].is_null()));
        assert_eq!(cells(&rows)[1][7], "noisy");
        assert_eq!(cells(&rows)[7][7], "", "what has no bar");
    }

    #[test]
    fn what_was_not_measured_has_no_row() {
        assert_eq!(rows(&json!({"memory": [], "follow": null})), Vec::<Value>::new());
    }
}
