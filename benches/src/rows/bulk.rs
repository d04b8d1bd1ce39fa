//! P4, large transactions of one producer against the device's bandwidth; P8, the disk that entries take.

use std::path::PathBuf;

use super::{Bench, remove};
use crate::figures::Figures;
use crate::load::{self, Heads, Load, Subject, Until};
use crate::ours::{Call, VARIANTS, Variant};
use crate::report::Row;
use crate::{Outcome, disk_bytes, floor, payload, peers, verify};

const BYTES: usize = 256;

/// Who writes what, and how much of it at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    writers: usize,
    /// Records of a transaction.
    records: usize,
    /// Transactions of a writer.
    in_flight: usize,
}

/// The bar's.
const LARGE: Shape = Shape {
    writers: 1,
    records: 1000,
    in_flight: 1,
};

const SHAPES: &[Shape] = &[
    LARGE,
    Shape { in_flight: 4, ..LARGE },
    Shape {
        writers: 64,
        records: 100,
        in_flight: 1,
    },
];

impl Shape {
    fn work(&self, name: &str) -> String {
        let Self {
            writers,
            records,
            in_flight,
        } = self;
        let writers = match writers {
            1 => "1 producer".to_owned(),
            many => format!("{many} producers"),
        };
        format!("{writers}, transactions of {records} × {BYTES} B; {name}, {in_flight} in flight")
    }

    /// What is to be reached, and whether it is.
    fn judge(&self, records_per_s: f64, ratio: f64) -> (&'static str, bool) {
        if self.writers == 1 {
            let bar = "≥ 50 % of the device's MB/s, or 1 M records/s";
            (bar, ratio >= 0.5 || records_per_s >= 1e6)
        } else {
            ("goal: ≥ 2 M records/s", records_per_s >= 2e6)
        }
    }
}

/// A way to write, where, and what it reached.
struct Under {
    variant: Option<&'static Variant>,
    peer: Option<&'static peers::Kind>,
    shape: Shape,
    subject: Subject,
    dir: PathBuf,
    heads: Heads,
    figures: Vec<Figures>,
}

/// P4.
pub(super) fn bandwidth(bench: &Bench) -> Outcome<Vec<Row>> {
    let mut all = open(bench)?;
    let mut floors = Vec::new();
    for repetition in 0..=bench.repetitions() {
        floors.push(floor::sequential(&bench.dir, bench.slice() / 2)?);
        if repetition == bench.repetitions() {
            break;
        }
        all.rotate_left(1);
        for under in &mut all {
            let until = Until::Elapsed(bench.slice());
            let load = Load {
                writers: under.shape.writers,
                records: under.shape.records,
                bytes: BYTES,
                in_flight: under.shape.in_flight,
                until,
            };
            let figures = load::run(&bench.runtime, &under.subject, load, &mut under.heads)?;
            let bandwidth = figures.get("records_per_s") * BYTES as f64 / 1e6;
            under
                .figures
                .push(figures.with("mb_per_s", bandwidth).led_by("records_per_s"));
        }
    }
    let floor = Figures::floor(&floors);
    let (mut peers, mut ours) = (Vec::new(), Vec::new());
    for under in all {
        if let Subject::Ours(ours) = &under.subject {
            ours.clone().close(&bench.runtime);
        }
        drop(under.subject);
        let figures = Figures::median(&under.figures);
        if let Some(variant) = under.variant {
            verify::ours(&bench.runtime, variant, &under.dir, 1, &under.heads, BYTES)?;
            ours.push((under.shape, variant.name, figures));
        } else if let Some(kind) = under.peer {
            verify::peer(kind, &under.dir, &under.heads, BYTES)?;
            peers.push((under.shape, kind.name, figures));
        }
        remove(&under.dir)?;
    }
    ours.sort_by_key(|&(shape, name, _)| (SHAPES.iter().position(|&other| other == shape), name));
    let rows = ours.into_iter().map(|(shape, name, figures)| {
        let ratio = figures.get("mb_per_s") / floor.get("mb_per_s");
        let (bar, pass) = shape.judge(figures.get("records_per_s"), ratio);
        // A peer takes one transaction of a writer at a time.
        let same = |other: &Shape| (other.writers, other.records) == (shape.writers, shape.records);
        let peers = peers.iter().filter(|(other, ..)| same(other));
        Row {
            id: "P4",
            work: bench.work(shape.work(name)),
            floor: floor.clone(),
            pass: Some(pass),
            ours: figures,
            peers: peers.map(|(_, name, figures)| (*name, figures.clone())).collect(),
            ratio: Some(ratio),
            bar: bar.into(),
        }
    });
    Ok(rows.collect())
}

fn open(bench: &Bench) -> Outcome<Vec<Under>> {
    let mut all = Vec::new();
    let under = |variant, peer, shape, subject, dir| Under {
        variant,
        peer,
        shape,
        subject,
        dir,
        heads: Vec::new(),
        figures: Vec::new(),
    };
    for variant in VARIANTS {
        let possible = |shape: &&Shape| shape.in_flight == 1 || variant.call == Call::Async;
        for (number, &shape) in SHAPES.iter().filter(possible).enumerate() {
            let dir = bench.fresh(&format!("{} {number}", variant.name))?;
            let subject = Subject::Ours(variant.open(&dir, 1)?);
            all.push(under(Some(variant), None, shape, subject, dir));
        }
    }
    for kind in peers::KINDS {
        for (number, &shape) in SHAPES.iter().filter(|shape| shape.in_flight == 1).enumerate() {
            if let Some(open) = kind.open {
                let dir = bench.fresh(&format!("{} {number}", kind.name))?;
                all.push(under(None, Some(kind), shape, Subject::Peer(open(&dir)?), dir));
            }
        }
    }
    Ok(all)
}

/// P8.
pub(super) fn space(bench: &Bench) -> Outcome<Vec<Row>> {
    let variant = &VARIANTS[0];
    let (records, calls) = (100, bench.scaled(40_000, 1000));
    let dir = bench.fresh("space")?;
    let ours = variant.open(&dir, 1)?;
    let load = Load {
        writers: 1,
        records,
        bytes: BYTES,
        in_flight: 8,
        until: Until::Calls(calls),
    };
    let mut heads = Vec::new();
    load::run(&bench.runtime, &Subject::Ours(ours.clone()), load, &mut heads)?;
    ours.close(&bench.runtime);
    verify::ours(&bench.runtime, variant, &dir, 1, &heads, BYTES)?;
    let path = payload::path(0);
    // The names once for each transaction: no more than a reader could not do without.
    let names = path.space.as_str().len() + path.segment.as_str().len();
    let content = calls as f64 * (records * BYTES + names) as f64;
    let ratio = disk_bytes(&dir)? as f64 / content;
    remove(&dir)?;
    Ok(vec![Row {
        id: "P8",
        work: bench.work(format!(
            "disk ÷ content, {} × {BYTES} B in transactions of {records}, all files",
            calls * records as u64
        )),
        ours: Figures(vec![("bytes_per_byte", ratio)]),
        ratio: Some(ratio),
        bar: "≤ 1.25".into(),
        pass: Some(ratio <= 1.25),
        ..Row::default()
    }])
}
