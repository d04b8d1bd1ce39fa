//! Latency against load as an SVG picture, both axes logarithmic: for each number of writers, what was reached and how long
//! a durable append took.

use std::fmt::Write as _;

use serde_json::Value;

/// A drawing's size and the room around it, in pixels.
const SIZE: (f64, f64) = (900.0, 560.0);
const ROOM: (f64, f64, f64, f64) = (80.0, 30.0, 210.0, 60.0);

const COLORS: [&str; 8] = [
    "#0b6e4f", "#d1495b", "#30638e", "#edae49", "#7b4fa3", "#5c5c5c", "#00798c", "#a4452c",
];

/// A curve: its name, and for each number of writers the load reached and its p50 and p99 in microseconds.
struct Curve {
    name: String,
    points: Vec<(u64, f64, f64, f64)>,
}

/// Draws the newest load curves of a history; `None` if it has none.
pub fn draw(history: &[Value]) -> Option<String> {
    let rows: Vec<&Value> = history.iter().filter(|row| row["id"] == "load").collect();
    let newest = rows.last()?["date"].as_str()?;
    let rows: Vec<&Value> = rows.iter().copied().filter(|row| row["date"] == newest).collect();
    let curves = curves(&rows);
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let x = Axis::over(all().map(|point| point.1), ROOM.0, SIZE.0 - ROOM.2)?;
    let y = Axis::over(all().flat_map(|point| [point.2, point.3]), SIZE.1 - ROOM.3, ROOM.1)?;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        SIZE.0, SIZE.1
    );
    grid(&mut svg, &x, &y);
    for (index, curve) in curves.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        line(&mut svg, curve, color, |point| (x.at(point.1), y.at(point.2)), "");
        line(
            &mut svg,
            curve,
            color,
            |point| (x.at(point.1), y.at(point.3)),
            " stroke-dasharray=\"5 4\" opacity=\"0.6\"",
        );
        for point in &curve.points {
            let (left, top) = (x.at(point.1), y.at(point.2));
            let what = format!(
                "{}, {} writers: {:.0}/s, p50 {:.0} µs, p99 {:.0} µs",
                curve.name, point.0, point.1, point.2, point.3
            );
            let _ = writeln!(
                svg,
                "<circle cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"3.5\" fill=\"{color}\"><title>{}</title></circle>",
                escape(&what)
            );
        }
        let (left, top) = (SIZE.0 - ROOM.2 + 20.0, ROOM.1 + 20.0 + index as f64 * 22.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{color}\"/><text x=\"{}\" y=\"{top}\">{}</text>",
            top - 6.0,
            left + 20.0,
            escape(&curve.name)
        );
    }
    let commit = rows.last()?["commit"].as_str().unwrap_or_default();
    let scaled = if rows.iter().any(|row| row["quick"] == true) {
        "; scaled down: no result"
    } else {
        ""
    };
    let note = format!(
        "durable appends of one 256 B record, closed loop, 1 to 512 writers; solid p50, dashed p99; {newest}, {commit}{scaled}"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\">{}</text>\n</svg>",
        ROOM.0,
        SIZE.1 - 10.0,
        escape(&note)
    );
    Some(svg)
}

fn curves(rows: &[&Value]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for row in rows {
        let number = |name: &str| row[name].as_f64().filter(|value| *value > 0.0);
        let (Some(name), Some(writers)) = (row["subject"].as_str(), row["writers"].as_u64()) else {
            continue;
        };
        let (Some(rate), Some(p50), Some(p99)) = (number("per_s"), number("p50_us"), number("p99_us")) else {
            continue;
        };
        let point = (writers, rate, p50, p99);
        match curves.iter_mut().find(|curve| curve.name == name) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve {
                name: name.to_owned(),
                points: vec![point],
            }),
        }
    }
    for curve in &mut curves {
        curve.points.sort_by_key(|point| point.0);
    }
    curves
}

/// A logarithmic axis over whole decades.
struct Axis {
    decades: (i32, i32),
    pixels: (f64, f64),
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = ends?;
        let first = low.log10().floor() as i32;
        Some(Self {
            decades: (first, (high.log10().ceil() as i32).max(first + 1)),
            pixels: (from, to),
        })
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.decades.0)) / f64::from(self.decades.1 - self.decades.0);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Where lines stand: 1, 2 and 5 of each decade.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let end = 10_f64.powi(self.decades.1);
        let ticks =
            (self.decades.0..=self.decades.1).flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)));
        ticks.filter(move |tick| *tick <= end * 1.001)
    }
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    for tick in x.ticks() {
        let left = x.at(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.1} {:.1}V{:.1}\" stroke=\"#ddd\"/><text x=\"{left:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>",
            y.pixels.0,
            y.pixels.1,
            y.pixels.0 + 18.0
        );
    }
    for tick in y.ticks() {
        let top = y.at(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {top:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick} µs</text>",
            x.pixels.0,
            x.pixels.1,
            x.pixels.0 - 6.0,
            top + 4.0
        );
    }
    let (left, top) = (x.pixels.1, y.pixels.0 + 36.0);
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{top}\" text-anchor=\"end\">appends a second</text>"
    );
}

fn line(svg: &mut String, curve: &Curve, color: &str, at: impl Fn(&(u64, f64, f64, f64)) -> (f64, f64), style: &str) {
    let points: Vec<String> = curve
        .points
        .iter()
        .map(&at)
        .map(|(left, top)| format!("{left:.1},{top:.1}"))
        .collect();
    let points = points.join(" ");
    let _ = writeln!(
        svg,
        "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"{style}/>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
