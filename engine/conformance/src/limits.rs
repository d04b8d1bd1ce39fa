//! Limits: what a store accepts, and what it refuses.

use streamkit_engine::*;
use uuid::Uuid;

use crate::Fixture;
use crate::calls::{drain, path, read_all, records, space};

/// Limits are refused before anything is written.
pub async fn limits_are_refused_before_anything_is_written(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "a");
    let refused = async |segments| {
        let error = store
            .append(Transaction {
                id: Uuid::new_v4(),
                segments,
                fence: None,
                conditions: Vec::new(),
            })
            .await
            .unwrap_err();
        match error {
            AppendError::Rejected(Rejection::Invalid(invalid)) => invalid,
            other => panic!("{other}"),
        }
    };
    let part = |first, records| SegmentAppend {
        path: p.clone(),
        first_sequence: Sequence(first),
        records,
    };
    let big = Record::new(vec![0u8; limits::RECORD_BYTES_MAX + 1]);
    assert_eq!(refused(vec![part(1, vec![])]).await, InvalidTransaction::Empty);
    assert_eq!(refused(vec![]).await, InvalidTransaction::Empty);
    assert!(matches!(
        refused(vec![part(1, vec![big])]).await,
        InvalidTransaction::RecordTooLarge(_)
    ));
    let many = vec![Record::default(); limits::TRANSACTION_RECORDS_MAX + 1];
    assert!(matches!(
        refused(vec![part(1, many)]).await,
        InvalidTransaction::TooManyRecords(_)
    ));
    let heavy = vec![Record::new(vec![0u8; limits::RECORD_BYTES_MAX]); 5];
    assert!(matches!(
        refused(vec![part(1, heavy)]).await,
        InvalidTransaction::TooLarge(_)
    ));
    let one = || part(1, records(["x"]));
    assert_eq!(refused(vec![one(), one()]).await, InvalidTransaction::RepeatedSegment);
    assert_eq!(
        refused(vec![part(u64::MAX, records(["x"]))]).await,
        InvalidTransaction::SequenceOutOfRange
    );
    assert_eq!(store.peek(&p).await.unwrap(), None);
}

/// The largest records and transactions are read back.
pub async fn the_largest_records_and_transactions_are_read_back(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "large");
    let heavy = vec![Record::new(vec![7u8; limits::RECORD_BYTES_MAX]); 4];
    store
        .append(Transaction::single(p.clone(), Sequence(1), heavy))
        .await
        .unwrap();
    let many = vec![Record::new("x"); limits::TRANSACTION_RECORDS_MAX];
    store
        .append(Transaction::single(p.clone(), Sequence(5), many))
        .await
        .unwrap();
    let entries = read_all(&*store, &p).await;
    assert_eq!(entries.len(), 4 + limits::TRANSACTION_RECORDS_MAX);
    assert!(entries.iter().zip(1..).all(|(e, n)| e.sequence == Sequence(n)));
    assert!(
        entries[..4]
            .iter()
            .all(|e| e.payload.len() == limits::RECORD_BYTES_MAX && e.payload[9] == 7)
    );
    assert_eq!(drain(store.read_spaces(space("s", None))).await, entries);
}
