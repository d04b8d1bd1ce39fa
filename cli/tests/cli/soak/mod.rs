//! Many calls over one connection, and many clients whose links and server fail under them: no call hangs, none lies, and the
//! server's memory stays flat. Some seconds by default; `STREAMKIT_SOAK_CALLS`, `STREAMKIT_SOAK_SECONDS` and
//! `STREAMKIT_SOAK_CLIENTS` make more of it.

mod caller;
mod fate;
mod ledger;
mod link;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streamkit_client::Client;

use crate::program::Served;
use caller::{Caller, Tally};
use fate::Fate;
use ledger::Ledgers;
use link::Link;
use memory::Memory;

/// Tasks that call over the one connection.
const AT_ONCE: usize = 64;

/// Segments that several clients append to.
const SHARED: usize = 8;

/// A client's own, so that a call soon notices that nobody answers.
const TIMEOUT: Duration = Duration::from_secs(5);

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn client(url: &str, token: &str) -> Client {
    Client::builder(url).token(token).timeout(TIMEOUT).build()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn of_many_mixed_calls_over_one_connection_none_fails_and_all_tell_the_truth() {
    let calls = number("STREAMKIT_SOAK_CALLS", 2000);
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let memory = Memory::watch(served.process());
    let (ledgers, tally, begun) = (Arc::<Ledgers>::default(), Arc::<Tally>::default(), Instant::now());
    runtime().block_on(async {
        let client = client(&served.url, &served.token);
        let left = Arc::new(AtomicU64::new(calls));
        let callers = (0..AT_ONCE).map(|n| {
            let store = client.store(crate::program::STORE.parse().unwrap());
            let mut caller = Caller::new(n, n % SHARED, store, ledgers.clone(), tally.clone());
            let left = left.clone();
            tokio::spawn(async move {
                let take = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    caller.call().await.expect("nothing fails here");
                }
            })
        });
        for done in futures_util::future::join_all(callers.collect::<Vec<_>>()).await {
            done.unwrap();
        }
        ledgers.check(&client).await;
        client.close().await;
    });
    println!("{calls} calls over one connection in {:?}: {tally}", begun.elapsed());
    memory.stop().is_flat();
}

#[test]
fn clients_whose_links_and_server_fail_wait_no_longer_than_they_said_and_are_never_lied_to() {
    let seconds = number("STREAMKIT_SOAK_SECONDS", 8);
    let clients = number("STREAMKIT_SOAK_CLIENTS", 12) as usize;
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let (url, token) = (served.url.clone(), served.token.clone());
    let memory = Memory::watch(served.process());
    let (ledgers, tally) = (Arc::<Ledgers>::default(), Arc::<Tally>::default());
    let runtime = runtime();
    let links: Vec<Arc<Link>> = runtime.block_on(async {
        let links = (0..clients).map(async |_| Arc::new(Link::to(&url).await));
        futures_util::future::join_all(links).await
    });
    let until = Instant::now() + Duration::from_secs(seconds);
    let fate = Fate::begin(served, links.clone(), memory.follower(), until);
    runtime.block_on(async {
        // Each writes and reads at the same time.
        let callers = (0..2 * clients).map(|n| {
            let store = client(&links[n / 2].url, &token).store(crate::program::STORE.parse().unwrap());
            let mut caller = Caller::new(n, n % SHARED, store, ledgers.clone(), tally.clone());
            tokio::spawn(async move {
                while Instant::now() < until {
                    if let Err(error) = caller.call().await {
                        assert!(error.is_transient(), "{error:?}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        });
        for done in futures_util::future::join_all(callers.collect::<Vec<_>>()).await {
            done.unwrap();
        }
    });
    let (served, fate) = fate.end();
    runtime.block_on(async {
        let client = client(&served.url, &token);
        ledgers.check(&client).await;
        client.close().await;
    });
    println!("{clients} clients for {seconds} s under {fate}: {tally}");
    memory.stop().is_flat();
}
