//! Clients that know one address, that of a balancer, while the hosts behind it go one after the other and come again. Clients have the
//! settings that everybody has, and see nothing of it: no call fails, a follow goes on, and reads have what was acknowledged before.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::record::{Entry, LogCursor, Name, Record, SegmentPath, Wanted};
use streamkit_client::{Append, Batch, Client, Follow, Followed, Read};
use streamkit_torture_wire::host::{STORE, Trouble, token};
use streamkit_torture_wire::process::Process;
use streamkit_torture_wire::witness::Broken;
use tokio::task::{JoinHandle, JoinSet};

use crate::account::{any_link, host, past_no_gate};
use crate::balancer::Balancer;
use crate::emulator::Emulator;

/// The space of all.
const SPACE: &str = "balanced";
/// How long everybody may make no progress before that is told: half as long again as a call may take.
const PATIENCE: Duration = Duration::from_secs(45);
/// Pause of a reader between two calls.
const PAUSE: Duration = Duration::from_millis(20);

/// How hosts go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// SIGKILL.
    Killed,
    /// SIGTERM.
    Asked,
}

/// What a run is like.
#[derive(Clone, Debug)]
pub struct BalancedPlan {
    /// The program.
    pub program: PathBuf,
    /// Hosts.
    pub hosts: usize,
    /// How they go, each once.
    pub rounds: Vec<End>,
    /// Producers, each with a connection and a segment of its own.
    pub producers: usize,
    /// Appends of each producer, in the mean, between two hosts that go.
    pub appends: usize,
    /// How long a host is away.
    pub away: Duration,
    /// Options of `serve` beside those that it needs.
    pub options: Vec<String>,
}

/// What a run came to.
#[derive(Default, Debug)]
pub struct BalancedCounts {
    /// Appends that were acknowledged.
    pub acknowledged: u64,
    /// Reads of a segment that was written meanwhile.
    pub reads: u64,
    /// Connections that the clients lost.
    pub connections_lost: u64,
    /// Of them, those of the follow.
    pub lost_by_follow: u64,
    /// For each host that went, how, and the longest time that a producer then waited for an acknowledgement.
    pub stalls: Vec<(End, Duration)>,
}

/// What everybody knows of everybody.
struct Everybody {
    /// The head of each segment, as it was acknowledged last.
    heads: Vec<AtomicU64>,
    /// When each producer was acknowledged, one list for each.
    times: Vec<Mutex<Vec<Instant>>>,
    reads: AtomicU64,
    is_over: AtomicBool,
}

