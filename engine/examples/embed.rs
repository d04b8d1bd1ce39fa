//! A store in this very process: `cargo run -p streamkit-engine --example embed [FOLDER]`. Run again with the same folder, it
//! goes on where it was.

use streamkit_engine::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1);
    let folder = folder.map_or_else(|| temporary.path().to_owned(), Into::into);
    let engine = Engine::open(EngineConfig::new(folder))?;
    let store = engine.store(StoreId(uuid::Uuid::from_u128(1))).await?;

    // After whatever the head is.
    let order = SegmentPath::new("orders", "order-1")?;
    let done = store.publish(&order, vec![Record::new("placed")]).await?;

    // Right after the head that was seen: if somebody else was there first, it is a conflict, and nothing is stored.
    let next = done.segments[0].last_sequence.next();
    let paid = Transaction::single(order.clone(), next, vec![Record::new("paid")]);
    store.append(paid.clone()).await?;
    let second = Transaction {
        id: uuid::Uuid::new_v4(),
        ..paid
    };
    assert!(matches!(
        store.append(second).await,
        Err(AppendError::Rejected(Rejection::Conflict { .. }))
    ));

    let mut reader = store.read_segment(SegmentRead::all(order));
    while let Some(entries) = reader.next_batch().await? {
        for entry in entries {
            println!("{} {} {:?}", entry.path, entry.sequence, entry.payload);
        }
    }
    engine.close().await;
    Ok(())
}
