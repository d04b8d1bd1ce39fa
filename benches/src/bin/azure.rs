//! `azure`: what several hosts do to one store over a storage account that is some milliseconds away, against one append at a time.
//! docs/PERFORMANCE.md says what is measured and how.

use std::time::Duration;

use clap::Parser;
use streamkit_benches::Outcome;
use streamkit_benches::azure::cached::cached;
use streamkit_benches::azure::hosts::{Came, Far, opened, produce};
use streamkit_engine::StoreId;
use uuid::Uuid;

/// The allocator of the server's own program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Reads of a history, in turn.
const ROUNDS: usize = 7;

/// Measures several hosts over an emulator of a storage account, through a proxy
#[derive(Parser)]
struct Azure {
    /// How long each load is measured, in seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long each request takes to the account, in milliseconds
    #[arg(long, default_value_t = 8)]
    delay: u64,
    /// Loads, each as HOSTS x PRODUCERS; with an f, the hosts forward to each other
    #[arg(long, value_delimiter = ',', default_value = "1x1,1x64,4x64,4x64f,8x8,8x8f")]
    loads: Vec<String>,
    /// Entries of a history that a host has on its disk, and reads; 0: none
    #[arg(long, default_value_t = 1_000_000)]
    history: u64,
}

fn main() -> Outcome {
    let options = Azure::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Azure) -> Outcome {
    let far = Far::start(Duration::from_millis(options.delay)).await?;
    let dir = tempfile::tempdir()?;
    let mut one = None;
    println!("  load       appends/s   ratio   p50 ms   p99 ms   requests per 1 000");
    for (number, load) in options.loads.iter().enumerate() {
        let forwards = load.ends_with('f');
        let (count, producers) = load
            .trim_end_matches('f')
            .split_once('x')
            .ok_or("a load is HOSTSxPRODUCERS")?;
        let (count, producers): (usize, usize) = (count.parse()?, producers.parse()?);
        let mut hosts = Vec::new();
        for host in 0..count {
            hosts.push(far.host(&dir.path().join(format!("{number}-{host}")), forwards).await?);
        }
        while forwards && hosts.iter().any(|host| host.knows() + 1 < count) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let stores = opened(&hosts, StoreId(Uuid::new_v4())).await?;
        // The store is made, and everybody has opened it.
        produce(&stores, 1, Duration::from_millis(200)).await?;
        let before = far.requests();
        let came = produce(&stores, producers, Duration::from_secs_f64(options.seconds)).await?;
        let requests = far.requests() - before;
        print(load, &came, requests, *one.get_or_insert(came.rate()));
        for host in hosts {
            host.close().await;
        }
    }
    if options.history > 0 {
        let cached = cached(&far, &dir.path().join("cached"), options.history, ROUNDS).await?;
        println!(
            "  read of {} entries on a host's disk, each after the engine alone:",
            options.history
        );
        for (shared, local) in cached.shared.iter().zip(&cached.local) {
            println!("  {shared:>11.0} entries/s, and {local:>11.0}");
        }
        println!("  {:.2} × the engine (median)", cached.ratio());
    }
    Ok(())
}

fn print(load: &str, came: &Came, requests: u64, one: f64) {
    let millis = |quantile| came.latency.value_at_quantile(quantile) as f64 / 1000.0;
    println!(
        "  {load:<8} {:>11.0} {:>7.1} {:>8.1} {:>8.1} {:>12.0}",
        came.rate(),
        came.rate() / one,
        millis(0.5),
        millis(0.99),
        requests as f64 * 1000.0 / came.appends as f64
    );
}
