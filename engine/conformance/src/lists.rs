//! The promises of lists and lookups.

use std::ops::Bound;

use streamkit_engine::*;

use crate::Fixture;
use crate::calls::{append, drain, path, read_all, space};

/// Lists are sorted by bytes and paged.
pub async fn lists_are_sorted_by_bytes_and_paged(f: Fixture) {
    let store = f.store().await;
    for segment in ["b", "a", "é", "B", "a-1"] {
        append(&*store, &path("s", segment), 1, &["e"]).await.unwrap();
    }
    append(&*store, &path("S", "x"), 1, &["e"]).await.unwrap();
    let names = |page: Vec<SegmentStatus>| {
        page.iter()
            .map(|s| s.path.segment.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let s = Name::new("s").unwrap();
    let all = names(store.segments(&s, Bound::Unbounded, usize::MAX).await.unwrap());
    assert_eq!(all, ["B", "a", "a-1", "b", "é"]);
    let page = store
        .segments(&s, Bound::Excluded(Name::new("a").unwrap()), 2)
        .await
        .unwrap();
    assert_eq!(names(page), ["a-1", "b"]);
    assert_eq!(
        store
            .spaces()
            .await
            .unwrap()
            .iter()
            .map(Name::as_str)
            .collect::<Vec<_>>(),
        ["S", "s"]
    );
    assert_eq!(store.status().await.unwrap().segment_count, 6);
}

/// Missing things are empty not errors.
pub async fn missing_things_are_empty_not_errors(f: Fixture) {
    let store = f.store().await;
    let p = path("no", "where");
    assert_eq!(store.peek(&p).await.unwrap(), None);
    assert!(read_all(&*store, &p).await.is_empty());
    assert!(drain(store.read_spaces(space("no", None))).await.is_empty());
    assert!(store.spaces().await.unwrap().is_empty());
    assert_eq!(store.segment_status(&p).await.unwrap(), None);
}
