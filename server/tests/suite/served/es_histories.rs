//! Histories that others wrote, too: the Go system, older and newer programs, and several at once.

use futures_util::TryStreamExt as _;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamkit_client::es::*;
use streamkit_client::*;
use uuid::Uuid;

use super::client::client;
use super::es::{Account, Moved, accounts, deposits, snapped};
use crate::fixture::{CASES, Host, Via, WAYS, over_both};

/// Appends what another program might.
async fn write(store: &StoreClient, segment: &str, payload: &str) {
    let record = NewRecord::new(payload.to_owned());
    store.publish("accounts", segment, record).await.unwrap();
}

/// As the Go system's `eskit` writes an event whose struct embeds the base of events.
fn of_go(store: Uuid, name: &str, id: &str, sequence: u64, own: &str) -> String {
    format!(
        r#"{{"$type":"{name}","content":{{"metadata":{{"entity":{{"id":"{id}","area":"accounts","tenant_id":"{store}","scope":1}},"event_id":"aaaaaaaa-aaaa-4aaa-8aaa-00000000000{sequence}","correlation_id":"bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb","causation_id":"cccccccc-cccc-4ccc-8ccc-cccccccccccc","timestamp":1700000000123,"sequence":{sequence}}}{own}}}}}"#
    )
}

