//! Blobs: written once, read whole or in part, deleted, listed.

use bytes::Bytes;
use streamkit_azure::account::{Account, AccountSettings, CallError, Conditional, Refusal};

use crate::support::{OnEmulator, settings};

#[tokio::test]
async fn a_blob_is_written_once_and_read_as_it_was() {
    let on = OnEmulator::new().await;
    let blobs = on.account.blobs();
    let whole: Bytes = (0..9_500_000_u32)
        .map(|at| (at % 251).to_le_bytes()[0])
        .collect::<Vec<u8>>()
        .into();
    assert_eq!(blobs.get("b").await.unwrap(), None);
    assert_eq!(blobs.put("b", whole.clone()).await.unwrap(), Conditional::Applied(()));
    assert_eq!(
        blobs.put("b", whole.clone()).await.unwrap(),
        Conditional::Not(Refusal::Exists)
    );
    assert_eq!(
        blobs.put("b", Bytes::from_static(b"short")).await.unwrap(),
        Conditional::Not(Refusal::Exists)
    );
    assert!(blobs.get("b").await.unwrap() == Some(whole.clone()));
    for (from, to) in [
        (0, 10),
        (4_194_300, 4_194_310),
        (1, 9_000_000),
        (9_499_990, 10_000_000),
        (9_500_000, 9_500_001),
        (20_000_000, 20_000_001),
        (5, 5),
    ] {
        let expected = whole.get(from.min(whole.len())..to.min(whole.len())).unwrap();
        let found = blobs.get_range("b", from as u64..to as u64).await.unwrap().unwrap();
        assert!(found == expected, "{from}..{to}");
    }
    assert_eq!(blobs.get_range("absent", 0..10).await.unwrap(), None);
    assert_eq!(blobs.delete("b").await.unwrap(), Conditional::Applied(()));
    assert_eq!(blobs.delete("b").await.unwrap(), Conditional::Not(Refusal::Missing));
    assert_eq!(blobs.get("b").await.unwrap(), None);
}

#[tokio::test]
async fn blobs_are_listed_by_what_their_names_begin_with() {
    let on = OnEmulator::new().await;
    let blobs = on.account.blobs();
    for name in ["a.1", "a.2", "a.3", "b.1", "empty"] {
        blobs.put(name, Bytes::new()).await.unwrap();
    }
    assert_eq!(blobs.list("a.", 10).await.unwrap(), ["a.1", "a.2", "a.3"]);
    assert_eq!(blobs.list("a.", 2).await.unwrap(), ["a.1", "a.2"]);
    assert!(blobs.list("c", 10).await.unwrap().is_empty());
    assert_eq!(blobs.get("empty").await.unwrap(), Some(Bytes::new()));
    for name in ["", "a/b", "a b", "a?b", "a.", &"a".repeat(1025)] {
        assert!(matches!(blobs.get(name).await, Err(CallError::NotSent(_))), "{name}");
    }
}

#[tokio::test]
async fn without_its_container_nothing_is_known_of_a_blob() {
    let on = OnEmulator::new().await;
    let missing = AccountSettings {
        container: "absent".to_owned(),
        ..settings(on.emulator.blobs, on.emulator.tables)
    };
    let account = Account::new(&missing).unwrap();
    let is_refused = |error: CallError| assert!(matches!(&error, CallError::Refused { status: 404, .. }), "{error}");
    is_refused(account.blobs().get("b").await.unwrap_err());
    is_refused(account.blobs().put("b", Bytes::from_static(b"x")).await.unwrap_err());
    is_refused(account.blobs().delete("b").await.unwrap_err());
    is_refused(account.blobs().list("b", 1).await.unwrap_err());
}
