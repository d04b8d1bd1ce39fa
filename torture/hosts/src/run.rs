//! One seed: hosts over an account, everybody at work at all of them, and what happens meanwhile.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use streamkit_azure::log::Settings;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::tools::{Transactions, standing, verify};
use streamkit_engine::{ReadError, StoreId, Stores as _};
use streamkit_torture_wire::crew::Crew;
use streamkit_torture_wire::follower::FollowSeen;
use streamkit_torture_wire::host::{STORE, Trouble};
use streamkit_torture_wire::witness::Broken;

use crate::account::{Beginning, Ways, account, fresh_host, host};
use crate::chaos::{Longest, Trick, Victim};
use crate::emulator::Emulator;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program.
    pub program: PathBuf,
    /// Hosts.
    pub hosts: usize,
    /// Things that happen.
    pub tricks: usize,
    /// How long they take.
    pub longest: Longest,
    /// Attempts of each writer, and as many calls of the others in their way. `None`: everybody works until all has happened.
    pub attempts: Option<u32>,
    /// Crews at each host: three writers each, two readers, three holders of leases.
    pub crews: usize,
    /// Options of `serve` beside those that it needs.
    pub options: Vec<String>,
}

/// What a run came to.
#[derive(Default, Debug)]
pub struct Counts {
    /// Transactions that somebody tried to append.
    pub attempts: usize,
    /// Of them, acknowledged.
    pub acknowledged: usize,
    /// Entries at the end.
    pub entries: usize,
    /// Reads.
    pub reads: usize,
    /// What happened, by name.
    pub tricks: Vec<Trick>,
    /// Extents of the log at the end,
    pub extents: u64,
    /// those of them that are history,
    pub history: u64,
    /// and those before the last checkpoint, from which a host goes on that knows nothing.
    pub checkpointed: u64,
    /// Until a host that knows nothing had opened the store: one that reads all slots, one that goes on from the checkpoint.
    pub opened: Vec<Duration>,
}

/// Runs a seed, and tells each thing that happens. Returns what it did, and which promises were broken.
///
/// # Errors
/// Nothing could be tried.
pub async fn run(
    seed: u64,
    plan: &Plan,
    told: &mut (dyn FnMut(&Counts) + Send),
) -> Result<(Counts, Vec<Broken>), Trouble> {
    let emulator = tokio::task::spawn_blocking(|| Emulator::start(&[])).await?;
    let folder = tempfile::tempdir()?;
    let mut crew = Crew::new(seed);
    let mut dice = crew.dice(7, 0);
    let mut hosts = Vec::new();
    for number in 0..plan.hosts {
        let ways = Ways::to(&emulator).await?;
        let own = folder.path().join(number.to_string());
        let process = host(
            &plan.program,
            &own,
            ways.connection_string(),
            ways.link(),
            &plan.options,
        )
        .await?;
        hosts.push(Victim { process, ways });
    }
    let addresses: Vec<_> = hosts.iter().map(|host| host.process.address).collect();
    for at in &addresses {
        crew.follow(*at, *at)?;
        for _ in 0..plan.crews {
            crew.work_for(*at, false, plan.attempts.unwrap_or(u32::MAX))?;
        }
    }
    let mut counts = Counts::default();
    let acknowledged = |crew: &Crew| crew.counts().1;
    let mut is_done = false;
    while counts.tricks.len() < plan.tricks && !is_done {
        let enough = acknowledged(&crew) + 1 + dice.below(20) as usize;
        while acknowledged(&crew) < enough && !is_done {
            is_done = match tokio::time::timeout(Duration::from_millis(20), crew.is_done()).await {
                Ok(done) => done.map(|()| true)?,
                Err(_) => false,
            };
        }
        let trick = Trick::any(&mut dice);
        let victim = dice.below(hosts.len() as u64) as usize;
        hosts[victim].suffers(trick, &mut dice, plan.longest).await?;
        counts.tricks.push(trick);
        (counts.attempts, counts.acknowledged, counts.reads) = crew.counts();
        told(&counts);
    }
    if plan.attempts.is_none() {
        crew.call_off();
    }
    if !is_done {
        crew.is_done().await?;
    }
    let follows = crew.follows().await?;
    for host in &mut hosts {
        host.process.kill().await?;
    }
    (counts.attempts, counts.acknowledged, counts.reads) = crew.counts();
    let broken = judged(&crew, &follows, &emulator, folder.path(), &mut counts).await?;
    Ok((counts, broken))
}

/// What stands in the account, for two hosts that know nothing else, and for the tool that shares nothing with hosts.
async fn judged(
    crew: &Crew,
    follows: &[FollowSeen],
    emulator: &Emulator,
    folder: &Path,
    counts: &mut Counts,
) -> Result<Vec<Broken>, Trouble> {
    let account = account(emulator)?;
    let medium = AzureMedium::new(account.clone(), StoreId(STORE));
    let depth = Settings::default().depth;
    let report = verify(&medium, depth, &mut Transactions::default(), &mut |_| ()).await?;
    (counts.extents, counts.history) = (report.extents, report.history_extents);
    let checkpoint = standing(&account, StoreId(STORE)).await?.checkpoint;
    counts.checkpointed = checkpoint.map_or(0, |at| at.place.ordinal);
    let damage = report
        .damage
        .iter()
        .map(|damage| format!("damage in the account: {damage:?}"));
    let mut broken: Vec<Broken> = damage.collect();
    let mut entries = Vec::new();
    for (beginning, name) in [
        (Beginning::FirstSlot, "first slot"),
        (Beginning::Checkpoint, "checkpoint"),
    ] {
        let fresh = folder.join(name);
        std::fs::create_dir_all(&fresh)?;
        let stores = fresh_host(account.clone(), &fresh, beginning)?;
        let began = Instant::now();
        let store = stores.store(StoreId(STORE)).await?;
        while let Err(ReadError::Busy(busy)) = store.status().await {
            tokio::time::sleep(busy.retry_after).await;
        }
        counts.opened.push(began.elapsed());
        let (found, more) = crew.judge(&*store, follows).await?;
        entries.push(found);
        broken.extend(more.into_iter().map(|why| format!("from the {name}: {why}")));
        drop(store);
        stores.close().await;
    }
    counts.entries = entries[0];
    if entries.iter().any(|found| *found != entries[0]) {
        broken.push(format!("fresh hosts found {entries:?} entries"));
    }
    Ok(broken)
}
