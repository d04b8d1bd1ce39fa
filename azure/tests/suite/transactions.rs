//! Transactions of one partition: all or nothing, and told apart although each is answered with 202.

use streamkit_azure::account::table::{Condition, Range, RowTransaction, Transacted, WRITES_MAX, Write};
use streamkit_azure::account::{CallError, Refusal};

use crate::support::{OnEmulator, binary, key, number};

fn transaction(writes: Vec<Write>) -> RowTransaction {
    writes
        .into_iter()
        .fold(RowTransaction::new(key("p")), RowTransaction::and)
}

async fn rows(on: &OnEmulator) -> usize {
    let range = Range {
        partition: key("p"),
        from: key("a"),
        to: key("z"),
    };
    on.account.table().page(&range, 1000, None).await.unwrap().rows.len()
}

#[tokio::test]
async fn a_transaction_is_done_as_a_whole_or_not_at_all() {
    let on = OnEmulator::new().await;
    let transact = async |writes| on.account.table().transact(&transaction(writes)).await.unwrap();
    let insert = |row: &str| Write::Insert(key(row), number(1));
    let merge = |row: &str| Write::Merge(key(row), number(2), Condition::Exists);

    let Transacted::Applied(versions) = transact(vec![insert("a"), insert("b")]).await else {
        panic!("nothing was there");
    };
    assert!(versions.len() == 2 && versions.iter().all(Option::is_some));

    let refusal = |transacted| match transacted {
        Transacted::Not { refusal, .. } => refusal,
        Transacted::Applied(_) => panic!("it has to be refused"),
    };
    assert_eq!(refusal(transact(vec![insert("c"), insert("a")]).await), Refusal::Exists);
    assert_eq!(refusal(transact(vec![merge("a"), insert("b")]).await), Refusal::Exists);
    assert_eq!(refusal(transact(vec![merge("x"), insert("c")]).await), Refusal::Missing);
    assert_eq!(refusal(transact(vec![insert("c"), merge("x")]).await), Refusal::Missing);
    let stale = versions[0].clone().unwrap();
    assert!(matches!(
        transact(vec![merge("a"), insert("c")]).await,
        Transacted::Applied(_)
    ));
    let replace = Write::Replace(key("a"), number(3), Condition::Is(stale));
    assert_eq!(refusal(transact(vec![insert("d"), replace]).await), Refusal::Changed);
    assert_eq!(rows(&on).await, 3);

    let delete = |row: &str| Write::Delete(key(row), Condition::Exists);
    assert_eq!(
        refusal(transact(vec![delete("a"), delete("x")]).await),
        Refusal::Missing
    );
    assert_eq!(
        transact(vec![delete("a"), delete("b"), delete("c")]).await,
        Transacted::Applied(vec![None; 3])
    );
    assert_eq!(rows(&on).await, 0);
}

#[tokio::test]
async fn the_largest_transaction_is_taken_and_a_larger_one_is_not_sent() {
    let on = OnEmulator::new().await;
    let many = |count: usize| {
        transaction(
            (0..count)
                .map(|at| Write::Insert(key(format!("r{at}")), number(1)))
                .collect(),
        )
    };
    let done = on.account.table().transact(&many(WRITES_MAX)).await.unwrap();
    assert!(matches!(done, Transacted::Applied(versions) if versions.len() == WRITES_MAX));
    let error = on.account.table().transact(&many(WRITES_MAX + 1)).await.unwrap_err();
    assert!(matches!(error, CallError::NotSent(_)), "{error}");

    let large = |rows: usize| {
        let write = |at| Write::Insert(key(format!("l{at}")), binary(900 * 1024));
        transaction((0..rows).map(write).collect())
    };
    let done = on.account.table().transact(&large(3)).await.unwrap();
    assert!(matches!(done, Transacted::Applied(_)));
    let error = on.account.table().transact(&large(4)).await.unwrap_err();
    assert!(matches!(error, CallError::NotSent(_)), "{error}");
    assert_eq!(rows(&on).await, WRITES_MAX + 3);
}
