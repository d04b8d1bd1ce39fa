//! Follows and workers over protocol v2.

use super::*;

/// A read or a follow of parts, from the beginning.
fn follow(parts: Vec<Wanted>, cursor: LogCursor) -> Call {
    Call::Follow(Follow {
        credit: 1 << 20,
        parts,
        cursor,
        is_from_now: false,
        heartbeat: 0,
        filter: Filter::default(),
    })
}

pub(super) fn space() -> Wanted {
    Wanted::Space(Name::new("orders").unwrap())
}

/// What a follow tells next.
async fn told(peer: &mut Peer) -> Told {
    loop {
        let came = peer.next().await;
        match came.kind {
            Kind::Credit => {}
            Kind::Data => return Told::decode(&came.body).unwrap(),
            other => panic!("{other:?} {:?}", CallError::decode(&came.body)),
        }
    }
}

/// The payloads up to when it is caught up, and the place behind them.
async fn history(peer: &mut Peer) -> (Vec<Bytes>, LogCursor) {
    let mut payloads = Vec::new();
    loop {
        match told(peer).await {
            Told::Batch(_, batch) => payloads.extend(batched(&[batch]).into_iter().map(|entry| entry.payload)),
            Told::CaughtUp(cursor) => return (payloads, cursor),
            Told::At(_) => {}
        }
    }
}

