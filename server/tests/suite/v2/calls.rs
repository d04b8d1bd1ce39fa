//! Appends and reads over protocol v2, in all that v1 has not.

use super::live::space;
use super::*;

#[tokio::test]
async fn a_repeated_append_is_answered_as_before_and_one_with_other_records_refused() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let first = append(1, &["a".into()]);
    let answered = peer.append(first.clone()).await.unwrap();
    assert!(!answered.is_known);
    peer.append(append(2, &["b".into()])).await.unwrap();
    let mut other = Peer::connect(&host).await;
    let again = other.append(first.clone()).await.unwrap();
    let expected = Appended {
        is_known: true,
        ..answered.clone()
    };
    assert_eq!(again, expected);
    for sequence in [1, 0] {
        let id = first.id;
        let records = append(sequence, &["c".into()]);
        let error = other.append(Append { id, ..records }).await.unwrap_err();
        assert_eq!(error.code, Code::OtherRecords);
        assert_eq!(error.details(), Ok(Details::Position(answered.position)));
    }
    host.stop().await;
}

#[tokio::test]
async fn a_conflict_brings_what_was_committed_meanwhile() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    peer.append(append(1, &["a".into()])).await.unwrap();
    peer.append(append(2, &["b".into(), "c".into()])).await.unwrap();
    let elsewhere = SegmentPath::new("ledger", "l").unwrap();
    let call = Append {
        conflict_bytes: 1000,
        conditions: vec![Condition {
            path: path(),
            expected: Expected::Head(Sequence(1)),
        }],
        sections: vec![SegmentAppend {
            path: elsewhere,
            first_sequence: Sequence(0),
            records: vec![Record::new("x")],
        }],
        ..append(0, &[])
    };
    let channel = peer.call(&Call::Append(call)).await;
    let (messages, end) = peer.answer(channel).await;
    let error = end.unwrap_err();
    assert_eq!(error.details(), Ok(Details::Conflict(vec![(path(), Sequence(3))])));
    let since: Vec<Bytes> = batched(&messages).into_iter().map(|entry| entry.payload).collect();
    assert_eq!(since, ["b", "c"]);
    host.stop().await;
}

#[tokio::test]
async fn appends_of_a_connection_are_stored_in_the_order_of_their_calls_with_none_waited_for() {
    let host = Host::start().await;
    for _ in 0..3 {
        let mut peer = Peer::connect(&host).await;
        let segment = SegmentPath::new("orders", Uuid::new_v4().to_string().as_str()).unwrap();
        let mut out = Vec::new();
        for sequence in 1..=500 {
            let mut append = append(sequence, &["x".into()]);
            append.sections[0].path = segment.clone();
            peer.last += 1;
            frame(&mut out, (peer.last, Kind::Call), nothing, |out| {
                Call::Append(append).put(StoreId(STORE), out)
            });
        }
        peer.send(out).await;
        for _ in 0..500 {
            let came = loop {
                let came = peer.next().await;
                if came.kind != Kind::Credit {
                    break came;
                }
            };
            assert_eq!(came.kind, Kind::End, "{:?}", CallError::decode(&came.body));
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn reads_of_any_parts_newest_first_within_limits_and_not_before_a_position() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let mut position = 0;
    for sequence in 1..=5 {
        let payload = Bytes::from(sequence.to_string());
        position = peer.append(append(sequence, &[payload])).await.unwrap().position;
    }
    let source = || ReadSource::Log(vec![Wanted::Segment(path())], LogCursor::default());
    let read = |peer_read: Read| Call::Read(peer_read);
    let newest = Read {
        is_backwards: true,
        entries: 2,
        at_least: position,
        ..Read::all(source(), 1 << 20)
    };
    let channel = peer.call(&read(newest)).await;
    let (messages, end) = peer.answer(channel).await;
    let done = ReadDone::decode(&end.unwrap()).unwrap();
    let mut payloads: Vec<Bytes> = entries(&messages).into_iter().map(|entry| entry.payload).collect();
    payloads.sort();
    assert_eq!((done.entries, payloads), (2, vec!["4".into(), "5".into()]));
    let first = Read {
        entries: 3,
        ..Read::all(source(), 1 << 20)
    };
    let channel = peer.call(&read(first)).await;
    let (_, end) = peer.answer(channel).await;
    let done = ReadDone::decode(&end.unwrap()).unwrap();
    let rest = Read::all(ReadSource::Log(vec![space()], done.cursor), 1 << 20);
    let channel = peer.call(&read(rest)).await;
    let (messages, end) = peer.answer(channel).await;
    assert_eq!(entries(&messages)[0].payload, "4");
    // Where nothing came, whoever asks again goes on all the same.
    let behind = ReadDone::decode(&end.unwrap()).unwrap().cursor;
    let channel = peer
        .call(&read(Read::all(
            ReadSource::Log(vec![space()], behind.clone()),
            1 << 20,
        )))
        .await;
    let (_, end) = peer.answer(channel).await;
    let nothing = ReadDone {
        entries: 0,
        cursor: behind,
    };
    assert_eq!(ReadDone::decode(&end.unwrap()), Ok(nothing));
    let early = Read {
        at_least: position + 1,
        ..Read::all(source(), 1 << 20)
    };
    let channel = peer.call(&read(early)).await;
    let (_, end) = peer.answer(channel).await;
    let error = end.unwrap_err();
    assert_eq!(
        (error.code, error.details()),
        (Code::NotThereYet, Ok(Details::Position(position)))
    );
    host.stop().await;
}
