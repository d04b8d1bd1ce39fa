//! Many stores in one process: what each costs the disk, memory, descriptors and threads.
//!
//! `cargo bench -p streamkit-benches --bench stores -- [stores]`; a thousand unless said.

use streamkit_benches::{Usage, disk_bytes};
use streamkit_engine::{Engine, EngineConfig, Record, SegmentPath, Sequence, StoreId, Stores, Transaction};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stores = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let stores: u128 = stores.map_or(Ok(1000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let engine = Engine::open(EngineConfig::new(dir.path()))?;
    say("no store", Usage::now()?, 0, 1);
    let path = SegmentPath::new("orders", "order-1")?;
    for number in 1..=stores {
        let store = engine.store(StoreId(uuid::Uuid::from_u128(number))).await?;
        let records = ["placed", "paid", "sent"].map(Record::new).to_vec();
        let transaction = Transaction::single(path.clone(), Sequence::FIRST, records);
        store.append(transaction).await?;
        if number == 1 {
            say("one store of three events", Usage::now()?, disk_bytes(dir.path())?, 1);
        }
    }
    let what = format!("{stores} such stores");
    say(&what, Usage::now()?, disk_bytes(dir.path())?, stores);
    engine.close().await;
    drop(engine);
    let engine = Engine::open(EngineConfig::new(dir.path()))?;
    let before = Usage::now()?;
    let started = std::time::Instant::now();
    for number in 1..=stores {
        let store = engine.store(StoreId(uuid::Uuid::from_u128(number))).await?;
        assert_eq!(store.status().await?.entry_count, 3);
    }
    let each = started.elapsed() / u32::try_from(stores)?;
    let after = Usage::now()?;
    println!(
        "opened again: {each:.0?} each; {} descriptors and {} threads more",
        after.descriptors.saturating_sub(before.descriptors),
        after.threads.saturating_sub(before.threads)
    );
    Ok(())
}

fn say(what: &str, usage: Usage, disk: u64, stores: u128) {
    println!(
        "{what}: {} KiB of disk a store, {} KiB resident in all, {} descriptors, {} threads",
        u128::from(disk >> 10) / stores,
        usage.resident_bytes >> 10,
        usage.descriptors,
        usage.threads
    );
}
