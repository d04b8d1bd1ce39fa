//! The curve of latency against load that the plot shows: closed loops of 1 to 512 writers, on ours and the peers.

use serde_json::{Value, json};

use super::{Bench, remove};
use crate::figures::number;
use crate::load::{self, Load, Subject, Until};
use crate::ours::VARIANTS;
use crate::{Outcome, peers, verify};

/// Measures all points; one JSON object each.
///
/// # Errors
/// Of the stores.
pub fn points(bench: &Bench) -> Outcome<Vec<Value>> {
    let mut points = Vec::new();
    for variant in VARIANTS {
        let dir = bench.fresh(variant.name)?;
        let ours = variant.open(&dir, 1)?;
        let mut heads = Vec::new();
        sweep(
            bench,
            variant.name,
            &Subject::Ours(ours.clone()),
            &mut heads,
            &mut points,
        )?;
        ours.close(&bench.runtime);
        verify::ours(&bench.runtime, variant, &dir, 1, &heads, 256)?;
        remove(&dir)?;
    }
    for kind in peers::KINDS {
        if let Some(open) = kind.open {
            let dir = bench.fresh(kind.name)?;
            let mut heads = Vec::new();
            sweep(bench, kind.name, &Subject::Peer(open(&dir)?), &mut heads, &mut points)?;
            verify::peer(kind, &dir, &heads, 256)?;
            remove(&dir)?;
        }
    }
    Ok(points)
}

fn sweep(bench: &Bench, name: &str, subject: &Subject, heads: &mut load::Heads, points: &mut Vec<Value>) -> Outcome {
    load::run(&bench.runtime, subject, Load::single(64, Until::Calls(5)), heads)?;
    for writers in (0..=9).map(|power| 1 << power) {
        let load = Load::single(writers, Until::Elapsed(bench.slice()));
        let figures = load::run(&bench.runtime, subject, load, heads)?;
        let mut point = json!({"id": "load", "subject": name, "writers": writers, "quick": bench.quick});
        for figure in ["per_s", "p50_us", "p99_us", "p99.9_us"] {
            point[figure] = number(figures.get(figure));
        }
        points.push(point);
    }
    Ok(())
}
