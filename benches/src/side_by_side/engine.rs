//! One round of our engine in this process: what a server of it could reach at most.

use tokio::runtime::Runtime;

use super::{BULK, Plan, READS, Round, WRITERS, Work};
use crate::Outcome;
use crate::figures::Figures;
use crate::load::{self, Heads, Load, Subject};
use crate::ours::VARIANTS;
use crate::payload::SPACE;
use crate::rows::reads::read_all;
use crate::rows::remove;
use crate::servers::RECORD_BYTES;
use crate::verify;

/// Measures one round.
pub(super) fn round(plan: &Plan) -> Outcome<Round> {
    let dir = plan.fresh("engine")?;
    let variant = &VARIANTS[0];
    let runtime = Runtime::new()?;
    let ours = variant.open(&dir, 1)?;
    let subject = Subject::Ours(ours.clone());
    let mut heads = Vec::new();
    let loaded = |load: Load, heads: &mut Heads| {
        load::run(&runtime, &subject, plan.warming(load), heads)?;
        load::run(&runtime, &subject, load, heads)
    };
    let mut round = Round::new();
    if plan.does(Work::One) {
        round.push((Work::One, None, loaded(plan.load(1, 1), &mut heads)?));
    }
    if plan.does(Work::Many) {
        let many = loaded(plan.load(WRITERS, 1), &mut heads)?.led_by(Work::Many.leader());
        round.push((Work::Many, None, many));
    }
    if plan.does(Work::Read) {
        load::run(&runtime, &subject, plan.filling(), &mut heads)?;
        let mut reads = Vec::new();
        for _ in 0..READS {
            let reader = verify::read_space(&ours.stores[0], SPACE)?;
            reads.push(runtime.block_on(read_all(reader))?);
        }
        round.push((Work::Read, None, Figures::median(&reads)));
    }
    if plan.does(Work::Bulk) {
        let bulk = loaded(plan.load(WRITERS, BULK), &mut heads)?.led_by(Work::Bulk.leader());
        round.push((Work::Bulk, None, bulk));
    }
    drop(subject);
    ours.close(&runtime);
    verify::ours(&runtime, variant, &dir, 1, &heads, RECORD_BYTES)?;
    remove(&dir)?;
    Ok(round)
}
