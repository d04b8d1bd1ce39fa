//! Answers that are lost, late, broken or made up: none of them is taken for what it is not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamkit_azure::account::table::{Condition, RowTransaction, Transacted, Write};
use streamkit_azure::account::{CallError, Conditional, Refusal};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{
    BlobKind, BlobName, Created, ExtentId, Inserted, Medium as _, Put, RowsEnd, SlotBefore, SlotNumber, Swapped,
    Unanswered,
};
use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::proxy::Fate;
use crate::support::{Proxied, key, number};

fn medium(on: &Proxied) -> AzureMedium {
    AzureMedium::new(Arc::clone(&on.account), StoreId(Uuid::new_v4()))
}

fn is_unknown<T: std::fmt::Debug>(result: Result<T, Unanswered>) {
    assert!(matches!(&result, Err(Unanswered::Unknown(_))), "{result:?}");
}

fn slot(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_commit_is_unknown_and_reading_tells() {
    let on = Proxied::new().await;
    let medium = medium(&on);
    let id = ExtentId(Uuid::new_v4());
    on.tables.next([Fate::LoseAnswer]);
    is_unknown(medium.create_extent(id, slot("0")).await);
    assert_eq!(medium.create_extent(id, slot("0")).await, Ok(Created::Taken));

    let before = on.tables.seen();
    on.tables.next([Fate::LoseAnswer]);
    is_unknown(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
    );
    assert_eq!(on.tables.seen(), before + 1, "nobody repeats a call but its caller");
    assert_eq!(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
        Ok(Inserted::Taken)
    );
    let rows = medium.read_from(id, SlotNumber(1), usize::MAX).await.unwrap();
    assert_eq!(rows.rows, [(SlotNumber(1), slot("mine"))]);

    on.tables.next([Fate::LoseAnswer]);
    is_unknown(medium.swap_root(None, slot("root")).await);
    assert_eq!(medium.swap_root(None, slot("root")).await, Ok(Swapped::Lost));
    let root = medium.read_root().await.unwrap().unwrap();
    assert_eq!(root.bytes, slot("root"));
    on.tables.next([Fate::LoseAnswer]);
    is_unknown(medium.swap_root(Some(root.version.clone()), slot("next")).await);
    assert_eq!(
        medium.swap_root(Some(root.version), slot("next")).await,
        Ok(Swapped::Lost)
    );
    assert_eq!(medium.read_root().await.unwrap().unwrap().bytes, slot("next"));

    let name = BlobName {
        kind: BlobKind::Body,
        id: Uuid::new_v4(),
    };
    on.blobs.next([Fate::LoseAnswer]);
    is_unknown(medium.put_blob(name, slot("body")).await);
    assert_eq!(medium.put_blob(name, slot("body")).await, Ok(Put::Taken));
    assert_eq!(medium.get_blob(name).await, Ok(Some(slot("body"))));
}

#[tokio::test]
async fn a_request_that_is_lost_is_unknown_and_reading_tells() {
    let on = Proxied::new().await;
    let medium = medium(&on);
    let id = ExtentId(Uuid::new_v4());
    medium.create_extent(id, slot("0")).await.unwrap();
    on.tables.next([Fate::LoseRequest]);
    is_unknown(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
    );
    let rows = medium.read_from(id, SlotNumber(1), usize::MAX).await.unwrap();
    assert_eq!((rows.rows.len(), rows.end), (0, RowsEnd::Header));
    assert_eq!(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
        Ok(Inserted::Done)
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_is_unknown() {
    let on = Proxied::new().await;
    let medium = medium(&on);
    let id = ExtentId(Uuid::new_v4());
    medium.create_extent(id, slot("0")).await.unwrap();
    for (number, bytes) in (1..).zip([1, 20, 200, 400, 600, 800]) {
        on.tables.next([Fate::CutAnswer(bytes)]);
        is_unknown(
            medium
                .insert_at(id, SlotNumber(number), slot("mine"), SlotBefore::Known)
                .await,
        );
        assert_eq!(
            medium
                .insert_at(id, SlotNumber(number), slot("mine"), SlotBefore::Known)
                .await,
            Ok(Inserted::Taken),
            "{bytes}"
        );
        on.tables.next([Fate::CutAnswer(bytes)]);
        is_unknown(medium.read_from(id, SlotNumber(1), usize::MAX).await);
    }
}

#[tokio::test]
async fn no_answer_is_waited_for_longer_than_the_deadline() {
    let on = Proxied::with_deadline(Duration::from_millis(100)).await;
    let medium = medium(&on);
    on.tables.next([Fate::Silence]);
    is_unknown(medium.create_extent(ExtentId(Uuid::new_v4()), slot("0")).await);
}

#[tokio::test]
async fn a_service_that_asks_to_wait_is_heard_and_believed_in_nothing_else() {
    let on = Proxied::new().await;
    let medium = medium(&on);
    let id = ExtentId(Uuid::new_v4());
    medium.create_extent(id, slot("0")).await.unwrap();
    let busy = |status: &str, header: &str| format!("HTTP/1.1 {status}\r\n{header}content-length: 0\r\n\r\n");
    let after = |after| Err(Unanswered::Throttled { after });
    let insert = |number| medium.insert_at(id, SlotNumber(number), slot("mine"), SlotBefore::Known);

    let seen = on.tables.seen();
    on.tables
        .next([Fate::Answer(busy("503 Server Busy", "retry-after: 7\r\n"))]);
    assert_eq!(insert(1).await.map(drop), after(Some(Duration::from_secs(7))));
    on.tables.next([Fate::Answer(busy(
        "429 Too Many Requests",
        "x-ms-retry-after-ms: 250\r\n",
    ))]);
    assert_eq!(insert(1).await.map(drop), after(Some(Duration::from_millis(250))));
    on.tables.next([Fate::Answer(busy("503 Server Busy", ""))]);
    assert_eq!(insert(1).await.map(drop), after(None));
    assert_eq!(on.tables.seen(), seen + 3, "nobody repeats a call but its caller");
    assert_eq!(insert(1).await, Ok(Inserted::Done));
    // Also of a call that was carried out.
    on.tables
        .next([Fate::AnswerAfter(busy("503 Server Busy", "retry-after: 1\r\n"))]);
    assert_eq!(insert(2).await.map(drop), after(Some(Duration::from_secs(1))));
    assert_eq!(insert(2).await, Ok(Inserted::Taken));

    let name = BlobName {
        kind: BlobKind::Body,
        id: Uuid::new_v4(),
    };
    let seen = on.blobs.seen();
    on.blobs
        .next([Fate::Answer(busy("503 Server Busy", "retry-after: 7\r\n"))]);
    assert_eq!(
        medium.put_blob(name, slot("body")).await.map(drop),
        after(Some(Duration::from_secs(7)))
    );
    on.blobs
        .next([Fate::Answer(busy("503 Server Busy", "retry-after: 7\r\n"))]);
    assert_eq!(
        medium.get_blob(name).await.map(drop),
        after(Some(Duration::from_secs(7)))
    );
    assert_eq!(on.blobs.seen(), seen + 2, "nobody repeats a call but its caller");
    assert_eq!(medium.put_blob(name, slot("body")).await, Ok(Put::Done));
}

#[tokio::test]
async fn what_a_broken_front_end_says_is_no_proof() {
    let on = Proxied::new().await;
    let medium = medium(&on);
    let id = ExtentId(Uuid::new_v4());
    medium.create_extent(id, slot("0")).await.unwrap();
    let whole = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for answer in [
        whole("202 Accepted", ""),
        whole("202 Accepted", "<html>all is well</html>"),
        whole(
            "202 Accepted\r\ncontent-type: multipart/mixed; boundary=a",
            "--a\r\n\r\n--a--\r\n",
        ),
        whole("200 OK", ""),
        whole("204 No Content", ""),
        whole("301 Moved Permanently\r\nlocation: http://127.0.0.1:9/", ""),
        whole("404 Not Found", "<html>no such page</html>"),
        whole("409 Conflict", ""),
        whole("408 Request Timeout", ""),
        whole("500 Internal Server Error", ""),
        whole("502 Bad Gateway", "<html></html>"),
        whole("504 Gateway Timeout", ""),
        "HTTP/1.1 2".to_owned(),
        "SSH-2.0-other\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
    ] {
        on.tables.next([Fate::Answer(answer.clone())]);
        let result = medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await;
        assert!(matches!(&result, Err(Unanswered::Unknown(_))), "{answer:?}: {result:?}");
        on.tables.next([Fate::Answer(answer.clone())]);
        let result = medium.read_from(id, SlotNumber(1), usize::MAX).await;
        assert!(matches!(&result, Err(Unanswered::Unknown(_))), "{answer:?}: {result:?}");
        on.blobs.next([Fate::Answer(answer.clone())]);
        let name = BlobName {
            kind: BlobKind::Body,
            id: Uuid::new_v4(),
        };
        let result = medium.get_blob(name).await;
        // An answer to a read of a blob has no form of its own, so what a success holds is checked by whoever reads it.
        let is_success = answer.starts_with("HTTP/1.1 20");
        assert!(
            is_success || matches!(&result, Err(Unanswered::Unknown(_))),
            "{answer:?}: {result:?}"
        );
    }
    on.tables.next([Fate::Answer(whole("403 Forbidden", ""))]);
    assert!(matches!(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
        Err(Unanswered::Denied(_))
    ));
    on.tables.next([Fate::Answer(whole("413 Too Large", ""))]);
    assert!(matches!(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
        Err(Unanswered::Refused(_))
    ));
    assert_eq!(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
        Ok(Inserted::Done)
    );
}

#[tokio::test]
async fn a_request_that_arrives_late_or_twice_changes_nothing() {
    let on = Proxied::new().await;
    let medium = medium(&on);
    let id = ExtentId(Uuid::new_v4());
    on.tables.next([Fate::Keep]);
    is_unknown(medium.create_extent(id, slot("late")).await);
    assert_eq!(medium.create_extent(id, slot("0")).await, Ok(Created::Done));
    // An insert that arrives behind another one in its slot.
    on.tables.next([Fate::Keep]);
    is_unknown(
        medium
            .insert_at(id, SlotNumber(1), slot("late"), SlotBefore::Known)
            .await,
    );
    assert_eq!(
        medium
            .insert_at(id, SlotNumber(1), slot("first"), SlotBefore::Known)
            .await,
        Ok(Inserted::Done)
    );
    // One that arrives when the extent is retired.
    on.tables.next([Fate::Keep]);
    is_unknown(
        medium
            .insert_at(id, SlotNumber(2), slot("late"), SlotBefore::Known)
            .await,
    );
    on.tables.deliver().await;
    on.tables.deliver().await;
    let rows = medium.read_from(id, SlotNumber(0), usize::MAX).await.unwrap().rows;
    assert_eq!(rows, [(SlotNumber(0), slot("0")), (SlotNumber(1), slot("first"))]);
    medium.retire_extent(id).await.unwrap();
    on.tables.deliver().await;
    let rows = medium.read_from(id, SlotNumber(0), usize::MAX).await.unwrap();
    assert_eq!((rows.rows.len(), rows.end), (1, RowsEnd::Nothing));
    // A create of it that arrives when it is retired does not open it again.
    on.tables.next([Fate::Keep]);
    is_unknown(medium.create_extent(id, slot("0")).await);
    on.tables.deliver().await;
    assert_eq!(
        medium
            .insert_at(id, SlotNumber(1), slot("late"), SlotBefore::Known)
            .await,
        Ok(Inserted::Retired)
    );

    // A change of the root that arrives behind another one.
    let Ok(Swapped::Done(first)) = medium.swap_root(None, slot("1")).await else {
        panic!("nobody else made it");
    };
    on.tables.next([Fate::Keep]);
    is_unknown(medium.swap_root(Some(first.clone()), slot("late")).await);
    assert!(matches!(
        medium.swap_root(Some(first), slot("2")).await,
        Ok(Swapped::Done(_))
    ));
    on.tables.deliver().await;
    assert_eq!(medium.read_root().await.unwrap().unwrap().bytes, slot("2"));

    // The network delivers one request twice, and the answer is that to the second.
    let id = ExtentId(Uuid::new_v4());
    on.tables.next([Fate::Twice]);
    assert_eq!(medium.create_extent(id, slot("0")).await, Ok(Created::Taken));
    on.tables.next([Fate::Twice]);
    assert_eq!(
        medium
            .insert_at(id, SlotNumber(1), slot("mine"), SlotBefore::Known)
            .await,
        Ok(Inserted::Taken)
    );
    on.tables.next([Fate::Twice]);
    assert_eq!(medium.retire_extent(id).await, Ok(()));
}

#[tokio::test]
async fn a_retirement_that_is_cut_short_anywhere_is_finished_by_the_next() {
    let on = Proxied::new().await;
    let medium = medium(&on);
    // Delete of the header, keys, delete of slots, keys.
    for cut in 0..4 {
        let id = ExtentId(Uuid::new_v4());
        medium.create_extent(id, slot("0")).await.unwrap();
        for number in 1..=3 {
            medium
                .insert_at(id, SlotNumber(number), slot("x"), SlotBefore::Known)
                .await
                .unwrap();
        }
        on.tables
            .next((0..cut).map(|_| Fate::Through).chain([Fate::LoseAnswer]));
        is_unknown(medium.retire_extent(id).await);
        assert_eq!(medium.retire_extent(id).await, Ok(()));
        let rows = medium.read_from(id, SlotNumber(0), usize::MAX).await.unwrap();
        assert_eq!((rows.rows.len(), rows.end), (1, RowsEnd::Nothing));
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_may_have_been_carried_out() {
    let on = Proxied::new().await;
    let write = Write::Insert(key("r"), number(1));
    on.tables.next([Fate::Silence]);
    let dropped = tokio::time::timeout(Duration::from_millis(50), on.account.table().write(&key("p"), &write)).await;
    assert!(dropped.is_err());
    assert!(matches!(
        on.account.table().write(&key("p"), &write).await,
        Ok(Conditional::Applied(_))
    ));
}

#[tokio::test]
async fn a_single_write_whose_answer_is_lost_is_unknown() {
    let on = Proxied::new().await;
    let table = on.account.table();
    let insert = Write::Insert(key("r"), number(1));
    on.tables.next([Fate::LoseAnswer]);
    assert!(matches!(
        table.write(&key("p"), &insert).await,
        Err(CallError::Unknown(_))
    ));
    assert_eq!(
        table.write(&key("p"), &insert).await,
        Ok(Conditional::Not(Refusal::Exists))
    );
    let transaction = RowTransaction::new(key("p")).and(Write::Delete(key("r"), Condition::Exists));
    on.tables.next([Fate::LoseAnswer]);
    assert!(matches!(table.transact(&transaction).await, Err(CallError::Unknown(_))));
    let again = table.transact(&transaction).await.unwrap();
    assert!(
        matches!(
            again,
            Transacted::Not {
                refusal: Refusal::Missing,
                ..
            }
        ),
        "{again:?}"
    );
    assert_eq!(on.direct.table().get(&key("p"), &key("r")).await, Ok(None));
}
