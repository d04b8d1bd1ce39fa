//! Whatever fails, a projection handles each entry: exactly once if its handler stores how far it has come, at least once and in order if a
//! file does. Connections break at any byte, servers and projections restart, processes are killed, handlers fail, panic and hang.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamkit_client::projection::{
    CursorError, Failure, FileCursors, Projection, ProjectionError, Running, Standing, Step, TransactionalHandler,
};
use streamkit_client::record::{Entry, Record, SegmentAppend};
use streamkit_client::*;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::projections::{Handled, InMemory, SOON, append, parts, path, projection, until};
use super::torn::Torn;
use crate::fixture::{Host, PATIENCE, Via, over_v2, token};

/// Numbers that look random, the same for the same seed.
#[derive(Clone)]
struct Dice(Arc<AtomicU64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// Below a bound.
    fn roll(&self, below: u64) -> u64 {
        let seed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What handlers share: what they made of entries, and whether they fail.
#[derive(Clone)]
struct World {
    dice: Dice,
    is_calm: Arc<AtomicBool>,
    handled: Handled,
    /// Of the transactional ones.
    standing: Arc<Mutex<Option<Standing>>>,
    file: PathBuf,
}

impl World {
    fn roll(&self) -> u64 {
        match self.is_calm.load(Ordering::Relaxed) {
            true => 99,
            false => self.dice.roll(100),
        }
    }

    async fn fails_before(&self, roll: u64) -> Result<(), Failure> {
        match roll {
            0..4 => Err(Failure::Retry("before".into())),
            4 => Err(Failure::Park("before".into())),
            5 => panic!("before"),
            6 => std::future::pending().await,
            7..9 => Err(Failure::Wait("before".into())),
            _ => Ok(()),
        }
    }

    async fn fails_behind(&self, roll: u64) -> Result<(), Failure> {
        match roll {
            10..13 => Err(Failure::Retry("the answer is lost".into())),
            13 => panic!("behind"),
            14 => std::future::pending().await,
            _ => Ok(()),
        }
    }

    /// A transaction that demands what was stored before.
    fn commit(&self, entries: &[Entry], before: u64, after: &Standing) -> Result<(), Failure> {
        let mut standing = self.standing.lock().unwrap();
        if standing.as_ref().map_or(0, Standing::step) != before {
            return Err(Failure::Retry("something else is stored".into()));
        }
        entries.iter().for_each(|entry| self.handled.add(entry));
        *standing = Some(after.clone());
        Ok(())
    }
}

impl TransactionalHandler for World {
    async fn load(&self) -> Result<Option<Standing>, CursorError> {
        match self.roll() {
            0..2 => Err(CursorError::Storage("away".into())),
            _ => Ok(self.standing.lock().unwrap().clone()),
        }
    }

    async fn handle(&self, step: Step<'_>) -> Result<(), Failure> {
        let roll = self.roll();
        self.fails_before(roll).await?;
        let before = step.before.map_or(0, Standing::step);
        if (15..18).contains(&roll) {
            // It is committed while nobody waits for it any more.
            let (late, pause) = (self.clone(), Duration::from_millis(self.dice.roll(30)));
            let (entries, after) = (step.entries.to_vec(), step.after.clone());
            tokio::spawn(async move {
                sleep(pause).await;
                let _ = late.commit(&entries, before, &after);
            });
            return Err(Failure::Retry("the answer comes later".into()));
        }
        tokio::task::yield_now().await;
        self.commit(step.entries, before, step.after)?;
        self.fails_behind(roll).await
    }
}

/// Whether a handler stores how far it has come, or a file does.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stores {
    AsOne,
    InAFile,
}

/// A projection in a runtime of its own, which can end in the middle of anything.
struct Projecting {
    runtime: Option<Runtime>,
    running: Option<Running>,
}

impl Projecting {
    async fn start(stores: Stores, torn: &Torn, world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = torn.client.clone().timeout(Duration::from_secs(2)).retry(SOON);
        let of = projection(&client.build().store(torn.store))
            .handler_timeout(Duration::from_millis(50))
            .grace(Duration::from_millis(200))
            .save_every(5, Duration::from_millis(20))
            .transaction_entries(8);
        let file = match stores {
            Stores::AsOne => None,
            Stores::InAFile => Some(unlocked(&world.file).await),
        };
        let running = runtime.block_on_here(|| match file {
            None => of.start_transactional(world.clone()),
            Some(file) => {
                let world = world.clone();
                let handler = move |entry: Entry| {
                    let world = world.clone();
                    async move {
                        let roll = world.roll();
                        world.fails_before(roll).await?;
                        world.handled.add(&entry);
                        world.fails_behind(roll).await
                    }
                };
                of.start(handler, file)
            }
        });
        Self {
            runtime: Some(runtime),
            running: Some(running),
        }
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    /// As if its process were killed.
    fn crash(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    async fn stop(mut self, seed: u64) {
        let stopped = tokio::time::timeout(PATIENCE, self.running.take().unwrap().stop()).await;
        stopped.unwrap().map_or_else(|error| may_be(&error, seed), drop);
    }
}

impl Drop for Projecting {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

trait Here {
    fn block_on_here<T>(&self, work: impl FnOnce() -> T) -> T;
}

impl Here for Runtime {
    fn block_on_here<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.enter();
        work()
    }
}

/// The file, once the one who had it is gone.
async fn unlocked(file: &Path) -> FileCursors {
    let opened = async {
        loop {
            match FileCursors::open(file) {
                Ok(file) => return file,
                Err(CursorError::InUse { .. }) => sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.unwrap()
}

/// What a projection may end with when its storage fails as these do.
fn may_be(error: &ProjectionError, seed: u64) {
    let is_expected = matches!(
        error,
        ProjectionError::Cursor(CursorError::Moved { .. } | CursorError::Storage(_))
    );
    assert!(is_expected, "seed {seed}: {error:?}");
}

const SEGMENTS: u64 = 6;

/// Appends a transaction to some segments, and counts it.
async fn append_some(store: &StoreClient, dice: &Dice, counts: &mut BTreeMap<String, u64>) {
    let first = dice.roll(SEGMENTS);
    let sections = (0..=dice.roll(3)).map(|n| {
        let segment = format!("seg-{}", (first + n) % SEGMENTS);
        let count = 1 + dice.roll(4);
        *counts.entry(segment.clone()).or_default() += count;
        SegmentAppend {
            path: path(&segment),
            first_sequence: SegmentAppend::NEXT,
            records: (0..count).map(|_| Record::new(vec![b'x'; 20])).collect(),
        }
    });
    let all = Append::new(sections.collect());
    store.append(all).await.unwrap();
}

async fn whatever_fails_all_is_handled(via: Via, stores: Stores, seed: u64) {
    let mut host = Host::via(via).await;
    let (torn, folder, dice) = (
        Torn::start(&host, seed).await,
        tempfile::tempdir().unwrap(),
        Dice::new(seed),
    );
    let world = World {
        dice: Dice::new(seed ^ 0xff),
        is_calm: Arc::default(),
        handled: Handled::default(),
        standing: Arc::default(),
        file: folder.path().join("cursor"),
    };
    let store = host.client().build().store(host.store);
    let mut counts = BTreeMap::new();
    append_some(&store, &dice, &mut counts).await;
    let mut projecting = Projecting::start(stores, &torn, &world).await;
    for _ in 0..25 {
        for _ in 0..dice.roll(6) {
            append_some(&store, &dice, &mut counts).await;
        }
        sleep(Duration::from_millis(dice.roll(40))).await;
        match dice.roll(8) {
            0 => {
                projecting.crash();
                projecting = Projecting::start(stores, &torn, &world).await;
            }
            1 => {
                projecting.stop(seed).await;
                projecting = Projecting::start(stores, &torn, &world).await;
            }
            2 => torn.cut(),
            3 => host = host.restart().await,
            4 => torn.tears(dice.roll(2) == 0),
            5..7 => {
                let running = projecting.running();
                let parked = running.progress().parked.into_keys().next();
                if let Some(parked) = parked {
                    // It may fail, and it may have stopped.
                    let replay = running.replay(&parked);
                    let _ = tokio::time::timeout(Duration::from_millis(100), replay).await;
                }
            }
            _ => {}
        }
    }
    world.is_calm.store(true, Ordering::Relaxed);
    torn.tears(false);
    let total: u64 = counts.values().sum();
    let all_is_handled = async {
        loop {
            let running = projecting.running();
            let progress = running.progress();
            for parked in progress.parked.keys() {
                let _ = running.replay(parked).await;
            }
            if let Ok(Err(error)) = tokio::time::timeout(Duration::from_millis(20), running.ended()).await {
                may_be(&error, seed);
                projecting.crash();
                projecting = Projecting::start(stores, &torn, &world).await;
                continue;
            }
            let is_over = counts
                .iter()
                .all(|(segment, &count)| world.handled.of(segment).contains(&count));
            if is_over && progress.is_caught_up && progress.parked.is_empty() {
                break projecting;
            }
        }
    };
    let all_is_handled = tokio::time::timeout(PATIENCE, all_is_handled).await;
    let Ok(projecting) = all_is_handled else {
        panic!("seed {seed}: {} of {total} are handled", world.handled.all().len());
    };
    projecting.stop(seed).await;
    for (segment, &count) in &counts {
        let handled = world.handled.of(segment);
        match stores {
            Stores::AsOne => assert_eq!(handled, (1..=count).collect::<Vec<_>>(), "seed {seed}: {segment}"),
            Stores::InAFile => in_order(&handled, count),
        }
    }
    host.stop().await;
}

/// Each comes, and the first time behind the one before it; again only from further back on.
fn in_order(handled: &[u64], count: u64) {
    let mut last = 0;
    for &sequence in handled {
        assert!(
            (1..=last + 1).contains(&sequence),
            "{sequence} behind {last}: {handled:?}"
        );
        last = sequence;
    }
    assert!((1..=count).all(|n| handled.contains(&n)), "{handled:?}");
    assert_eq!(last, count);
}

async fn whatever_fails_a_transaction_of_the_handler_holds_each_entry_once(via: Via) {
    for seed in 1..=4 {
        whatever_fails_all_is_handled(via, Stores::AsOne, seed).await;
    }
}

async fn whatever_fails_with_a_file_each_entry_is_handled_in_order(via: Via) {
    for seed in 11..=14 {
        whatever_fails_all_is_handled(via, Stores::InAFile, seed).await;
    }
}

/// For far longer than the client waits by itself.
async fn an_outage_longer_than_the_timeout_passes(via: Via) {
    let host = Host::via(via).await;
    let torn = Torn::start(&host, 1).await;
    let store = host.client().build().store(host.store);
    append(&store, "a", &["1"]).await;
    let impatient = torn.client.clone().timeout(Duration::from_millis(100)).retry(SOON);
    let handled = Handled::default();
    let counting = handled.clone();
    let handler = move |entry: Entry| {
        counting.add(&entry);
        std::future::ready(Ok::<(), Failure>(()))
    };
    let running = projection(&impatient.build().store(host.store)).start(handler, InMemory::default());
    until(&running, |progress| progress.is_caught_up).await;
    torn.shuts(true);
    torn.cut();
    let progress = until(&running, |progress| progress.begun_again >= 3).await;
    assert!(progress.trouble.is_some());
    append(&store, "a", &["2"]).await;
    torn.shuts(false);
    let progress = until(&running, |progress| progress.handled == 2).await;
    assert_eq!((progress.trouble, handled.of("a")), (None, vec![1, 2]));
    running.stop().await.unwrap();
    host.stop().await;
}

over_v2! {
    whatever_fails_a_transaction_of_the_handler_holds_each_entry_once
    whatever_fails_with_a_file_each_entry_is_handled_in_order
    an_outage_longer_than_the_timeout_passes
}

const SERVER: &str = "STREAMKIT_TEST_SERVER";
const STORE: &str = "STREAMKIT_TEST_STORE";
const FOLDER: &str = "STREAMKIT_TEST_FOLDER";
const SAVED_EACH: u64 = 10;

/// A projection in a process of its own, which another test starts and kills.
#[tokio::test]
#[ignore = "the next test runs it in a process of its own"]
async fn a_process_that_is_killed() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let client = Client::builder(std::env::var(SERVER).unwrap()).token(token(&["streamkit::*"]));
    let store = std::env::var(STORE).unwrap().parse().unwrap();
    let output = std::fs::File::options()
        .append(true)
        .create(true)
        .open(folder.join("handled"));
    let output = Arc::new(Mutex::new(output.unwrap()));
    let handler = move |entry: Entry| {
        let line = format!("{} {}\n", entry.path.segment, entry.sequence);
        let written = output.lock().unwrap().write_all(line.as_bytes());
        async move { Ok::<(), Failure>(written?) }
    };
    let cursors = unlocked(&folder.join("cursor")).await;
    let mut running = Projection::new(client.build().store(store), parts())
        .save_every(SAVED_EACH, Duration::from_secs(3600))
        .start(handler, cursors);
    panic!("{:?}", running.ended().await);
}

/// Lines of the handler, as far as they are whole.
fn lines(folder: &Path) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(folder.join("handled")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let split = |line: &str| {
        let (segment, sequence) = line.split_once(' ').unwrap();
        (segment.to_owned(), sequence.parse().unwrap())
    };
    whole.lines().map(split).collect()
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_process_that_is_killed_again_and_again_repeats_what_it_had_not_saved_and_nothing_is_left_out() {
    let host = Host::start().await;
    let store = host.client().build().store(host.store);
    let (folder, dice) = (tempfile::tempdir().unwrap(), Dice::new(7));
    let mut counts = BTreeMap::new();
    let start = || {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "served::projections_faults::a_process_that_is_killed",
            ])
            .env(SERVER, &host.url)
            .env(STORE, host.store.to_string())
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Killed(child.unwrap())
    };
    let kills = 6;
    for _ in 0..kills {
        let before = lines(folder.path()).len();
        for _ in 0..12 {
            append_some(&store, &dice, &mut counts).await;
        }
        let child = start();
        let wanted = before + 1 + usize::try_from(dice.roll(40)).unwrap();
        let total = usize::try_from(counts.values().sum::<u64>()).unwrap();
        comes(|| lines(folder.path()).len() >= wanted.min(total)).await;
        drop(child);
    }
    let child = start();
    let is_over = || {
        let lines = lines(folder.path());
        counts
            .iter()
            .all(|(segment, &count)| lines.contains(&(segment.clone(), count)))
    };
    comes(is_over).await;
    drop(child);
    let (lines, total) = (lines(folder.path()), counts.values().sum::<u64>());
    for (segment, &count) in &counts {
        let of_it: Vec<u64> = lines.iter().filter(|(of, _)| of == segment).map(|(_, n)| *n).collect();
        in_order(&of_it, count);
    }
    let repeated = lines.len() as u64 - total;
    assert!(repeated <= kills * SAVED_EACH, "{repeated} were handled again");
    host.stop().await;
}

async fn comes(mut is_so: impl FnMut() -> bool) {
    let waits = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap();
}
