//! Ordinary peers beside starving ones. Each of their calls has to succeed: the server has little room, and whoever holds it without using
//! it gives way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::record::{Entry, LogCursor, ReadSource, Record, SegmentAppend, SegmentPath, Sequence, Wanted};
use streamkit_client::{Append, Batch, Follow, Followed, Read, StoreClient};
use streamkit_engine::{Dice, LocalStore, Store as _, Transaction};
use streamkit_server_core::Limits;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::host::{Host, Trouble, client_within};
use crate::run::Counts;
use crate::starving::starve;
use crate::truth::entries_of;
use crate::witness::{Broken, Witness, name};

const STARVING: u64 = 8;
const PRODUCERS: u64 = 2;
const FOLLOWERS: u64 = 2;
const READERS: u64 = 2;

/// Transactions of each producer.
const APPENDS: u64 = 25;
const READS: u64 = 8;

/// How long a call of an ordinary peer may wait for the server: many times what others may hold its room for.
const DEADLINE: Duration = Duration::from_secs(20);

/// Nobody who starves is relieved by another deadline.
const NEVER: Duration = Duration::from_secs(3600);

/// Entries that all read, and their bytes.
const FILLED: u64 = 64;
const FILLED_BYTES: usize = 64 << 10;

/// Runs a seed. Returns what it did, and which promises were broken.
///
/// # Errors
/// Nothing could be tried.
pub async fn starved(seed: u64) -> Result<(Counts, Vec<Broken>), Trouble> {
    let folder = tempfile::tempdir()?;
    let limits = Limits {
        // Little: those who starve could hold all of it.
        outgoing_bytes: 24 << 20,
        frames_bytes: 0,
        give_way: Duration::from_millis(150),
        write_deadline: NEVER,
        silence: NEVER,
        handshake_rate: u32::MAX,
        handshakes_per_address: 1024,
        shutdown_deadline: Duration::from_millis(100),
        ..Limits::default()
    };
    let host = Host::with(folder.path(), limits).await?;
    let store = Arc::new(host.store().await?);
    let full = SegmentPath::new("full", "all")?;
    for sequence in 1..=FILLED {
        let record = Record::new(vec![sequence as u8; FILLED_BYTES]);
        let transaction = Transaction::single(full.clone(), Sequence(sequence), vec![record]);
        store.append(transaction).await?;
    }
    let filled: Arc<[Entry]> = entries_of(&*store, &full).await?.into();
    let witness = Arc::new(Witness::default());
    let dice = |kind: u64, number: u64| Dice::new(seed.wrapping_mul(31) ^ (kind << 32) ^ number);
    let ending = CancellationToken::new();
    let mut starving = JoinSet::new();
    for number in 0..STARVING {
        starving.spawn(starve(host.address, witness.clone(), dice(1, number), ending.clone()));
    }
    let mut ordinary: JoinSet<Result<Vec<Entry>, Broken>> = JoinSet::new();
    for number in 0..PRODUCERS {
        ordinary.spawn(produces(ordinary_client(host.address)?, number, dice(2, number)));
    }
    for _ in 0..FOLLOWERS {
        ordinary.spawn(follows(ordinary_client(host.address)?));
    }
    for number in 0..READERS {
        ordinary.spawn(reads(ordinary_client(host.address)?, filled.clone(), dice(3, number)));
    }
    let mut seen = Vec::new();
    while let Some(done) = ordinary.join_next().await {
        match done? {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => seen.push(entries),
            Err(why) => {
                witness.breaks(why);
                break;
            }
        }
    }
    ordinary.shutdown().await;
    ending.cancel();
    while let Some(done) = starving.join_next().await {
        done?;
    }
    let mut broken = witness.broken();
    let mut counts = Counts::default();
    if broken.is_empty() {
        broken.extend(check(&store, &seen).await?);
        counts.attempts = (PRODUCERS * APPENDS) as usize;
        counts.reads = (READERS * READS) as usize;
        counts.entries = seen.iter().map(Vec::len).max().unwrap_or_default();
    }
    drop(store);
    let engine = host.stop().await;
    tokio::task::spawn_blocking(move || drop(engine)).await?;
    Ok((counts, broken))
}

fn ordinary_client(address: SocketAddr) -> Result<StoreClient, Trouble> {
    client_within(address, DEADLINE)
}

fn of_producer(number: u64) -> SegmentPath {
    SegmentPath::new("ordinary", &format!("p-{number}")).expect("a name")
}

/// What every follower has seen is what is there.
async fn check(store: &LocalStore, seen: &[Vec<Entry>]) -> Result<Vec<Broken>, Trouble> {
    let mut broken = Vec::new();
    for number in 0..PRODUCERS {
        let path = of_producer(number);
        let there = entries_of(store, &path).await?;
        for seen in seen {
            if !seen.iter().filter(|entry| entry.path == path).eq(&there) {
                broken.push(format!("a follow saw other entries of {path} than there are"));
            }
        }
    }
    Ok(broken)
}

async fn produces(store: StoreClient, number: u64, mut dice: Dice) -> Result<Vec<Entry>, Broken> {
    let path = of_producer(number);
    for sequence in 1..=APPENDS {
        let most = 1 << (6 + dice.below(15));
        let section = SegmentAppend {
            path: path.clone(),
            first_sequence: Sequence(sequence),
            records: vec![Record::new(vec![sequence as u8; dice.below(most) as usize])],
        };
        let appended = store.append(Append::new(vec![section])).await;
        appended.map_err(|error| format!("an append of an ordinary producer fails: {error}"))?;
    }
    Ok(Vec::new())
}

/// Until all is told that the producers append.
async fn follows(store: StoreClient) -> Result<Vec<Entry>, Broken> {
    let mut told = store.follow(Follow::new(vec![Wanted::Space(name("ordinary"))], LogCursor::default()));
    let mut seen = Vec::new();
    while (seen.len() as u64) < PRODUCERS * APPENDS {
        match told.next().await {
            Some(Ok(Followed::Batch(entries, _))) => seen.extend(entries),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(format!("a follow of an ordinary consumer fails: {error}")),
            None => return Err("a follow ends without an error".to_owned()),
        }
    }
    Ok(seen)
}

async fn reads(store: StoreClient, filled: Arc<[Entry]>, mut dice: Dice) -> Result<Vec<Entry>, Broken> {
    for _ in 0..READS {
        let fails = |error| format!("an ordinary consumer fails: {error}");
        let limit = 1 + dice.below(FILLED);
        let mut batches = store.read(Read {
            entries: limit,
            ..Read::all(ReadSource::Segment(
                filled[0].path.clone(),
                Sequence::FIRST,
                Sequence(u64::MAX),
            ))
        });
        let mut came = Vec::new();
        let mut has_ended = false;
        while let Some(batch) = batches.next().await {
            match batch.map_err(fails)? {
                Batch::Entries(entries) => came.extend(entries),
                Batch::End(_) => has_ended = true,
            }
        }
        if !has_ended || came != filled[..limit as usize] {
            return Err(format!("a read of {limit} brings {}, its end: {has_ended}", came.len()));
        }
        let status = store.status("full", "all").await.map_err(fails)?;
        if status.entry_count != FILLED {
            return Err(format!("an ordinary consumer is told {status:?}"));
        }
    }
    Ok(Vec::new())
}