async fn what_the_go_system_wrote_is_read_and_gone_on_with_in_its_form(via: Via) {
    const ID: &str = "0d9c5f0e-8a36-4a55-8d36-f7a7e1f2a001";
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    write(&store, ID, &of_go(host.store, "deposited", ID, 1, r#","euros":7"#)).await;
    write(&store, ID, &of_go(host.store, "closed", ID, 2, "")).await;
    let repository = snapped(&store, 2);
    let mut account = repository.load(ID).await.unwrap();
    assert_eq!(account.state().log, ["Deposited { cents: 700 }", "Closed"]);
    let history: Vec<_> = repository.history(ID, 0).unwrap().try_collect().await.unwrap();
    let id = |text: &str| Some(text.parse().unwrap());
    assert_eq!(history[1].id, id("aaaaaaaa-aaaa-4aaa-8aaa-000000000002"));
    let cause = Cause {
        correlation: id("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"),
        causation: id("cccccccc-cccc-4ccc-8ccc-cccccccccccc"),
    };
    assert_eq!(history[1].cause, cause);

    let consequence = history[1].consequence();
    let events = [Moved::Closed, Moved::Deposited { cents: 5 }];
    repository
        .caused_by(consequence)
        .save(&mut account, &events)
        .await
        .unwrap();
    let entries: Vec<Entry> = store
        .consume_segment(ConsumeSegment::all("accounts", ID).from(3))
        .try_collect()
        .await
        .unwrap();
    for (entry, (name, version, own)) in entries
        .iter()
        .zip([("closed", None, None), ("deposited", Some(2), Some(5))])
    {
        let mut event: Value = serde_json::from_slice(&entry.payload).unwrap();
        // What is another each time.
        let metadata = &mut event["content"]["metadata"];
        for (member, is_right) in [
            ("event_id", metadata["event_id"].as_str().unwrap().len() == 36),
            ("timestamp", metadata["timestamp"].as_i64().unwrap() > 1_700_000_000_000),
        ] {
            assert!(is_right, "{member}: {metadata}");
            metadata.as_object_mut().unwrap().shift_remove(member);
        }
        let mut expected = json!({"$type": name, "content": {"metadata": {
            "entity": {"id": ID, "area": "accounts", "tenant_id": host.store.to_string(), "scope": 1},
            "correlation_id": "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
            "causation_id": "aaaaaaaa-aaaa-4aaa-8aaa-000000000002",
            "sequence": entry.sequence,
        }}});
        if let Some(cents) = own {
            expected["content"]["cents"] = json!(cents);
        }
        if let Some(version) = version {
            expected["version"] = json!(version);
        }
        assert_eq!(event, expected);
    }
    assert_eq!(entries.len(), 2);
    assert_eq!(repository.load(ID).await.unwrap().state().log.len(), 4);
    host.stop().await;
}

/// It keeps what it does not know.
#[derive(Default, Debug)]
struct Tolerant(Vec<Kept>);

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Kept {
    #[serde(rename = "closed")]
    Closed,
    #[serde(skip)]
    Other(UnknownEvent),
}

impl Event for Kept {
    fn unknown(event: UnknownEvent) -> Option<Self> {
        Some(Self::Other(event))
    }
}

impl Aggregate for Tolerant {
    type Event = Kept;

    fn apply(&mut self, event: Kept) {
        self.0.push(event);
    }
}

async fn what_a_program_does_not_know_is_an_error_that_names_it_or_kept(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = accounts(&store);
    for (segment, payload) in [
        ("name", r#"{"$type":"frozen","content":{"why":"law"},"version":3}"#),
        ("version", r#"{"$type":"closed","content":{},"version":2}"#),
        ("content", r#"{"$type":"withdrawn","content":{}}"#),
        ("text", "closed"),
        ("step", r#"{"$type":"deposited","content":{"cents":1}}"#),
    ] {
        repository.append(segment, 0, &[Moved::Closed]).await.unwrap();
        write(&store, segment, payload).await;
        repository.append(segment, 2, &[Moved::Closed]).await.unwrap();
        let error = repository.load(segment).await.unwrap_err();
        let of_history = repository.history(segment, 2).unwrap().try_next().await.unwrap_err();
        assert_eq!(error.to_string(), of_history.to_string());
        let found = match (segment, &error) {
            (
                "name",
                LoadError::UnknownEvent {
                    path,
                    sequence: 2,
                    name,
                    version: 3,
                },
            ) if name == "frozen" => path,
            (
                "version",
                LoadError::UnknownVersion {
                    path,
                    sequence: 2,
                    version: 2,
                    current: 1,
                    ..
                },
            ) => path,
            ("content" | "text" | "step", LoadError::Malformed { path, sequence: 2, .. }) => path,
            _ => panic!("{segment}: {error:?}"),
        };
        assert_eq!(found.segment.as_str(), segment);
        let update = repository
            .update(segment, |_| Ok::<_, String>(vec![Moved::Closed]))
            .await;
        assert!(matches!(update, Err(UpdateError::Load(_))), "{update:?}");
    }
    let tolerant = Repository::<Tolerant>::new(store.clone(), "accounts").unwrap();
    let mut kept = tolerant.load("name").await.unwrap();
    let Kept::Other(event) = &kept.state().0[1] else {
        panic!("{:?}", kept.state())
    };
    assert_eq!((event.name.as_str(), event.version), ("frozen", 3));
    assert_eq!(event.content["why"], "law");
    assert_eq!(kept.sequence(), 3);
    let again = kept.state().0[1].clone();
    let refused = tolerant.save(&mut kept, &[Kept::Closed, again]).await;
    assert!(matches!(refused, Err(SaveError::Unfit { .. })), "{refused:?}");
    assert_eq!(store.peek("accounts", "name").await.unwrap().unwrap().sequence, 3);
    host.stop().await;
}

/// A step of one of several writers, each of whom keeps what it loaded last.
#[derive(Clone, Debug)]
enum Step {
    Refresh,
    Save(Vec<Moved>),
    Update(Vec<Moved>),
    /// As a program did that knew an old version.
    Old(i64),
    Renamed(i64),
    BreakSnapshot,
    Trim,
}

fn moved() -> impl Strategy<Value = Moved> {
    prop_oneof![
        (1..1000_i64).prop_map(|cents| Moved::Deposited { cents }),
        (1..1000_i64).prop_map(|cents| Moved::Withdrawn { cents }),
        Just(Moved::Closed),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let events = || prop::collection::vec(moved(), 0..5);
    prop_oneof![
        2 => Just(Step::Refresh),
        6 => events().prop_map(Step::Save),
        6 => events().prop_map(Step::Update),
        2 => (1..9_i64).prop_map(Step::Old),
        2 => (1..9_i64).prop_map(Step::Renamed),
        1 => Just(Step::BreakSnapshot),
        1 => Just(Step::Trim),
    ]
}

/// Runs some steps in their order, then as many updates at once as there are writers, and compares each load with the fold of all events.
async fn run(store: &StoreClient, segment: &str, every: [u64; 3], steps: Vec<(usize, Step)>) {
    let repositories = every.map(|every| snapped(store, every));
    let mut held = Vec::new();
    for repository in &repositories {
        held.push(repository.load(segment).await.unwrap());
    }
    // The model: what happened, and from where on it is there.
    let (mut all, mut first) = (Account::default(), 1);
    let check = |account: &Account, sequence: u64, all: &Account| {
        assert_eq!((account.cents, &account.log), (all.cents, &all.log));
        assert_eq!(sequence, all.log.len() as u64);
    };
    for (writer, step) in steps {
        let (repository, mine) = (&repositories[writer], &mut held[writer]);
        let head = all.log.len() as u64;
        match step {
            Step::Refresh => match repository.refresh(mine).await {
                Ok(()) => check(mine.state(), mine.sequence(), &all),
                Err(error) => assert!(matches!(error, LoadError::Trimmed { .. }) && first > 1, "{error}"),
            },
            Step::Save(events) => {
                let was = mine.sequence();
                match repository.save(mine, &events).await {
                    Ok(saved) => {
                        assert!(was == head || events.is_empty());
                        assert_eq!(saved.sequence, was + events.len() as u64);
                        assert!(saved.snapshot.is_none_or(|written| written.is_ok()));
                        events.into_iter().for_each(|event| all.apply(event));
                    }
                    Err(SaveError::Conflict { expected, head: found }) => {
                        assert_eq!((expected, found), (was, head));
                        assert_ne!(was, head);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Update(events) => match repository.update(segment, |_| Ok::<_, String>(events.clone())).await {
                Ok(updated) => {
                    assert_eq!(updated.conflicts, 0);
                    events.into_iter().for_each(|event| all.apply(event));
                    check(updated.loaded.state(), updated.loaded.sequence(), &all);
                }
                Err(error) => assert!(
                    matches!(error, UpdateError::Load(LoadError::Trimmed { .. })) && first > 1,
                    "{error}"
                ),
            },
            Step::Old(euros) => {
                write(
                    store,
                    segment,
                    &json!({"$type": "deposited", "content": {"euros": euros}}).to_string(),
                )
                .await;
                all.apply(Moved::Deposited { cents: euros * 100 });
            }
            Step::Renamed(cents) => {
                write(
                    store,
                    segment,
                    &json!({"$type": "taken", "content": {"cents": cents}}).to_string(),
                )
                .await;
                all.apply(Moved::Withdrawn { cents });
            }
            Step::BreakSnapshot => {
                let broken = NewRecord::new(r#"{"$type":"streamkit://es/v1/snapshot","version":2,"sequence":1}"#);
                store.publish("accounts.snapshots", segment, broken).await.unwrap();
            }
            Step::Trim if head > 1 => {
                first = first.max(head / 2);
                store.trim("accounts", segment, first).await.unwrap();
            }
            Step::Trim => {}
        }
        for repository in &repositories {
            match repository.load(segment).await {
                Ok(loaded) => check(loaded.state(), loaded.sequence(), &all),
                Err(error) => assert!(matches!(error, LoadError::Trimmed { .. }) && first > 1, "{error}"),
            }
        }
        if first <= 1 {
            let loaded = accounts(store).load(segment).await.unwrap();
            check(loaded.state(), loaded.sequence(), &all);
        }
    }
    if first > 1 {
        return;
    }
    let updates = repositories.iter().map(|repository| {
        repository.update(segment, |account| {
            Ok::<_, String>(deposits([account.log.len() as i64, account.cents]))
        })
    });
    for updated in futures_util::future::join_all(updates).await {
        updated.unwrap();
    }
    for _ in &repositories {
        for event in deposits([all.log.len() as i64, all.cents]) {
            all.apply(event);
        }
    }
    let loaded = repositories[0].load(segment).await.unwrap();
    check(loaded.state(), loaded.sequence(), &all);
}

#[test]
fn any_history_of_several_writers_loads_to_the_fold_of_its_events() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for via in WAYS {
        let (host, store) = runtime.block_on(async {
            let host = Host::via(via).await;
            let store = client(&host).store(host.store);
            (host, store)
        });
        let count = std::cell::Cell::new(0);
        let config = ProptestConfig {
            cases: CASES,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let steps = prop::collection::vec((0..3_usize, step()), 0..20);
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let outcome = runner.run(&([1..4_u64, 2..8, 5..20], steps), |(every, steps)| {
            count.set(count.get() + 1);
            runtime.block_on(run(&store, &format!("history-{}", count.get()), every, steps));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{via:?}: {error}"));
        runtime.block_on(host.stop());
    }
}

#[path = "../../../../client/examples/aggregate.rs"]
#[expect(dead_code, reason = "its `main` is for people")]
mod aggregate;

async fn the_example_does_what_it_says(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    // It may be run as often as one likes.
    for left in [70, 140] {
        assert_eq!(aggregate::run(store.clone()).await.unwrap(), left);
    }
    host.stop().await;
}

over_both! {
    what_the_go_system_wrote_is_read_and_gone_on_with_in_its_form
    what_a_program_does_not_know_is_an_error_that_names_it_or_kept
    the_example_does_what_it_says
}
