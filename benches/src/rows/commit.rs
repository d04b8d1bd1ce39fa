//! P1, P2 and P3: one record per transaction, durable, from one writer and from 64, on ours and the peers.

use std::path::PathBuf;

use super::{Bench, remove};
use crate::figures::Figures;
use crate::load::{self, Heads, Load, Subject, Until};
use crate::ours::{Call, VARIANTS, Variant};
use crate::report::Row;
use crate::{Outcome, floor, peers, verify};

const WRITERS: usize = 64;

/// A subject, where it writes, and what it reached.
struct Under {
    name: &'static str,
    kind: Kind,
    subject: Subject,
    dir: PathBuf,
    heads: Heads,
    one: Vec<Figures>,
    many: Vec<Figures>,
}

#[derive(Clone, Copy)]
enum Kind {
    Ours(&'static Variant),
    Peer(&'static peers::Kind),
}

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let mut subjects = open(bench)?;
    let one = Load::single(1, Until::Calls(bench.scaled(2000, 200)));
    let many = Load::single(WRITERS, Until::Elapsed(bench.slice()));
    let mut floors = Vec::new();
    let mut depths = Vec::new();
    for under in &mut subjects {
        load::run(
            &bench.runtime,
            &under.subject,
            Load::single(WRITERS, Until::Calls(5)),
            &mut under.heads,
        )?;
    }
    for repetition in 0..=bench.repetitions() {
        floors.push(floor::one_at_a_time(
            &bench.dir,
            floor::GROUP_BYTES,
            bench.scaled(2000, 200),
        )?);
        depths.push(floor::at_depth(&bench.dir, 1, 32, floor::BLOCK_BYTES, bench.slice() / 2)?.led_by("per_s"));
        if repetition == bench.repetitions() {
            break;
        }
        // Another goes first each time.
        subjects.rotate_left(1);
        for under in &mut subjects {
            under
                .one
                .push(load::run(&bench.runtime, &under.subject, one, &mut under.heads)?);
        }
        for under in &mut subjects {
            let figures = load::run(&bench.runtime, &under.subject, many, &mut under.heads)?;
            under.many.push(figures.led_by("records_per_s"));
        }
    }
    let measured = finish(bench, subjects)?;
    Ok(judge(
        bench,
        &measured,
        &Figures::floor(&floors),
        &Figures::floor(&depths),
    ))
}

fn open(bench: &Bench) -> Outcome<Vec<Under>> {
    let mut subjects = Vec::new();
    let mut add = |name, kind, subject, dir| {
        subjects.push(Under {
            name,
            kind,
            subject,
            dir,
            heads: Vec::new(),
            one: Vec::new(),
            many: Vec::new(),
        });
    };
    for variant in VARIANTS {
        let dir = bench.fresh(variant.name)?;
        let ours = variant.open(&dir, 1)?;
        add(variant.name, Kind::Ours(variant), Subject::Ours(ours), dir);
    }
    for kind in peers::KINDS {
        if let Some(open) = kind.open {
            let dir = bench.fresh(kind.name)?;
            add(kind.name, Kind::Peer(kind), Subject::Peer(open(&dir)?), dir);
        }
    }
    Ok(subjects)
}

/// What a subject reached: one writer, many writers.
struct Measured {
    name: &'static str,
    kind: Kind,
    one: Figures,
    many: Figures,
}

/// Closes all, opens each again and reads everything back.
fn finish(bench: &Bench, subjects: Vec<Under>) -> Outcome<Vec<Measured>> {
    let mut measured = Vec::new();
    for under in subjects {
        if let Subject::Ours(ours) = &under.subject {
            ours.clone().close(&bench.runtime);
        }
        drop(under.subject);
        match under.kind {
            Kind::Ours(variant) => verify::ours(&bench.runtime, variant, &under.dir, 1, &under.heads, 256)?,
            Kind::Peer(kind) => verify::peer(kind, &under.dir, &under.heads, 256)?,
        }
        remove(&under.dir)?;
        let (one, many) = (Figures::median(&under.one), Figures::median(&under.many));
        measured.push(Measured {
            name: under.name,
            kind: under.kind,
            one,
            many,
        });
    }
    measured.sort_by_key(|measured| position(measured.kind));
    Ok(measured)
}

/// The place in the table: as the variants and peers are listed.
fn position(kind: Kind) -> usize {
    match kind {
        Kind::Ours(variant) => VARIANTS
            .iter()
            .position(|other| other.name == variant.name)
            .unwrap_or(0),
        Kind::Peer(_) => VARIANTS.len(),
    }
}

fn judge(bench: &Bench, measured: &[Measured], floor: &Figures, depth: &Figures) -> Vec<Row> {
    let theirs = || {
        measured
            .iter()
            .filter(|measured| matches!(measured.kind, Kind::Peer(_)))
    };
    let one_of_peers: Vec<_> = theirs().map(|peer| (peer.name, peer.one.clone())).collect();
    let many_of_peers: Vec<_> = theirs().map(|peer| (peer.name, peer.many.clone())).collect();
    let fastest = one_of_peers
        .iter()
        .map(|(_, peer)| peer.get("p50_us"))
        .fold(f64::NAN, f64::min);
    let most = many_of_peers
        .iter()
        .map(|(_, peer)| peer.get("records_per_s"))
        .fold(f64::NAN, f64::max);
    let all_built = peers::KINDS.iter().all(|kind| kind.open.is_some());
    let mut rows = [Vec::new(), Vec::new(), Vec::new()];
    for ours in measured {
        let Kind::Ours(variant) = ours.kind else { continue };
        let bar = if variant.call == Call::Blocking { 1.15 } else { 1.3 };
        let ratio = ours.one.get("p50_us") / floor.get("p50_us");
        rows[0].push(Row {
            id: "P1",
            work: bench.work(format!("1 writer, one 256 B record; {}", ours.name)),
            floor: floor.clone(),
            ours: ours.one.clone(),
            peers: one_of_peers.clone(),
            ratio: Some(ratio),
            bar: format!("p50 ≤ {bar} × floor"),
            pass: Some(ratio <= bar),
        });
        let ratio = ours.many.get("records_per_s") / ours.one.get("records_per_s");
        let fast = ratio >= 25.0 || ours.many.get("records_per_s") >= 120_000.0;
        rows[1].push(Row {
            id: "P2",
            work: bench.work(format!("{WRITERS} writers, one 256 B record; {}", ours.name)),
            floor: depth.clone(),
            ours: ours.many.clone(),
            peers: many_of_peers.clone(),
            ratio: Some(ratio),
            bar: "≥ 25 × P1 or 120 k/s; p99 ≤ 8 × P1's p50".into(),
            pass: Some(fast && ours.many.get("p99_us") <= 8.0 * ours.one.get("p50_us")),
        });
        let against =
            |work: String, ours: &Figures, peers: &[(&'static str, Figures)], ratio: f64, bar: &str, pass| Row {
                id: "P3",
                work: bench.work(work),
                ours: ours.clone(),
                peers: peers.to_vec(),
                ratio: ratio.is_finite().then_some(ratio),
                bar: bar.into(),
                pass: all_built.then_some(pass),
                ..Row::default()
            };
        let ratio = ours.one.get("p50_us") / fastest;
        let work = format!("1 writer against the peers; {}", ours.name);
        rows[2].push(against(
            work,
            &ours.one,
            &one_of_peers,
            ratio,
            "p50 ≤ the better's",
            ratio <= 1.0,
        ));
        let ratio = ours.many.get("records_per_s") / most;
        let work = format!("{WRITERS} writers against the peers; {}", ours.name);
        rows[2].push(against(
            work,
            &ours.many,
            &many_of_peers,
            ratio,
            "≥ 2 × the better",
            ratio >= 2.0,
        ));
    }
    rows.into_iter().flatten().collect()
}
