//! Calls that many promises share.

use std::collections::BTreeMap;

use streamkit_engine::*;

pub(crate) fn path(space: &str, segment: &str) -> SegmentPath {
    SegmentPath::new(space, segment).unwrap()
}

pub(crate) fn records(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<Record> {
    texts.into_iter().map(|text| Record::new(text.into())).collect()
}

pub(crate) async fn append(
    store: &dyn Store,
    path: &SegmentPath,
    first: u64,
    texts: &[&str],
) -> Result<Committed, AppendError> {
    store
        .append(Transaction::single(
            path.clone(),
            Sequence(first),
            records(texts.iter().copied()),
        ))
        .await
}

pub(crate) async fn drain(mut reader: Box<dyn EntryReader>) -> Vec<Entry> {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        assert!(!batch.is_empty());
        all.extend(batch);
    }
    all
}

pub(crate) async fn read_all(store: &dyn Store, path: &SegmentPath) -> Vec<Entry> {
    drain(store.read_segment(SegmentRead::all(path.clone()))).await
}

pub(crate) fn space(name: &str, cursor: Option<SpaceCursor>) -> SpacesRead {
    SpacesRead {
        spaces: BTreeMap::from([(Name::new(name).unwrap(), cursor)]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    }
}

pub(crate) fn cursor_of(entry: &Entry) -> SpaceCursor {
    SpaceCursor {
        timestamp: entry.timestamp,
        segment: entry.path.segment.clone(),
        sequence: entry.sequence,
    }
}

pub(crate) fn conflict(error: AppendError) -> (u64, u64) {
    match error {
        AppendError::Rejected(Rejection::Conflict { head, got, .. }) => (head.0, got.0),
        other => panic!("expected a conflict, got {other}"),
    }
}

/// The answer to a repetition of what was stored with this one.
pub(crate) fn repeated(stored: &Committed) -> Committed {
    Committed {
        was_there: true,
        ..stored.clone()
    }
}
