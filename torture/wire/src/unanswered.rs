//! Calls whose answers never come: behind some byte, nothing moves any more, and nobody is told. Each call has to end by itself, with an
//! error of its own; what it tells instead has to be true.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::Error;
use streamkit_client::record::{Entry, Record, SegmentPath, Sequence};
use streamkit_engine::{Dice, LocalStore, Store as _, Transaction};

use crate::asks::{Asks, KINDS, Kind};
use crate::host::{Host, Trouble, client_within};
use crate::proxy::{End, Fate, Proxy, Way};
use crate::reader::is_of_the_network;
use crate::run::Counts;
use crate::truth::entries_of;
use crate::witness::Broken;
use crate::writer::{nobody_knows, nothing_was_done};

/// Calls of one seed, all at once.
const CALLS: u64 = 52;

/// What a call has before it must end. A follow has three seconds: its server is silent for as long.
const DEADLINE: Duration = Duration::from_millis(300);

/// A call that takes longer has no end.
const HANGS: Duration = Duration::from_secs(40);

/// Entries that all segments begin with, each in a transaction of its own.
pub(crate) const OWN: u64 = 3;

/// And the one that is read.
const FILLED: u64 = 60;

/// Bytes of a greeting, or somewhat more.
const GREETING: u64 = 500;

/// What one call did.
enum Ended {
    Answered,
    Failed(Error),
}

/// Runs a seed. Returns what it did, and which promises were broken.
///
/// # Errors
/// Nothing could be tried.
pub async fn unanswered(seed: u64) -> Result<(Counts, Vec<Broken>), Trouble> {
    let folder = tempfile::tempdir()?;
    let host = Host::in_folder(folder.path()).await?;
    let store = Arc::new(host.store().await?);
    let filled = fill(&store, &SegmentPath::new("full", "all")?, FILLED, 2000).await?;
    let filled: Arc<[Entry]> = filled.into();
    let mut broken = Vec::new();
    let mut moved = Vec::new();
    for (kind, number) in KINDS.into_iter().zip(CALLS..) {
        let proxy = Proxy::before(host.address, |_| Fate::default()).await?;
        let asks = asks(kind, number, &proxy, Duration::from_secs(30), &store, &filled).await?;
        match asks.ask().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => broken.push(format!("{kind:?} fails undisturbed: {error}")),
            Err(why) => broken.push(format!("{kind:?}, undisturbed: {why}")),
        }
        moved.push(proxy.moved());
    }
    let calls = (0..CALLS).map(|number| {
        let which = number as usize % KINDS.len();
        let mut dice = Dice::new(seed.wrapping_mul(0x9E37_79B9) ^ number);
        let fates = fates(&mut dice, moved[which]);
        let (host, store, filled) = (&host, &store, &filled);
        async move {
            let proxy = Proxy::before(host.address, move |connection| fates[connection.min(1) as usize]).await?;
            let asks = asks(KINDS[which], number, &proxy, DEADLINE, store, filled).await?;
            let ended = match tokio::time::timeout(HANGS, asks.ask()).await {
                Ok(Ok(Ok(()))) => Ok(Ended::Answered),
                Ok(Ok(Err(error))) => Ok(Ended::Failed(error)),
                Ok(Err(why)) => Err(why),
                Err(_) => Err(format!("it has no end, and a deadline of {DEADLINE:?}")),
            };
            Ok::<_, Trouble>((asks, ended.map_err(|why| format!("{why}; {fates:?}"))))
        }
    });
    let ended: Vec<_> = futures_util::stream::iter(calls)
        .buffer_unordered(CALLS as usize)
        .collect()
        .await;
    // What is still on its way has come, or never will.
    let engine = host.stop().await;
    let mut counts = Counts::default();
    for ended in ended {
        let (asks, ended) = ended?;
        counts.attempts += 1;
        let why = match ended {
            Ok(Ended::Answered) => None,
            Ok(Ended::Failed(error)) => {
                counts.unanswered += 1;
                false_error(&asks, &error).await
            }
            Err(why) => Some(why),
        };
        broken.extend(why.map(|why| format!("{:?} {}: {why}", asks.kind, asks.own)));
    }
    drop(store);
    tokio::task::spawn_blocking(move || drop(engine)).await?;
    Ok((counts, broken))
}

/// What becomes of the first connection, and of all later ones.
fn fates(dice: &mut Dice, (up, down): (u64, u64)) -> [Fate; 2] {
    let silent = |byte: u64| Way {
        cut: Some(byte),
        end: End::Silent,
        ..Way::default()
    };
    let mut fate = |up: u64, down: u64| match dice.chance(1, 4) {
        true => Fate {
            up: silent(1 + dice.below(up)),
            ..Fate::default()
        },
        false => Fate {
            down: silent(1 + dice.below(down)),
            ..Fate::default()
        },
    };
    let (first, later, greeting) = (fate(up, down), fate(up, down), fate(GREETING, GREETING));
    let later = [first, later, greeting, Fate::default()][dice.below(4) as usize];
    [first, later]
}

/// Somebody who asks, and what is there for it.
async fn asks(
    kind: Kind,
    number: u64,
    proxy: &Proxy,
    deadline: Duration,
    store: &Arc<LocalStore>,
    filled: &Arc<[Entry]>,
) -> Result<Asks, Trouble> {
    let own = SegmentPath::new(&format!("own-{number}"), "s")?;
    Ok(Asks {
        kind,
        store: client_within(proxy.address, deadline)?,
        there: store.clone(),
        filled: filled.clone(),
        before: fill(store, &own, OWN, 20).await?,
        own,
    })
}

async fn fill(store: &LocalStore, path: &SegmentPath, entries: u64, bytes: usize) -> Result<Vec<Entry>, Trouble> {
    for sequence in 1..=entries {
        let record = Record::new(vec![sequence as u8; bytes]);
        let transaction = Transaction::single(path.clone(), Sequence(sequence), vec![record]);
        store.append(transaction).await?;
    }
    Ok(entries_of(store, path).await?)
}

/// Why an error should not have come, or is not true.
async fn false_error(asks: &Asks, error: &Error) -> Option<Broken> {
    if !is_of_the_network(error) && !nobody_knows(error) {
        return Some(format!("it fails for no reason: {error}"));
    }
    // The first of several appends may have been stored.
    if !nothing_was_done(error) || asks.kind == Kind::Produce {
        return None;
    }
    match entries_of(&*asks.there, &asks.own).await {
        Ok(entries) if entries == asks.before => None,
        Ok(_) => Some(format!("it is said not to be done, and is: {error}")),
        Err(why) => Some(why),
    }
}
