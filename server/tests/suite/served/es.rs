//! Event sourcing, of the client against the server: what is loaded is what was saved.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use streamkit_client::es::*;
use streamkit_client::*;
use uuid::Uuid;

use super::client::client;
use super::relay::Relay;
use crate::fixture::{Host, Via, WAYS, over_both};

const ID: &str = "0d9c5f0e-8a36-4a55-8d36-f7a7e1f2a001";

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moved {
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
    Closed,
}

impl Event for Moved {
    const UPCASTS: &'static [Upcast] = &[
        Upcast::new("deposited", 1, |content| {
            let euros = content
                .remove("euros")
                .and_then(|euros| euros.as_i64())
                .ok_or("no euros")?;
            content.insert("cents".to_owned(), (euros * 100).into());
            Ok(())
        }),
        Upcast::renamed("taken", 1, ("withdrawn", 1), |_| Ok(())),
    ];
}

#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Account {
    pub cents: i64,
    /// All that happened, in order.
    pub log: Vec<String>,
    /// What happened since the last snapshot: it is in none.
    #[serde(skip)]
    pub applied: usize,
}

impl Aggregate for Account {
    type Event = Moved;

    fn apply(&mut self, event: Moved) {
        self.log.push(format!("{event:?}"));
        self.applied += 1;
        match event {
            Moved::Deposited { cents } => self.cents += cents,
            Moved::Withdrawn { cents } => self.cents -= cents,
            Moved::Closed => self.cents = 0,
        }
    }
}

impl Snapshot for Account {
    const VERSION: u32 = 2;
}

pub fn accounts(store: &StoreClient) -> Repository<Account> {
    Repository::new(store.clone(), "accounts").unwrap()
}

/// With a snapshot every so many events.
pub fn snapped(store: &StoreClient, every: u64) -> Repository<Account> {
    accounts(store).snapshots(NonZeroU64::new(every).unwrap()).unwrap()
}

pub fn deposits(cents: impl IntoIterator<Item = i64>) -> Vec<Moved> {
    cents.into_iter().map(|cents| Moved::Deposited { cents }).collect()
}

