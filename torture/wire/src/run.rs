//! One seed: everybody at work at once, then the server leaves, and what is there is compared with what was told.

use std::net::SocketAddr;
use std::sync::Arc;

use streamkit_engine::Dice;
use tokio::task::JoinSet;

use crate::crew::Crew;
use crate::host::{Host, Trouble};
use crate::proxy::{Fate, Proxy};
use crate::raw::Raw;
use crate::witness::{Broken, Witness};

const RAW: u64 = 2;

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
    /// Times that the server was killed.
    pub kills: usize,
    /// Calls that ended without an answer.
    pub unanswered: usize,
}

impl Counts {
    /// Together with those of another run.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.entries += other.entries;
        self.reads += other.reads;
        self.bytes += other.bytes;
        self.kills += other.kills;
        self.unanswered += other.unanswered;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            attempts,
            entries,
            reads,
            bytes,
            kills,
            unanswered,
        } = self;
        let megabytes = bytes / 1_000_000;
        write!(
            f,
            "{attempts} attempts, {entries} entries, {reads} reads of the log, {megabytes} MB"
        )?;
        match (kills, unanswered) {
            (0, 0) => Ok(()),
            (kills, 0) => write!(f, ", {kills} kills"),
            (_, unanswered) => write!(f, ", {unanswered} without an answer"),
        }
    }
}

/// Runs a seed. Returns what it did, and which promises were broken.
///
/// # Errors
/// Nothing could be tried.
pub async fn run(seed: u64) -> Result<(Counts, Vec<Broken>), Trouble> {
    let folder = tempfile::tempdir()?;
    let host = Host::in_folder(folder.path()).await?;
    let proxy = Proxy::before(host.address, move |number| Fate::of(seed, number)).await?;
    // A second server over the same engine stays until the end: followers come to theirs over it.
    let last = Host::over(host.engine.clone()).await?;
    let mut crew = Crew::new(seed);
    crew.follow(proxy.address, last.address)?;
    let mut others = JoinSet::new();
    for number in 0..RAW {
        others.spawn(raw(host.address, crew.witness.clone(), crew.dice(4, number)));
    }
    crew.work(proxy.address, true)?;
    crew.is_done().await?;
    // It leaves while the raw peers are at work: what it has begun, it ends.
    let leaving = host.leave();
    while let Some(done) = others.join_next().await {
        done?;
    }
    leaving.await?;
    let follows = crew.follows().await?;
    let store = last.store().await?;
    let (entries, broken) = crew.judge(&store, &follows).await?;
    let (up, down) = proxy.moved();
    let counts = Counts {
        attempts: crew.witness.attempts().len(),
        entries,
        reads: crew.witness.reads().len(),
        bytes: up + down,
        kills: 0,
        unanswered: 0,
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
