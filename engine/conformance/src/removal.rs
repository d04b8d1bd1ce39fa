//! The promises of a trim and a delete.

use streamkit_engine::*;

use crate::Fixture;
use crate::calls::{append, drain, path, read_all, space};

/// Trimmed entries are gone and the head stays.
pub async fn trimmed_entries_are_gone_and_the_head_stays(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "a");
    for n in 1..=5 {
        append(&*store, &p, n, &["e"]).await.unwrap();
    }
    let status = store.trim(&p, Sequence(4)).await.unwrap();
    assert_eq!(
        (status.first_sequence, status.last_sequence),
        (Sequence(4), Sequence(5))
    );
    let sequences: Vec<u64> = read_all(&*store, &p).await.iter().map(|e| e.sequence.0).collect();
    assert_eq!(sequences, [4, 5]);
    let by_space = drain(store.read_spaces(space("s", None))).await;
    assert_eq!(by_space.iter().map(|e| e.sequence.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(status.first_timestamp, by_space[0].timestamp);
    assert_eq!(store.status().await.unwrap().entry_count, 2);
    assert!(store.trim(&p, Sequence(6)).await.is_err());
    assert_eq!(store.trim(&p, Sequence(2)).await.unwrap(), status);
    append(&*store, &p, 6, &["e"]).await.unwrap();
}

/// A deleted segment is gone and may begin again.
pub async fn a_deleted_segment_is_gone_and_may_begin_again(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "a");
    append(&*store, &p, 1, &["old", "old"]).await.unwrap();
    append(&*store, &path("s", "b"), 1, &["kept"]).await.unwrap();
    store.delete(&p).await.unwrap();
    assert!(store.delete(&p).await.is_err());
    assert_eq!(store.peek(&p).await.unwrap(), None);
    append(&*store, &p, 1, &["new"]).await.unwrap();
    let payloads: Vec<_> = drain(store.read_spaces(space("s", None)))
        .await
        .iter()
        .map(|e| e.payload.clone())
        .collect();
    assert_eq!(payloads, ["kept", "new"]);
    assert_eq!(read_all(&*store, &p).await.len(), 1);
    assert_eq!(store.status().await.unwrap().entry_count, 2);
}