async fn what_is_saved_is_loaded_with_its_causes(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = accounts(&store);
    let mut account = repository.load(ID).await.unwrap();
    assert_eq!((account.sequence(), account.state()), (0, &Account::default()));
    // Nothing is asked of the server.
    assert_eq!(repository.save(&mut account, &[]).await.unwrap().sequence, 0);
    let cause = Cause {
        correlation: Some(Uuid::from_u128(7)),
        causation: Some(Uuid::from_u128(8)),
    };
    let caused = repository.caused_by(cause);
    let saved = caused.save(&mut account, &deposits([5, 6])).await.unwrap();
    assert!(saved.sequence == 2 && saved.snapshot.is_none());
    repository.save(&mut account, &[Moved::Closed]).await.unwrap();
    let loaded = repository.load(ID).await.unwrap();
    assert_eq!(loaded, account);
    assert_eq!((loaded.id(), loaded.sequence(), loaded.state().log.len()), (ID, 3, 3));

    let history: Vec<_> = repository.history(ID, 0).unwrap().try_collect().await.unwrap();
    let sequences: Vec<u64> = history.iter().map(|recorded| recorded.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(
        (history[1].event.clone(), history[1].cause),
        (Moved::Deposited { cents: 6 }, cause)
    );
    assert_eq!(history[2].cause, Cause::default());
    assert_ne!(history[0].id, history[1].id);
    assert_eq!(history[1].consequence().correlation, cause.correlation);
    assert_eq!(history[2].consequence().correlation, history[2].id);
    let rest: Vec<_> = repository.history(ID, 3).unwrap().try_collect().await.unwrap();
    assert_eq!(rest, history[2..]);
    host.stop().await;
}

async fn of_two_that_go_on_from_the_same_one_wins_and_the_other_learns_the_head(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = accounts(&store);
    let mut first = repository.load(ID).await.unwrap();
    let mut second = first.clone();
    repository.save(&mut first, &deposits([1, 2, 3])).await.unwrap();
    let lost = repository.save(&mut second, &deposits([4])).await;
    assert!(
        matches!(lost, Err(SaveError::Conflict { expected: 0, head: 3 })),
        "{lost:?}"
    );
    assert_eq!((second.sequence(), second.state().cents), (0, 0));
    let new = repository.append(ID, 0, &deposits([4])).await;
    assert!(
        matches!(new, Err(SaveError::Conflict { expected: 0, head: 3 })),
        "{new:?}"
    );
    repository.refresh(&mut second).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(repository.append(ID, 3, &deposits([4])).await.unwrap(), 4);
    repository.refresh(&mut second).await.unwrap();
    assert_eq!((second.sequence(), second.state().cents), (4, 10));
    host.stop().await;
}

async fn updates_at_once_all_happen_and_say_how_often_others_were_first(via: Via) {
    const WRITERS: u32 = 6;
    const UPDATES: u32 = 5;
    let host = Host::via(via).await;
    let patient = RetryPolicy {
        attempts: 1000,
        ..RetryPolicy::DEFAULT
    };
    let updates = (0..WRITERS).map(async |_| {
        let store = client(&host).store(host.store);
        let repository = snapped(&store, 7).conflicts(patient);
        let (mut decided, mut conflicts) = (0, 0);
        for _ in 0..UPDATES {
            let decide = |account: &Account| {
                decided += 1;
                // As the state says: who decides on an old one is found out.
                Ok::<_, String>(vec![Moved::Deposited {
                    cents: account.log.len() as i64 + 1,
                }])
            };
            conflicts += repository.update(ID, decide).await.unwrap().conflicts;
        }
        assert_eq!(decided, UPDATES + conflicts);
    });
    futures_util::future::join_all(updates).await;
    let store = client(&host).store(host.store);
    let account = accounts(&store).load(ID).await.unwrap();
    let count = i64::from(WRITERS * UPDATES);
    assert_eq!(
        (account.sequence() as i64, account.state().cents),
        (count, count * (count + 1) / 2)
    );
    host.stop().await;
}

async fn a_decision_may_refuse_and_may_be_that_nothing_happens(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = accounts(&store);
    let refused = repository.update(ID, |_| Err("no")).await;
    assert!(matches!(refused, Err(UpdateError::Refused("no"))), "{refused:?}");
    let nothing = repository.update(ID, |_| Ok::<_, &str>(Vec::new())).await.unwrap();
    assert_eq!((nothing.saved.sequence, nothing.conflicts), (0, 0));
    assert!(store.peek("accounts", ID).await.unwrap().is_none());
    for id in ["", "a\0b"] {
        let invalid = repository.load(id).await;
        assert!(
            matches!(invalid, Err(LoadError::Store(Error::Invalid(_)))),
            "{invalid:?}"
        );
    }
    host.stop().await;
}

/// The connection ends again and again while answers are under way: no event is saved twice, and none that was said to be saved is lost.
async fn a_lost_answer_leaves_no_doubt_that_can_be_resolved(via: Via) {
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let store = relay.client.clone().token(crate::fixture::token(&["streamkit::*"]));
    let store = store.retry(RetryPolicy::AGGRESSIVE).build().store(host.store);
    let repository = accounts(&store);
    let (mut told, mut open) = (Vec::new(), 0);
    let mut account = repository.load(ID).await.unwrap();
    for cents in 1..=60 {
        let events = deposits([cents]);
        let save = repository.save(&mut account, &events);
        let cut = async {
            for _ in 0..cents % 7 {
                tokio::task::yield_now().await;
            }
            relay.cut();
        };
        match tokio::join!(save, cut).0 {
            Ok(_) => told.push(format!("{:?}", events[0])),
            // What was left open may come later than one looks.
            Err(SaveError::Conflict { .. }) => assert!(open > 0, "nobody else saves"),
            Err(SaveError::Store(error)) => open += u32::from(!error.is_not_stored()),
            Err(error) => panic!("{error}"),
        }
        while let Err(error) = repository.refresh(&mut account).await {
            assert!(
                matches!(&error, LoadError::Store(error) if error.is_transient()),
                "{error}"
            );
        }
    }
    let log = accounts(&client(&host).store(host.store))
        .load(ID)
        .await
        .unwrap()
        .into_state()
        .log;
    let distinct: BTreeSet<_> = log.iter().collect();
    assert_eq!(distinct.len(), log.len(), "an event was saved twice");
    assert!(
        told.iter().all(|event| distinct.contains(event)),
        "{told:?}, and there are {log:?}"
    );
    if via.protocol() == Protocol::V2 {
        assert_eq!((told.len(), open), (log.len(), 0));
    }
    host.stop().await;
}

over_both! {
    what_is_saved_is_loaded_with_its_causes
    of_two_that_go_on_from_the_same_one_wins_and_the_other_learns_the_head
    updates_at_once_all_happen_and_say_how_often_others_were_first
    a_decision_may_refuse_and_may_be_that_nothing_happens
    a_lost_answer_leaves_no_doubt_that_can_be_resolved
}

/// Each time it is decided, another writer is first.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_never_first_ends_and_says_so() {
    for via in WAYS {
        let host = Host::via(via).await;
        let (store, other) = (client(&host).store(host.store), client(&host).store(host.store));
        let policy = RetryPolicy {
            attempts: 3,
            ..RetryPolicy::DEFAULT
        };
        let repository = accounts(&store).conflicts(policy);
        let mut first = 0;
        let mut decide = |times: u32, account: &Account| {
            if first < times {
                first += 1;
                let head = account.log.len() as u64;
                let (events, other) = (deposits([1]), accounts(&other));
                let overtaken = other.append(ID, head, &events);
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(overtaken)).unwrap();
            }
            Ok::<_, String>(vec![Moved::Closed])
        };
        let contended = repository.update(ID, |account| decide(3, account)).await;
        assert!(
            matches!(contended, Err(UpdateError::Contended { conflicts: 3, head: 3 })),
            "{contended:?}"
        );
        let updated = repository.update(ID, |account| decide(5, account)).await.unwrap();
        assert_eq!((updated.conflicts, updated.saved.sequence), (2, 6));
        assert_eq!(updated.loaded.state().cents, 0);
        host.stop().await;
    }
}