#[tokio::test]
async fn a_follow_tells_what_is_there_then_what_comes_and_goes_on_behind_its_cursor() {
    let host = Host::start().await;
    let (mut writer, mut peer) = (Peer::connect(&host).await, Peer::connect(&host).await);
    writer.append(append(1, &["a".into(), "b".into()])).await.unwrap();
    peer.call(&follow(vec![space()], LogCursor::default())).await;
    let (payloads, caught_up) = history(&mut peer).await;
    assert_eq!(payloads, ["a", "b"]);
    writer.append(append(3, &["c".into()])).await.unwrap();
    let Told::Batch(behind_c, batch) = told(&mut peer).await else {
        panic!()
    };
    assert_eq!(batched(&[batch])[0].payload, "c");
    writer.append(append(4, &["d".into()])).await.unwrap();
    let Told::Batch(..) = told(&mut peer).await else {
        panic!()
    };
    drop(peer);
    for (cursor, rest) in [(caught_up, vec!["c", "d"]), (behind_c, vec!["d"])] {
        let mut again = Peer::connect(&host).await;
        again.call(&follow(vec![space()], cursor)).await;
        assert_eq!(history(&mut again).await.0, rest);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_follow_from_now_on_of_parts_and_metadata_tells_those_alone_and_beats_meanwhile() {
    let host = Host::start().await;
    let (mut writer, mut peer) = (Peer::connect(&host).await, Peer::connect(&host).await);
    writer.append(append(1, &["old".into()])).await.unwrap();
    let by = |by: &'static str, payload: &'static str| Record {
        payload: payload.into(),
        metadata: Metadata::from_pairs([("by", by)]),
    };
    let call = Call::Follow(Follow {
        credit: 1 << 20,
        parts: vec![Wanted::Prefix(Name::new("orders").unwrap(), "order-".into())],
        cursor: LogCursor::default(),
        is_from_now: true,
        heartbeat: 20,
        filter: Filter {
            prefix: String::new(),
            metadata: vec![("by".into(), "card".into())],
        },
    });
    peer.call(&call).await;
    let Told::CaughtUp(_) = told(&mut peer).await else {
        panic!()
    };
    let Told::At(_) = told(&mut peer).await else { panic!() };
    let mut next = append(2, &[]);
    next.sections[0].records = vec![by("cash", "x"), by("card", "y")];
    next.sections.push(SegmentAppend {
        path: SegmentPath::new("orders", "return-1").unwrap(),
        first_sequence: Sequence(0),
        records: vec![by("card", "z")],
    });
    writer.append(next).await.unwrap();
    let payloads = loop {
        match told(&mut peer).await {
            Told::Batch(_, batch) => break batched(&[batch]).into_iter().map(|entry| entry.payload),
            Told::At(_) => {}
            Told::CaughtUp(_) => panic!("twice"),
        }
    };
    assert!(payloads.eq(["y"]));
    host.stop().await;
}

#[tokio::test]
async fn workers_hear_of_each_other_and_of_who_leaves() {
    let host = Host::start().await;
    let (mut watcher, mut worker) = (Peer::connect(&host).await, Peer::connect(&host).await);
    let look = Call::Workers(Workers {
        credit: 1 << 20,
        own: None,
    });
    watcher.call(&look).await;
    let inventory = async |peer: &mut Peer, wanted: &dyn Fn(&[Worker]) -> bool| {
        loop {
            let came = peer.next().await;
            let Kind::Data = came.kind else { continue };
            if let WorkersTold::Inventory(_, workers) = WorkersTold::decode(&came.body).unwrap()
                && wanted(&workers)
            {
                return workers;
            }
        }
    };
    assert!(inventory(&mut watcher, &|_| true).await.is_empty());
    let own = OwnWorker {
        id: Uuid::from_u128(5),
        heartbeat: Duration::from_secs(1),
        is_answered: true,
        metadata: [("role".to_owned(), "billing".to_owned())].into(),
    };
    let channel = worker
        .call(&Call::Workers(Workers {
            credit: 1 << 20,
            own: Some(own.clone()),
        }))
        .await;
    let there = inventory(&mut watcher, &|workers| !workers.is_empty()).await;
    assert_eq!((there[0].id, &there[0].metadata), (own.id, &own.metadata));
    let mut out = Vec::new();
    frame(&mut out, (channel, Kind::More), nothing, |out| {
        SignOfLife(Timestamp(77)).put(out)
    });
    worker.send(out).await;
    // A sign of life is no change: whoever looks next hears of it.
    loop {
        let mut another = Peer::connect(&host).await;
        another.call(&look).await;
        if inventory(&mut another, &|_| true).await[0].last_seen == Timestamp(77) {
            break;
        }
    }
    let mut beats = false;
    while !beats {
        let came = worker.next().await;
        let told = (came.kind == Kind::Data).then(|| WorkersTold::decode(&came.body).unwrap());
        beats = matches!(told, Some(WorkersTold::Alive(_)));
    }
    let mut out = Vec::new();
    frame(&mut out, (channel, Kind::Cancel), nothing, nothing);
    worker.send(out).await;
    inventory(&mut watcher, &|workers| workers.is_empty()).await;
    host.stop().await;
}

/// A worker that takes nothing of what it is told is heard all the same.
#[tokio::test]
async fn a_worker_without_credit_is_heard() {
    let host = Host::start().await;
    let mut worker = Peer::connect(&host).await;
    let call = |id, credit| {
        let own = OwnWorker {
            id: Uuid::from_u128(id),
            heartbeat: Duration::from_secs(1),
            is_answered: true,
            metadata: Default::default(),
        };
        let own = Some(own);
        Call::Workers(Workers { credit, own })
    };
    let channel = worker.call(&call(5, 1)).await;
    // The first inventory takes its credit; another worker is a change that it cannot be told.
    while worker.next().await.kind != Kind::Data {}
    let mut second = Peer::connect(&host).await;
    second.call(&call(6, 1 << 20)).await;
    while second.next().await.kind != Kind::Data {}
    let mut out = Vec::new();
    frame(&mut out, (channel, Kind::More), nothing, |out| {
        SignOfLife(Timestamp(77)).put(out)
    });
    worker.send(out).await;
    let is_heard = async {
        loop {
            let mut looks = Peer::connect(&host).await;
            let (credit, own) = (1 << 20, None);
            looks.call(&Call::Workers(Workers { credit, own })).await;
            let came = looks.next().await;
            if let (Kind::Data, Ok(WorkersTold::Inventory(_, there))) = (came.kind, WorkersTold::decode(&came.body))
                && there.iter().any(|worker| worker.last_seen == Timestamp(77))
            {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, is_heard).await.expect("it is heard");
    host.stop().await;
}
