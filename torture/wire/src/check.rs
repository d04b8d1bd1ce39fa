//! Compares what everybody was told with what is there.

use streamkit_client::record::{Entry, Sequence};
use streamkit_torture::history::{Append, History};

use crate::follower::FollowSeen;
use crate::grants::Grants;
use crate::truth::Truth;
use crate::witness::{Attempt, Broken, Fate, ReadSeen, SEGMENTS, Witness, path, segment_of, written};

/// Every promise, once all is over.
pub(crate) fn check(witness: &Witness, truth: &Truth, follows: &[FollowSeen]) -> Vec<Broken> {
    let mut broken = witness.broken();
    let attempts = witness.attempts();
    broken.extend(attempts_of(&attempts, truth));
    broken.extend(demands(&attempts, truth));
    broken.extend(histories(witness, &attempts, truth));
    broken.extend(witness.grants().broken());
    broken.extend(fenced(&witness.grants(), &attempts, truth));
    for read in &*witness.reads() {
        broken.extend(read_of(read, &attempts, truth));
    }
    for entry in &*witness.glimpses() {
        if truth.find(entry).is_none() {
            broken.push(format!("{} {} was seen, and is not there", entry.path, entry.sequence));
        }
    }
    for follow in follows {
        broken.extend(followed(follow, truth));
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
        if grants.was_over(token, attempt.called) {
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

/// A read brings a row of the entries of its mix, with no gap, from where it was to begin, up to some head of its time.
fn read_of(read: &ReadSeen, attempts: &[Attempt], truth: &Truth) -> Option<Broken> {
    let behind = match &read.behind {
        None => 0,
        Some((path, sequence)) => match truth.place(path, *sequence) {
            Some(at) => at + 1,
            None => return Some(format!("a cursor stands behind {path} {sequence}, which is not there")),
        },
    };
    let of_mix: Vec<usize> = (behind..truth.entries.len())
        .filter(|&at| read.mix.has(&truth.entries[at]))
        .collect();
    let told = || {
        format!(
            "a read of {:?} behind {:?}, newest first: {}, limit {}, at least {}, whole: {}",
            read.mix, read.behind, read.newest_first, read.limit, read.at_least, read.is_whole
        )
    };
    let mut places = Vec::new();
    for entry in &read.entries {
        match truth.find(entry) {
            Some(at) => places.push(at),
            None => return Some(format!("{}: {} {} is not there", told(), entry.path, entry.sequence)),
        }
    }
    // What had to be told: all that was acknowledged before, and what was asked for.
    let acknowledged = |at: &usize| {
        let entry = &truth.entries[*at];
        let is_old = written(entry, attempts).is_some_and(|(attempt, ..)| {
            attempts[attempt]
                .answered
                .is_some_and(|answered| answered < read.called)
        });
        is_old || entry.trx.number <= read.at_least
    };
    let due = of_mix.iter().rposition(acknowledged).map_or(0, |last| last + 1);
    let count = places.len();
    if count as u64 > read.limit {
        return Some(format!("{}: {count} entries", told()));
    }
    let is_row = match (read.newest_first, count) {
        (_, 0) => true,
        (false, _) => of_mix.starts_with(&places),
        (true, _) => of_mix.windows(count).any(|row| row == places),
    };
    if !is_row {
        return Some(format!("{}: {places:?} of {of_mix:?}", told()));
    }
    if !read.is_whole {
        return None;
    }
    let is_full = count as u64 == read.limit;
    let is_complete = match (read.newest_first, places.last()) {
        (false, _) => is_full || count >= due,
        (true, None) => due == 0,
        // It ends at a head of its time; without a limit, it goes back to where it was to begin.
        (true, Some(last)) => {
            let end = of_mix.iter().position(|at| at == last).map_or(0, |at| at + 1);
            end >= due && (is_full || count == end)
        }
    };
    (!is_complete).then(|| format!("{}: it ends, {due} were due: {places:?} of {of_mix:?}", told()))
}

/// A follow has told all of its mix, once, in the order of the log.
fn followed(follow: &FollowSeen, truth: &Truth) -> Option<Broken> {
    let expected: Vec<&Entry> = truth.entries.iter().filter(|entry| follow.mix.has(entry)).collect();
    let seen: Vec<&Entry> = follow.seen.iter().collect();
    if seen == expected {
        return None;
    }
    let at = seen.iter().zip(&expected).position(|(a, b)| a != b);
    let at = at.unwrap_or(seen.len().min(expected.len()));
    let name =
        |of: Option<&&Entry>| of.map(|entry| format!("{} {} of {}", entry.path, entry.sequence, entry.trx.number));
    Some(format!(
        "a follow of {:?} saw {} entries of {}; at {at} {:?} and not {:?}",
        follow.mix,
        seen.len(),
        expected.len(),
        name(seen.get(at)),
        name(expected.get(at))
    ))
}
