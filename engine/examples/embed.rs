//! A store in this very process: `cargo run -p streamkit-engine --example embed`.

use streamkit_engine::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let engine = Engine::open(EngineConfig::new(dir.path()))?;
    let store = engine.store(StoreId(uuid::Uuid::new_v4())).await?;

    let order = SegmentPath::new("orders", "order-1")?;
    let events = vec![Record::new("placed"), Record::new("paid")];
    store
        .append(Transaction::single(order.clone(), Sequence::FIRST, events))
        .await?;

    let mut reader = store.read_segment(SegmentRead::all(order));
    while let Some(entries) = reader.next_batch().await? {
        for entry in entries {
            println!("{} {} {:?}", entry.path, entry.sequence, entry.payload);
        }
    }
    engine.close().await;
    Ok(())
}
