//! Publishing: appends after whatever the head is.

use std::sync::Arc;

use streamkit_engine::*;

use super::conformance::{fixture, path, read_all, records};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_publishes_comes_after_the_head_whoever_else_does() {
    let fixture = fixture().await;
    let store = fixture.store().await;
    let order = path("orders", "order-1");
    let tasks = (0..16).map(|n| {
        let (store, order) = (Arc::clone(&store), order.clone());
        tokio::spawn(async move {
            for event in 0..10 {
                store.publish(&order, records([format!("{n}/{event}")])).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut texts: Vec<String> = read_all(&*store, &order)
        .await
        .iter()
        .map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap())
        .collect();
    assert_eq!(texts.len(), 160);
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 160);
    let empty = store.publish(&order, Vec::new()).await;
    assert!(matches!(empty, Err(AppendError::Rejected(Rejection::Invalid(_)))));
}
