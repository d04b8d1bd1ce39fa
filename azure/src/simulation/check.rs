//! Whether everything that anybody was told is true of the log.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::heads::Stored;
use super::time::Micros;
use super::truth::Truth;
use super::witness::{Attempt, Heard, Witness};

/// A group's commit time and the time when it was sent differ by no more: 5 s that a clock may be off, a second that the service does not tell, a second that
/// a clock may be set without being noticed, and the time of a check.
const TIME_OFF_MOST_MILLIS: i64 = 5_000 + 1_000 + 1_000 + 2_500;

/// The first thing that is not true.
///
/// # Errors
/// That.
pub fn check(witness: &Witness, truth: &Truth) -> Result<(), String> {
    if let Some(broken) = witness.broken.first() {
        return Err(broken.clone());
    }
    let there: BTreeMap<Uuid, Stored> = truth
        .entries
        .iter()
        .map(|(entry, stored)| (entry.id, *stored))
        .collect();
    let known = Known::new(witness);
    for attempt in &witness.attempts {
        check_attempt(attempt, &there, truth, &known)?;
    }
    check_ids(witness, &there)?;
    for sight in &witness.sights {
        let digest = truth.digests.get(sight.count as usize);
        if digest != Some(&sight.digest) {
            return Err(format!("{sight:?} is no prefix of the log"));
        }
        if let Some(asked) = sight.asked
            && sight.count < known.before(asked)
        {
            return Err(format!("{sight:?} is older than {} transactions", known.before(asked)));
        }
    }
    for attempt in &witness.attempts {
        if let Some(stored) = there.get(&attempt.entry.id)
            && attempt.asked == first_asked(witness, attempt.entry.id)
            && stored.number <= known.before(attempt.asked)
        {
            return Err(format!(
                "{attempt:?} stands at {stored:?}, before what was known when it was asked"
            ));
        }
    }
    check_times(witness, truth)
}

fn first_asked(witness: &Witness, id: Uuid) -> Micros {
    let of_id = witness.attempts.iter().filter(|attempt| attempt.entry.id == id);
    of_id.map(|attempt| attempt.asked).min().unwrap_or_default()
}

/// How many transactions somebody knew to be durable at each time.
struct Known(Vec<(Micros, u64)>);

impl Known {
    fn new(witness: &Witness) -> Self {
        let mut told: Vec<(Micros, u64)> = Vec::new();
        for attempt in &witness.attempts {
            match &attempt.told {
                Some((at, Heard::Durable(stored))) => told.push((*at, stored.number)),
                Some((at, Heard::Refused(misfit))) => told.push((*at, misfit.behind)),
                Some((_, Heard::NotStored | Heard::Unknown)) | None => {}
            }
        }
        told.extend(witness.sights.iter().map(|sight| (sight.told, sight.count)));
        told.sort_unstable();
        let mut most = 0;
        for (_, count) in &mut told {
            most = most.max(*count);
            *count = most;
        }
        Self(told)
    }

    /// What was known before this time.
    fn before(&self, time: Micros) -> u64 {
        let at = self.0.partition_point(|(told, _)| *told < time);
        self.0[..at].last().map_or(0, |(_, count)| *count)
    }
}

fn check_attempt(
    attempt: &Attempt,
    there: &BTreeMap<Uuid, Stored>,
    truth: &Truth,
    known: &Known,
) -> Result<(), String> {
    let stored = there.get(&attempt.entry.id);
    match &attempt.told {
        Some((_, Heard::Durable(told))) if stored != Some(told) => {
            Err(format!("acknowledged, and the log has it at {stored:?}: {attempt:?}"))
        }
        Some((_, Heard::Refused(misfit))) => {
            let heads = truth.heads.get(misfit.behind as usize);
            let head = heads.map(|heads| heads[attempt.entry.segment as usize]);
            if head != Some(misfit.head) {
                return Err(format!("refused behind a head of {head:?} in truth: {attempt:?}"));
            }
            if attempt
                .entry
                .sequence
                .is_none_or(|sequence| sequence == misfit.head + 1)
            {
                return Err(format!("refused, and it fits: {attempt:?}"));
            }
            if misfit.behind < known.before(attempt.asked) {
                return Err(format!("refused from an old state: {attempt:?}"));
            }
            // Whoever asks for the same elsewhere may have it later, if the head comes to it.
            let never = attempt.entry.sequence.is_some_and(|sequence| sequence <= misfit.head);
            match stored {
                Some(stored) if never => Err(format!("refused, and there at {stored:?}: {attempt:?}")),
                Some(_) | None => Ok(()),
            }
        }
        Some((_, Heard::Durable(_) | Heard::NotStored | Heard::Unknown)) => Ok(()),
        None => Err(format!("never told anything: {attempt:?}")),
    }
}

/// A transaction of which every attempt was told not to be stored is not there; what is there was asked for.
fn check_ids(witness: &Witness, there: &BTreeMap<Uuid, Stored>) -> Result<(), String> {
    let mut may_be: BTreeMap<Uuid, bool> = BTreeMap::new();
    for attempt in &witness.attempts {
        let may = matches!(&attempt.told, Some((_, Heard::Durable(_) | Heard::Unknown)));
        *may_be.entry(attempt.entry.id).or_default() |= may;
    }
    for (id, stored) in there {
        match may_be.get(id) {
            Some(true) => {}
            Some(false) => {
                return Err(format!(
                    "{id} was never stored, by all that was said, and stands at {stored:?}"
                ));
            }
            None => return Err(format!("nobody asked for {id}")),
        }
    }
    Ok(())
}

/// Commit times never go back, and come from clocks that are about right.
fn check_times(witness: &Witness, truth: &Truth) -> Result<(), String> {
    let sent: BTreeMap<_, _> = witness.sent.iter().map(|sent| (sent.group, sent.at)).collect();
    let mut before = i64::MIN;
    for (group, time) in &truth.groups {
        if *time < before {
            return Err(format!("the commit time of {group} goes back"));
        }
        before = *time;
        let at = sent.get(group).ok_or_else(|| format!("nobody sent {group}"))?;
        if time - at > TIME_OFF_MOST_MILLIS {
            return Err(format!("the commit time of {group} is {} ms ahead", time - at));
        }
    }
    Ok(())
}
