//! Rows: what writes come to, and what reads find.

use streamkit_azure::account::table::{Condition, Page, Range, Row, RowVersion, Write};
use streamkit_azure::account::{Account, AccountSettings, CallError, Conditional, Refusal};

use crate::support::{OnEmulator, binary, key, number, settings};

async fn insert(account: &Account, row: &str, value: i64) -> Conditional<Option<RowVersion>> {
    let write = Write::Insert(key(row), number(value));
    account.table().write(&key("p"), &write).await.unwrap()
}

#[tokio::test]
async fn each_write_is_done_or_says_why_not() {
    let on = OnEmulator::new().await;
    let table = on.account.table();
    let p = key("p");
    let write = async |write: Write| table.write(&p, &write).await.unwrap();
    let Conditional::Applied(Some(first)) = insert(&on.account, "r", 1).await else {
        panic!("nothing was there");
    };
    assert_eq!(insert(&on.account, "r", 2).await, Conditional::Not(Refusal::Exists));
    let is = |version: &RowVersion| Condition::Is(version.clone());

    let replaced = write(Write::Replace(key("r"), number(3), is(&first))).await;
    let Conditional::Applied(Some(second)) = replaced else {
        panic!("nobody else changed it");
    };
    for refused in [
        Write::Replace(key("r"), number(4), is(&first)),
        Write::Merge(key("r"), number(4), is(&first)),
        Write::Delete(key("r"), is(&first)),
    ] {
        assert_eq!(write(refused).await, Conditional::Not(Refusal::Changed));
    }
    for missing in [
        Write::Replace(key("q"), number(4), Condition::Exists),
        Write::Merge(key("q"), number(4), Condition::Exists),
        Write::Delete(key("q"), Condition::Exists),
        Write::Replace(key("q"), number(4), is(&first)),
    ] {
        assert_eq!(write(missing).await, Conditional::Not(Refusal::Missing));
    }
    let merged = [("m".to_owned(), streamkit_azure::account::table::Cell::Number(7))].into();
    let Conditional::Applied(Some(third)) = write(Write::Merge(key("r"), merged, is(&second))).await else {
        panic!("nobody else changed it");
    };
    let row = table.get(&p, &key("r")).await.unwrap().unwrap();
    assert_eq!((row.cells.len(), &row.version), (2, &third));
    assert_eq!(
        write(Write::Delete(key("r"), is(&third))).await,
        Conditional::Applied(None)
    );
    assert_eq!(table.get(&p, &key("r")).await.unwrap(), None);
}

#[tokio::test]
async fn without_its_table_nothing_is_known_of_a_row() {
    let on = OnEmulator::new().await;
    let missing = AccountSettings {
        table: "absent".to_owned(),
        ..settings(on.emulator.blobs, on.emulator.tables)
    };
    let account = Account::new(&missing).unwrap();
    let is_refused = |error: CallError| assert!(matches!(&error, CallError::Refused { status: 404, .. }), "{error}");
    is_refused(account.table().get(&key("p"), &key("r")).await.unwrap_err());
    let write = Write::Merge(key("r"), number(1), Condition::Exists);
    is_refused(account.table().write(&key("p"), &write).await.unwrap_err());
}

#[tokio::test]
async fn the_largest_row_is_taken_and_a_larger_one_is_not_sent() {
    let on = OnEmulator::new().await;
    let table = on.account.table();
    let large = binary(15 * 65_536);
    let write = Write::Insert(key("r"), large.clone());
    assert!(matches!(
        table.write(&key("p"), &write).await.unwrap(),
        Conditional::Applied(_)
    ));
    assert_eq!(table.get(&key("p"), &key("r")).await.unwrap().unwrap().cells, large);
    let write = Write::Insert(key("q"), binary(16 * 65_536));
    assert!(matches!(
        table.write(&key("p"), &write).await,
        Err(CallError::NotSent(_))
    ));
}

#[tokio::test]
async fn keys_of_any_text_are_told_apart() {
    let on = OnEmulator::new().await;
    let texts = [
        "a/b", "a\\b", "a#b", "a?b", "a%2fb", "a=2fb", "a'b", "ä", "a\u{1}b", "a b", "a+b", "A/b",
    ];
    let encoded = |text: &str| key(streamkit_azure::account::table::TableKey::encode(text));
    for (at, text) in (0..).zip(texts) {
        let write = Write::Insert(encoded(text), number(at));
        let done = on.account.table().write(&encoded(text), &write).await.unwrap();
        assert!(matches!(done, Conditional::Applied(_)), "{text}");
    }
    for (at, text) in (0..).zip(texts) {
        let row = on
            .account
            .table()
            .get(&encoded(text), &encoded(text))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.cells, number(at), "{text}");
    }
}

#[tokio::test]
async fn a_range_is_read_page_by_page_and_nothing_else() {
    let on = OnEmulator::new().await;
    let table = on.account.table();
    for at in 0..25 {
        insert(&on.account, &format!("s{at:02}"), at).await;
    }
    let other = Write::Insert(key("s10"), number(99));
    table.write(&key("q"), &other).await.unwrap();
    let range = Range {
        partition: key("p"),
        from: key("s03"),
        to: key("s20"),
    };
    let (mut rows, mut keys, mut place, mut pages) = (Vec::<Row>::new(), Vec::new(), None, 0);
    loop {
        let Page { rows: found, next } = table.page(&range, 4, place.as_ref()).await.unwrap();
        let again = table.keys(&range, 4, place.as_ref()).await.unwrap();
        keys.extend(again.rows);
        rows.extend(found);
        pages += 1;
        match next {
            Some(next) => place = Some(next),
            None => break,
        }
    }
    let expected: Vec<String> = (3..=20).map(|at| format!("s{at:02}")).collect();
    assert!(
        keys.iter()
            .map(|key| key.as_str())
            .eq(expected.iter().map(String::as_str))
    );
    assert!(rows.iter().map(|row| &row.key).eq(keys.iter()));
    assert!(pages >= 5, "{pages} pages");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    let on = OnEmulator::new().await;
    for at in 10..40 {
        let write = Write::Insert(key(format!("s{at}")), binary(900 * 1024));
        on.account.table().write(&key("p"), &write).await.unwrap();
    }
    let range = Range {
        partition: key("p"),
        from: key("s"),
        to: key("z"),
    };
    let error = on.account.table().page(&range, 1000, None).await.unwrap_err();
    assert_eq!(error, CallError::TooLarge);
    assert_eq!(on.account.table().page(&range, 16, None).await.unwrap().rows.len(), 16);
}
