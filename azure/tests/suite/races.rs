//! Sixteen tasks that want the same thing: exactly one gets it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use streamkit_azure::account::table::{Condition, Range, RowTransaction, Transacted, Write};
use streamkit_azure::account::{Account, Conditional, Refusal};
use tokio::task::JoinSet;

use crate::support::{OnEmulator, key, number};

const ROUNDS: i64 = 20;
const RIVALS: i64 = 16;

/// Which of them won; each says whether it did.
async fn winners<F, R>(account: &Arc<Account>, rival: F) -> Vec<i64>
where
    F: Fn(Arc<Account>, i64) -> R,
    R: Future<Output = bool> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..RIVALS {
        let won = rival(Arc::clone(account), number);
        tasks.spawn(async move { won.await.then_some(number) });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_inserts_and_changes_of_a_row_one_is_done() {
    let on = OnEmulator::new().await;
    for round in 0..ROUNDS {
        let row = key(format!("r{round}"));
        let own = row.clone();
        let won = winners(&on.account, move |account, rival| {
            let write = Write::Insert(own.clone(), number(rival));
            async move {
                match account.table().write(&key("p"), &write).await.unwrap() {
                    Conditional::Applied(_) => true,
                    Conditional::Not(refusal) => {
                        assert_eq!(refusal, Refusal::Exists);
                        false
                    }
                }
            }
        })
        .await;
        let found = on.account.table().get(&key("p"), &row).await.unwrap().unwrap();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(found.cells, number(won[0]));

        let own = row.clone();
        let won = winners(&on.account, move |account, rival| {
            let write = Write::Replace(own.clone(), number(rival), Condition::Is(found.version.clone()));
            async move {
                match account.table().write(&key("p"), &write).await.unwrap() {
                    Conditional::Applied(_) => true,
                    Conditional::Not(refusal) => {
                        assert_eq!(refusal, Refusal::Changed);
                        false
                    }
                }
            }
        })
        .await;
        let found = on.account.table().get(&key("p"), &row).await.unwrap().unwrap();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(found.cells, number(won[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_transactions_on_a_row_one_is_done_and_nothing_of_the_others() {
    let on = OnEmulator::new().await;
    on.account
        .table()
        .write(&key("p"), &Write::Insert(key("z"), number(0)))
        .await
        .unwrap();
    for round in 0..ROUNDS {
        let won = winners(&on.account, move |account, rival| async move {
            let transaction = RowTransaction::new(key("p"))
                .and(Write::Merge(key("z"), number(1), Condition::Exists))
                .and(Write::Insert(key(format!("s{round:02}")), number(rival)))
                .and(Write::Insert(key(format!("t{round:02}.{rival}")), number(rival)));
            match account.table().transact(&transaction).await.unwrap() {
                Transacted::Applied(_) => true,
                Transacted::Not { refusal, .. } => {
                    assert_eq!(refusal, Refusal::Exists);
                    false
                }
            }
        })
        .await;
        assert_eq!(won.len(), 1, "{won:?}");
        let range = Range {
            partition: key("p"),
            from: key(format!("t{round:02}.")),
            to: key(format!("t{round:02}.~")),
        };
        let left = on.account.table().page(&range, 100, None).await.unwrap().rows;
        assert_eq!(left.len(), 1, "nothing of a transaction that was refused is there");
        assert_eq!(left[0].cells, number(won[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_put_a_blob_one_does() {
    let on = OnEmulator::new().await;
    // Some with one request, some in pieces.
    for (round, length) in [(0, 10), (1, 10), (2, 100_000), (3, 5_000_000), (4, 5_000_000)] {
        let won = winners(&on.account, move |account, rival| async move {
            let bytes = Bytes::from(vec![rival.to_le_bytes()[0]; length]);
            let name = format!("b{round}");
            let mut put = account.blobs().put(&name, bytes.clone()).await;
            // The pieces of one who is late are thrown away by one who is first: that proves nothing, and it asks again.
            while put.as_ref().is_err_and(|error| error.is_unknown()) {
                put = account.blobs().put(&name, bytes.clone()).await;
            }
            match put.unwrap() {
                Conditional::Applied(()) => true,
                Conditional::Not(refusal) => {
                    assert_eq!(refusal, Refusal::Exists);
                    false
                }
            }
        })
        .await;
        assert_eq!(won.len(), 1, "{won:?}");
        let found = on.account.blobs().get(&format!("b{round}")).await.unwrap().unwrap();
        assert!(found.len() == length && found.iter().all(|byte| *byte == won[0].to_le_bytes()[0]));
    }
}
