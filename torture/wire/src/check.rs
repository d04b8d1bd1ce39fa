//! Compares what everybody was told with what is there.

use streamkit_client::record::{Entry, Sequence};
use streamkit_torture::history::{Append, History};

use crate::follower::FollowSeen;
use crate::grants::Grants;
use crate::reads::{Acknowledged, Difference, difference, read_of};
use crate::sightings::Places;
use crate::truth::Truth;
use crate::witness::{Attempt, Broken, Fate, SEGMENTS, Witness, path, segment_of, written};

/// Every promise, once all is over.
pub(crate) fn check(witness: &Witness, truth: &Truth, follows: &[FollowSeen]) -> Vec<Broken> {
    let mut broken = witness.broken();
    let attempts = witness.attempts();
    broken.extend(attempts_of(&attempts, truth));
    broken.extend(demands(&attempts, truth));
    broken.extend(histories(witness, &attempts, truth));
    broken.extend(witness.grants().broken());
    broken.extend(fenced(&witness.grants(), &attempts, truth));
    let sightings = witness.sightings();
    let seen = sightings.places(truth);
    for entry in sightings.strange(&seen) {
        broken.push(format!("{} {} was seen, and is not there", entry.path, entry.sequence));
    }
    let acknowledged = Acknowledged::new(truth, &attempts);
    for read in &*witness.reads() {
        broken.extend(read_of(read, truth, &seen, &acknowledged));
    }
    for follow in follows {
        broken.extend(followed(follow, truth, &seen));
    }
    broken
}

/// Each is there whole and once, as it was told, or not at all.
fn attempts_of(attempts: &[Attempt], truth: &Truth) -> Vec<Broken> {
    let mut there: Vec<Vec<&Entry>> = vec![Vec::new(); attempts.len()];
    for entry in &truth.entries {
        if let Some((attempt, ..)) = written(entry, attempts) {
            there[attempt].push(entry);
        }
    }
    let mut broken = Vec::new();
    for ((number, attempt), entries) in (0..).zip(attempts).zip(&there) {
        let expected: u32 = attempt.parts.iter().map(|part| part.count).sum();
        let of_one = entries.windows(2).all(|two| two[0].trx == two[1].trx);
        if !entries.is_empty() && (entries.len() as u32 != expected || !of_one) {
            broken.push(format!(
                "attempt {number} is there {} of {expected} times",
                entries.len()
            ));
        }
        match &attempt.fate {
            Fate::There(position, time, firsts) => {
                let agrees = entries
                    .first()
                    .is_some_and(|entry| (entry.trx.number, entry.timestamp.0) == (*position, *time));
                let places = attempt.parts.iter().zip(firsts).all(|(part, first)| {
                    let of = entries.iter().filter(|entry| entry.path == path(part.segment));
                    of.map(|entry| entry.sequence.0)
                        .eq(*first..*first + u64::from(part.count))
                });
                if !agrees || !places {
                    broken.push(format!(
                        "attempt {number} was acknowledged, and is not there as told: {attempt:?}"
                    ));
                }
            }
            Fate::Never(why) if !entries.is_empty() => {
                broken.push(format!(
                    "attempt {number} was refused ({why}), and is there: {attempt:?}"
                ));
            }
            Fate::Never(_) | Fate::Open => {}
        }
    }
    broken
}

/// What a transaction demands held right before it in the log.
fn demands(attempts: &[Attempt], truth: &Truth) -> Vec<Broken> {
    let mut heads = [Sequence(0); SEGMENTS.len()];
    let mut broken = Vec::new();
    for transaction in truth.entries.chunk_by(|a, b| a.trx == b.trx) {
        if let Some((number, ..)) = transaction.first().and_then(|first| written(first, attempts)) {
            for (segment, expected) in &attempts[number].conditions {
                if !expected.holds(heads[*segment]) {
                    broken.push(format!(
                        "attempt {number} demands {expected:?} of {}, whose head was {}",
                        path(*segment),
                        heads[*segment]
                    ));
                }
            }
        }
        for entry in transaction {
            if let Some(segment) = segment_of(&entry.path) {
                heads[segment] = entry.sequence;
            }
        }
    }
    broken
}

/// Tokens go up in the log, and nothing is there whose token was known to be over before it was tried.
fn fenced(grants: &Grants, attempts: &[Attempt], truth: &Truth) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut newest = 0;
    let ends = grants.ends();
    for transaction in truth.entries.chunk_by(|a, b| a.trx == b.trx) {
        let Some((number, ..)) = transaction.first().and_then(|first| written(first, attempts)) else {
            continue;
        };
        let attempt = &attempts[number];
        let Some(token) = attempt.token else { continue };
        if token < newest {
            broken.push(format!(
                "attempt {number} of token {token} stands behind one of {newest}"
            ));
        }
        newest = newest.max(token);
        if ends.was_over(token, attempt.called) {
            broken.push(format!("attempt {number} of token {token}, which was over, is there"));
        }
    }
    broken
}

/// The answers about each segment could have happened one after the other.
fn histories(witness: &Witness, attempts: &[Attempt], truth: &Truth) -> Vec<Broken> {
    let mut histories = vec![History::default(); SEGMENTS.len()];
    for (segment, observation) in &*witness.observations() {
        histories[*segment].observations.push(*observation);
    }
    for entry in &truth.entries {
        let Some((attempt, part, 0)) = written(entry, attempts) else {
            continue;
        };
        let own = &attempts[attempt];
        let after = entry.sequence.0 - 1;
        histories[own.parts[part].segment].appends.push(Append {
            after,
            head: after + u64::from(own.parts[part].count),
            called: own.called,
            answered: own.answered,
        });
    }
    let named = histories.iter().zip(SEGMENTS);
    let failed = named.filter_map(|(history, (space, segment))| Some((history.check().err()?, space, segment)));
    failed
        .map(|(why, space, segment)| format!("{space}/{segment}: {why}"))
        .collect()
}

/// A follow has told all of its mix, once, in the order of the log.
fn followed(follow: &FollowSeen, truth: &Truth, seen: &Places) -> Option<Broken> {
    let expected = (0..truth.entries.len()).filter(|&at| follow.mix.has(&truth.entries[at]));
    let came = follow.seen.iter().map(|entry| seen.of(*entry));
    let Difference {
        at,
        one: came,
        other: due,
    } = difference(came, expected.map(Some))?;
    let name = |place: Option<Option<usize>>| match place {
        None => "nothing".to_owned(),
        Some(None) => "what is not there".to_owned(),
        Some(Some(at)) => {
            let entry = &truth.entries[at];
            format!("{} {} of {}", entry.path, entry.sequence, entry.trx.number)
        }
    };
    Some(format!(
        "a follow of {:?} saw {} entries; as number {at} came {} and not {}",
        follow.mix,
        follow.seen.len(),
        name(came),
        name(due)
    ))
}