impl Everybody {
    fn acknowledged(&self) -> u64 {
        self.heads.iter().map(|head| head.load(Ordering::Acquire)).sum()
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// The longest time between two acknowledgements of one producer of which the later came within this time.
    fn longest_stall(&self, from: Instant, until: Instant) -> Duration {
        let of = |times: &Mutex<Vec<Instant>>| {
            let times = times.lock().unwrap_or_else(PoisonError::into_inner);
            let pairs = times.windows(2).filter(|pair| (from..until).contains(&pair[1]));
            pairs.map(|pair| pair[1] - pair[0]).max()
        };
        self.times.iter().filter_map(of).max().unwrap_or_default()
    }
}

/// Runs a plan. Returns what it did, and which promises were broken.
///
/// # Errors
/// Nothing could be tried.
pub async fn balanced(plan: &BalancedPlan) -> Result<(BalancedCounts, Vec<Broken>), Trouble> {
    let emulator = tokio::task::spawn_blocking(|| Emulator::start(&[])).await?;
    let folder = tempfile::tempdir()?;
    let mut hosts = Vec::new();
    for number in 0..plan.hosts {
        let own = folder.path().join(number.to_string());
        hosts.push(host(&plan.program, &own, past_no_gate(&emulator), any_link(), &plan.options).await?);
    }
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let balancer = Balancer::before(addresses.clone()).await?;
    let everybody = Arc::new(Everybody {
        heads: (0..plan.producers).map(|_| AtomicU64::new(0)).collect(),
        times: (0..plan.producers).map(|_| Mutex::default()).collect(),
        reads: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut clients = Vec::new();
    let mut own_client = || {
        let client = usual_client(balancer.address)?;
        clients.push(client.clone());
        Ok::<_, Trouble>(client)
    };
    let mut at_work = JoinSet::new();
    for number in 0..plan.producers {
        at_work.spawn(produce(own_client()?, number, everybody.clone()));
        at_work.spawn(read(own_client()?, number, everybody.clone()));
    }
    let follower = own_client()?;
    let followed = Arc::new(Mutex::new(Vec::new()));
    let following = tokio::spawn(follow(follower.clone(), followed.clone()));
    let mut counts = BalancedCounts::default();
    let mut broken = turns(plan, &mut hosts, &everybody, &mut at_work, &mut counts).await?;
    everybody.is_over.store(true, Ordering::Relaxed);
    while let Some(done) = at_work.join_next().await {
        broken.extend(done?.err());
    }
    counts.acknowledged = everybody.acknowledged();
    counts.reads = everybody.reads.load(Ordering::Relaxed);
    counts.connections_lost = clients.iter().map(|client| client.metrics().connections_lost).sum();
    counts.lost_by_follow = follower.metrics().connections_lost;
    broken.extend(judge(&addresses, &everybody, &followed, following).await?);
    Ok((counts, broken))
}

/// One host after the other goes and comes again, when some more was acknowledged each time.
async fn turns(
    plan: &BalancedPlan,
    hosts: &mut [Process],
    everybody: &Everybody,
    at_work: &mut JoinSet<Result<(), Broken>>,
    counts: &mut BalancedCounts,
) -> Result<Vec<Broken>, Trouble> {
    let more = (plan.appends * plan.producers) as u64;
    let mut begun = Instant::now();
    for &end in &plan.rounds {
        for host in &mut *hosts {
            if let Some(why) = some_more(more, everybody, at_work).await? {
                return Ok(vec![why]);
            }
            counted(counts, everybody, begun);
            begun = Instant::now();
            match end {
                End::Killed => host.kill().await?,
                End::Asked => host.leave().await?,
            }
            counts.stalls.push((end, Duration::ZERO));
            tokio::time::sleep(plan.away).await;
            host.start_again().await?;
        }
    }
    let last = some_more(more, everybody, at_work).await?;
    counted(counts, everybody, begun);
    Ok(last.into_iter().collect())
}

/// Notes how long producers waited since the last host went.
fn counted(counts: &mut BalancedCounts, everybody: &Everybody, begun: Instant) {
    if let Some((_, stall)) = counts.stalls.last_mut() {
        *stall = everybody.longest_stall(begun, Instant::now());
    }
}

/// Waits until so many more were acknowledged. `Some`: nobody gets on, or somebody gave up.
async fn some_more(
    more: u64,
    everybody: &Everybody,
    at_work: &mut JoinSet<Result<(), Broken>>,
) -> Result<Option<Broken>, Trouble> {
    let enough = everybody.acknowledged() + more;
    let mut last = (everybody.acknowledged(), Instant::now());
    while everybody.acknowledged() < enough {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Some(done) = at_work.try_join_next() {
            return Ok(Some(
                done?.err().unwrap_or_else(|| "somebody stopped working".to_owned()),
            ));
        }
        match everybody.acknowledged() {
            now if now > last.0 => last = (now, Instant::now()),
            _ if last.1.elapsed() > PATIENCE => return Ok(Some(format!("nothing is acknowledged for {PATIENCE:?}"))),
            _ => {}
        }
    }
    Ok(None)
}

/// With the settings that everybody has who says nothing.
fn usual_client(address: SocketAddr) -> Result<Client, Trouble> {
    Ok(Client::builder(format!("ws://{address}")).token(token()?).build())
}

fn path(number: usize) -> SegmentPath {
    SegmentPath::new(SPACE, &number.to_string()).expect("a name")
}

fn payload(number: usize, sequence: u64) -> String {
    format!("{number}: {sequence}")
}

/// Appends one record after the other. That one takes the sequence behind its last shows that none was stored twice.
async fn produce(client: Client, number: usize, everybody: Arc<Everybody>) -> Result<(), Broken> {
    let store = client.store(STORE);
    let mut sequence = 0;
    while everybody.goes_on() {
        sequence += 1;
        let record = Record::new(payload(number, sequence));
        let done = store.append(Append::behind(path(number), vec![record])).await;
        let done = done.map_err(|error| format!("append {sequence} of producer {number} fails: {error}"))?;
        if done.sections.first().map(|(first, _)| first.0) != Some(sequence) {
            return Err(format!(
                "append {sequence} of producer {number} stands at {:?}",
                done.sections
            ));
        }
        everybody.heads[number].store(sequence, Ordering::Release);
        let mut times = everybody.times[number].lock().unwrap_or_else(PoisonError::into_inner);
        times.push(Instant::now());
    }
    Ok(())
}

/// Looks at a segment again and again, by whichever host.
async fn read(client: Client, number: usize, everybody: Arc<Everybody>) -> Result<(), Broken> {
    let store = client.store(STORE);
    while everybody.goes_on() {
        let before = everybody.heads[number].load(Ordering::Acquire);
        let last = store.peek(SPACE, &number.to_string()).await;
        let last = last.map_err(|error| format!("a read of segment {number} fails: {error}"))?;
        let head = last.map_or(0, |entry| entry.sequence);
        if head < before {
            return Err(format!(
                "segment {number} ends at {head} for a reader, and {before} was acknowledged"
            ));
        }
        everybody.reads.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Follows the space, and keeps all that it is told.
async fn follow(client: Client, followed: Arc<Mutex<Vec<Entry>>>) -> Broken {
    let mut told = client
        .store(STORE)
        .follow(Follow::new(vec![space()], LogCursor::default()));
    while let Some(next) = told.next().await {
        match next {
            Ok(Followed::Batch(entries, _)) => {
                followed.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
            }
            Ok(Followed::CaughtUp(_) | Followed::At(_)) => {}
            Err(error) => return format!("the follow ends: {error}"),
        }
    }
    "the follow ends without an error".to_owned()
}

fn space() -> Wanted {
    Wanted::Space(Name::new(SPACE).expect("a name"))
}

/// What each host has is what was acknowledged, and what the follow told.
async fn judge(
    hosts: &[SocketAddr],
    everybody: &Everybody,
    followed: &Mutex<Vec<Entry>>,
    following: JoinHandle<Broken>,
) -> Result<Vec<Broken>, Trouble> {
    let mut broken = Vec::new();
    let mut all = Vec::new();
    for address in hosts {
        let store = usual_client(*address)?.store(STORE);
        let mut entries = Vec::new();
        let mut batches = store.read(Read::log(vec![space()], LogCursor::default()));
        while let Some(batch) = batches.try_next().await? {
            if let Batch::Entries(more) = batch {
                entries.extend(more);
            }
        }
        broken.extend(
            missing(&entries, everybody)
                .into_iter()
                .map(|why| format!("{address}: {why}")),
        );
        all.push(entries);
    }
    if all.windows(2).any(|pair| pair[0] != pair[1]) {
        broken.push("hosts have different entries".to_owned());
    }
    let told = || followed.lock().unwrap_or_else(PoisonError::into_inner).len();
    let begun = Instant::now();
    while told() < all[0].len() && begun.elapsed() < PATIENCE && !following.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    match following.is_finished() {
        true => broken.push(following.await?),
        false => following.abort(),
    }
    let told = followed.lock().unwrap_or_else(PoisonError::into_inner);
    if *told != all[0] {
        let at = told.iter().zip(&all[0]).position(|(one, other)| one != other);
        let (told, there) = (told.len(), all[0].len());
        broken.push(format!(
            "the follow told of {told} entries, {there} are there; first difference: {at:?}"
        ));
    }
    Ok(broken)
}

/// What is not as it was acknowledged. Producers have stopped, and each append was answered.
fn missing(entries: &[Entry], everybody: &Everybody) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (number, head) in everybody.heads.iter().enumerate() {
        let path = path(number);
        let stored: Vec<_> = entries.iter().filter(|entry| entry.path == path).collect();
        let wanted = 1..=head.load(Ordering::Acquire);
        let is_as = |(entry, sequence): (&&Entry, u64)| {
            entry.sequence.0 == sequence && entry.payload == payload(number, sequence).as_bytes()
        };
        if stored.len() as u64 != *wanted.end() || !stored.iter().zip(wanted.clone()).all(is_as) {
            let count = stored.len();
            broken.push(format!(
                "segment {number} has {count} entries, of {wanted:?} that were acknowledged"
            ));
        }
    }
    broken
}
