//! Retries after a restart: what took the next sequence is known by its id alone.

use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(3));

fn next(id: u128, text: &str) -> Transaction {
    let path = SegmentPath::new("s", "a").unwrap();
    Transaction {
        id: Uuid::from_u128(id),
        ..Transaction::single(path, SegmentAppend::NEXT, vec![Record::new(text.to_owned())])
    }
}

fn engine(dir: &std::path::Path) -> Engine {
    let config = EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir)
    };
    Engine::open(config).unwrap()
}

fn repeated(stored: &Committed) -> Committed {
    Committed {
        was_there: true,
        ..stored.clone()
    }
}

async fn heads(store: &dyn Store) -> u64 {
    store.status().await.unwrap().entry_count
}

/// A hundred transactions over several extents, each with a text of `bytes`.
async fn fill(store: &LocalStore, text: &str) -> Vec<Committed> {
    let mut all = Vec::new();
    for id in 1..=100 {
        all.push(store.append(next(id, text)).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_retry_is_answered_as_the_first_was() {
    for blocks in [true, false] {
        let (dir, text) = (tempfile::tempdir().unwrap(), "x".repeat(4000));
        let opened = engine(dir.path());
        let stored = fill(&opened.open_store(STORE).unwrap(), &text).await;
        opened.close().await;
        drop(opened);

        let opened = engine(dir.path());
        let store = opened.open_store(STORE).unwrap();
        for (id, first) in (1..).zip(&stored) {
            let again = match blocks {
                true => tokio::task::block_in_place(|| store.append_blocking(next(id, &text))),
                false => store.append(next(id, &text)).await,
            };
            assert_eq!(again.unwrap(), repeated(first), "{id}");
        }
        let other = store.append(next(50, "another")).await;
        assert!(
            matches!(other, Err(AppendError::Rejected(Rejection::OtherRecords { number })) if number == stored[49].trx.number)
        );
        assert_eq!(heads(&store).await, 100);
        opened.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_time_before_anybody_needed_them_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let opened = engine(dir.path());
    let store = opened.open_store(STORE).unwrap();
    let text = "y".repeat(3000);
    let mut stored = Vec::new();
    for id in 1..=60 {
        let mut placed = next(id, &text);
        placed.segments[0].first_sequence = Sequence(id as u64);
        stored.push(store.append(placed).await.unwrap());
    }
    for (id, first) in (1..).zip(&stored) {
        assert_eq!(store.append(next(id, &text)).await.unwrap(), repeated(first));
    }
    assert_eq!(
        store.append(next(61, &text)).await.unwrap().segments[0].last_sequence,
        Sequence(61)
    );
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_retry_cannot_be_told_from_what_is_new_nothing_is_stored() {
    let (dir, text) = (tempfile::tempdir().unwrap(), "x".repeat(4000));
    let opened = engine(dir.path());
    fill(&opened.open_store(STORE).unwrap(), &text).await;
    opened.close().await;
    drop(opened);
    let folder = dir.path().join("stores").join(STORE.to_string());
    let mut extents: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    extents.retain(|path| path.extension().is_some_and(|end| end == "extent"));
    extents.sort();
    let mut bytes = std::fs::read(&extents[1]).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&extents[1], bytes).unwrap();

    let opened = engine(dir.path());
    let store = opened.open_store(STORE).unwrap();
    for _ in 0..2 {
        let refused = store.append(next(101, "new")).await;
        assert!(
            matches!(
                refused,
                Err(AppendError::Rejected(Rejection::Storage(StorageError::Corrupt { .. })))
            ),
            "{refused:?}"
        );
    }
    let mut placed = next(101, "new");
    placed.segments[0].first_sequence = Sequence(101);
    store.append(placed).await.unwrap();
    assert_eq!(heads(&store).await, 101);
    opened.close().await;
}

/// What the first transaction that takes any sequence waits for, whatever comes behind it waits for as well: a producer need not wait for
/// one before it sends the next.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_what_waits_for_the_ids_of_before() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let opened = engine(dir.path());
        let store = opened.open_store(STORE).unwrap();
        let head = heads(&store).await;
        let path = SegmentPath::new("s", "a").unwrap();
        let demanding = |first: u64| Transaction::single(path.clone(), Sequence(first), vec![Record::new("behind it")]);
        let (first, second, third) = tokio::join!(
            biased;
            store.append(next(1000 + round, "first")),
            store.append(demanding(head + 2)),
            store.append(demanding(head + 3)),
        );
        let last = [first, second, third].map(|done| done.unwrap().segments[0].last_sequence.0);
        assert_eq!(last, [head + 1, head + 2, head + 3]);
        opened.close().await;
    }
}
