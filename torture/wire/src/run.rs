//! One seed: everybody at work at once, then the server leaves, and what is there is compared with what was told.

use std::net::SocketAddr;
use std::sync::Arc;

use streamkit_client::StoreClient;
use streamkit_engine::Dice;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::check::check;
use crate::follower::{FollowSeen, Follower};
use crate::holder::Holder;
use crate::host::{Host, Trouble, client};
use crate::proxy::{Fate, Proxy};
use crate::raw::Raw;
use crate::reader::Reader;
use crate::truth::Truth;
use crate::witness::{Broken, Witness};
use crate::writer::Writer;

const WRITERS: u64 = 3;
const READERS: u64 = 2;
const FOLLOWERS: u64 = 3;
const RAW: u64 = 2;
const HOLDERS: u64 = 3;

/// What a run did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// Transactions that somebody tried to append.
    pub attempts: usize,
    /// Entries that are there at the end.
    pub entries: usize,
    /// Reads of the log.
    pub reads: usize,
    /// Bytes through the proxy.
    pub bytes: u64,
}

/// Runs a seed. Returns what it did, and which promises were broken.
///
/// # Errors
/// Nothing could be tried.
pub async fn run(seed: u64) -> Result<(Counts, Vec<Broken>), Trouble> {
    let folder = tempfile::tempdir()?;
    let host = Host::in_folder(folder.path()).await?;
    let proxy = Proxy::before(host.address, move |number| Fate::of(seed, number)).await?;
    let witness = Arc::new(Witness::default());
    let dice = |kind: u64, number: u64| Dice::new(seed.wrapping_mul(31) ^ (kind << 32) ^ number);

    // A second server over the same engine stays until the end: followers come to theirs over it.
    let last = Host::over(host.engine.clone()).await?;
    let ending = CancellationToken::new();
    let mut followers = JoinSet::new();
    for number in 0..FOLLOWERS {
        let follower = Follower::new(client(proxy.address)?, witness.clone(), dice(3, number));
        followers.spawn(follower.work(ending.clone(), client(last.address)?));
    }
    let mut others = JoinSet::new();
    for number in 0..RAW {
        others.spawn(raw(host.address, witness.clone(), dice(4, number)));
    }
    let mut workers = JoinSet::new();
    for number in 0..WRITERS {
        let stores: Vec<StoreClient> = vec![client(proxy.address)?, client(proxy.address)?];
        workers.spawn(Writer::new(stores, witness.clone(), dice(1, number)).work(40));
    }
    for number in 0..READERS {
        let reader = Reader {
            store: client(proxy.address)?,
            witness: witness.clone(),
            dice: dice(2, number),
        };
        workers.spawn(reader.work(25));
    }
    for number in 0..HOLDERS {
        let holder = Holder {
            store: client(proxy.address)?,
            witness: witness.clone(),
            dice: dice(5, number),
            number,
            gave_up: 0,
        };
        workers.spawn(holder.work(25));
    }
    while let Some(done) = workers.join_next().await {
        done?;
    }
    // It leaves while the raw peers are at work: what it has begun, it ends.
    let leaving = host.leave();
    while let Some(done) = others.join_next().await {
        done?;
    }
    leaving.await?;
    ending.cancel();
    let mut follows: Vec<FollowSeen> = Vec::new();
    while let Some(done) = followers.join_next().await {
        follows.push(done?);
    }
    let store = last.store().await?;
    let attempts = witness.attempts().clone();
    let (truth, broken) = match Truth::read(&store, &attempts).await? {
        Ok(truth) => {
            let broken = check(&witness, &truth, &follows);
            (truth.entries.len(), broken)
        }
        Err(why) => (0, vec![why]),
    };
    let (up, down) = proxy.moved();
    let counts = Counts {
        attempts: attempts.len(),
        entries: truth,
        reads: witness.reads().len(),
        bytes: up + down,
    };
    drop(store);
    last.stop().await;
    let engine = host.stop().await;
    tokio::task::spawn_blocking(move || drop(engine)).await?;
    Ok((counts, broken))
}

async fn raw(address: SocketAddr, witness: Arc<Witness>, dice: Dice) {
    // Not through the proxy: it checks what comes, byte by byte, and its end is the server's leaving.
    match Raw::connect(address, witness.clone(), dice).await {
        Ok(raw) => raw.work().await,
        Err(why) => witness.breaks(format!("the server is not there: {why}")),
    }
}
