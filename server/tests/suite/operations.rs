//! What each verb answers, and what it refuses.

use streamkit_protocol::*;

use crate::peer::*;

fn sequences(messages: &[String]) -> Vec<u64> {
    messages
        .iter()
        .map(|m| Entry::decode(m.as_bytes()).unwrap().sequence)
        .collect()
}

async fn ten(host: &Host) -> Peer {
    let mut peer = host.connect().await;
    let records: Vec<String> = (1..=10).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let (statuses, end) = peer.produce("s", "a", &records).await;
    assert_eq!((statuses.len(), end), (1, Terminal::Close));
    peer
}

#[tokio::test]
async fn bounds_are_inclusive_and_zero_means_none() {
    let host = Host::start().await;
    let mut peer = ten(&host).await;
    let cases: [(u64, u64, &[u64]); 6] = [
        (0, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (3, 3, &[3]),
        (3, 5, &[3, 4, 5]),
        (11, 0, &[]),
        (9, 15, &[9, 10]),
        (5, 3, &[]),
    ];
    for (min_sequence, max_sequence, expected) in cases {
        let read = ConsumeSegment {
            min_sequence,
            max_sequence,
            ..consume("s", "a")
        };
        let (messages, end) = peer.call(&Request::ConsumeSegment(read)).await;
        assert_eq!(
            (&*sequences(&messages), end),
            (expected, Terminal::Close),
            "{min_sequence}..={max_sequence}"
        );
    }
    for (limit, count) in [(3, 3), (0, 10), (u64::MAX, 10)] {
        let read = ConsumeSegment {
            limit,
            ..consume("s", "a")
        };
        assert_eq!(peer.call(&Request::ConsumeSegment(read)).await.0.len(), count);
    }
}

#[tokio::test]
async fn times_are_exclusive_below_and_inclusive_above() {
    let host = Host::start().await;
    let mut peer = ten(&host).await;
    let entry = Entry::decode(peer.call(&peek("s", "a")).await.0[0].as_bytes()).unwrap();
    for (min, max, count) in [
        (entry.timestamp, 0, 0),
        (entry.timestamp - 1, 0, 10),
        (0, entry.timestamp, 10),
        (0, entry.timestamp - 1, 0),
    ] {
        let read = ConsumeSegment {
            min_timestamp: min,
            max_timestamp: max,
            ..consume("s", "a")
        };
        assert_eq!(peer.call(&Request::ConsumeSegment(read)).await.0.len(), count);
        let read = ConsumeSpace {
            space: "s".into(),
            min_timestamp: min,
            max_timestamp: max,
            ..Default::default()
        };
        assert_eq!(peer.call(&Request::ConsumeSpace(read)).await.0.len(), count);
    }
}

#[tokio::test]
async fn entries_of_one_produce_share_a_transaction_and_the_next_has_a_larger_number() {
    let host = Host::start().await;
    let mut peer = ten(&host).await;
    peer.produce("s", "a", &[&record(11)]).await;
    let (messages, _) = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    let entries: Vec<Entry> = messages.iter().map(|m| Entry::decode(m.as_bytes()).unwrap()).collect();
    assert!(
        entries[..10]
            .iter()
            .all(|e| e.trx == entries[0].trx && !e.trx.id.is_nil() && e.trx.number > 0)
    );
    assert_ne!(entries[10].trx.id, entries[0].trx.id);
    assert!(entries[10].trx.number > entries[0].trx.number);
}

#[tokio::test]
async fn an_offset_goes_on_strictly_after_its_entry_and_one_of_another_space_is_refused() {
    let host = Host::start().await;
    let mut peer = ten(&host).await;
    let third = Entry::decode(peer.call(&Request::ConsumeSegment(consume("s", "a"))).await.0[2].as_bytes()).unwrap();
    let offset = |space: &str| {
        SpaceOffset {
            space: space.into(),
            timestamp: third.timestamp,
            segment: "a".into(),
            sequence: 3,
        }
        .encode()
    };
    let read = ConsumeSpace {
        space: "s".into(),
        offset: offset("s"),
        ..Default::default()
    };
    assert_eq!(
        sequences(&peer.call(&Request::ConsumeSpace(read)).await.0),
        [4, 5, 6, 7, 8, 9, 10]
    );
    let read = Consume {
        offsets: [("s".to_owned(), offset("s"))].into(),
        limit: 2,
        ..Default::default()
    };
    assert_eq!(sequences(&peer.call(&Request::Consume(read)).await.0), [4, 5]);
    let read = ConsumeSpace {
        space: "s".into(),
        offset: offset("t"),
        ..Default::default()
    };
    let (messages, end) = peer.call(&Request::ConsumeSpace(read)).await;
    assert_eq!(
        (messages, end),
        (
            vec![],
            refused("invalid offset: it belongs to space \"t\", not to \"s\"")
        )
    );
    let read = ConsumeSpace {
        space: "s".into(),
        offset: LexKey(vec![1, 2, 3]),
        ..Default::default()
    };
    assert!(
        matches!(peer.call(&Request::ConsumeSpace(read)).await.1, Terminal::CloseError(why) if why.starts_with("invalid offset"))
    );
}

#[tokio::test]
async fn missing_things_read_as_empty_without_error() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let requests = [
        Request::GetSpaces,
        Request::GetSegments(GetSegments {
            space: "s".into(),
            ..Default::default()
        }),
        Request::ConsumeSegment(consume("s", "a")),
        Request::ConsumeSpace(ConsumeSpace {
            space: "s".into(),
            ..Default::default()
        }),
        Request::Consume(Consume {
            offsets: [("s".to_owned(), LexKey::default())].into(),
            ..Default::default()
        }),
        Request::Consume(Consume::default()),
    ];
    for request in requests {
        assert_eq!(peer.call(&request).await, (vec![], Terminal::Close), "{request:?}");
    }
    let empty = r#"{"sequence":0,"trx":{"id":"00000000-0000-0000-0000-000000000000","node":"00000000-0000-0000-0000-000000000000","number":0},"payload":null,"space":"s","segment":"a"}"#;
    assert_eq!(
        peer.call(&peek("s", "a")).await,
        (vec![empty.to_owned()], Terminal::Close)
    );
}

#[tokio::test]
async fn a_name_is_exact_and_never_stands_for_a_longer_one() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    peer.produce("s", "order-12", &[&record(1), &record(2)]).await;
    peer.produce("sb", "x", &[&record(1)]).await;
    assert!(peer.call(&peek("s", "order-1")).await.0[0].contains("\"sequence\":0"));
    assert_eq!(
        peer.call(&Request::ConsumeSegment(consume("s", "order-1")))
            .await
            .0
            .len(),
        0
    );
    assert_eq!(peer.produce("s", "order-1", &[&record(1)]).await.1, Terminal::Close);
    let list = GetSegments {
        space: "s".into(),
        ..Default::default()
    };
    assert_eq!(
        peer.call(&Request::GetSegments(list)).await.0,
        ["\"order-1\"", "\"order-12\""]
    );
}

#[tokio::test]
async fn a_wrong_sequence_stores_nothing_and_tells_what_comes_next() {
    let host = Host::start().await;
    let mut peer = ten(&host).await;
    for (first, why) in [
        (13, "sequence gap: expected 11, got 13"),
        (10, "sequence gap: expected 11, got 10"),
        (0, "sequence gap: expected 11, got 0"),
    ] {
        assert_eq!(peer.produce("s", "a", &[&record(first)]).await, (vec![], refused(why)));
    }
    let hole = peer.produce("s", "a", &[&record(11), &record(13)]).await;
    assert_eq!(hole, (vec![], refused("sequence gap: expected 12, got 13")));
    assert_eq!(peer.call(&Request::ConsumeSegment(consume("s", "a"))).await.0.len(), 10);
}

/// For programs it means the next sequence; a deployed client that sends it has none.
#[tokio::test]
async fn sequence_0_is_a_wrong_one() {
    let host = Host::start().await;
    let mut peer = ten(&host).await;
    for (segment, expected) in [("a", 11), ("new", 1)] {
        for records in [vec![record(0)], vec![record(0), record(11)], vec![record(0), record(1)]] {
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            let why = refused(&format!("sequence gap: expected {expected}, got 0"));
            assert_eq!(peer.produce("s", segment, &records).await, (vec![], why));
        }
    }
    let (entries, _) = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!(entries.len(), 10);
    assert_eq!(
        peer.call(&Request::ConsumeSegment(consume("s", "new"))).await.0.len(),
        0
    );
}

#[tokio::test]
async fn chunks_are_acknowledged_one_by_one_and_survive_a_later_gap() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let mut records: Vec<String> = (1..=10_001).map(record).collect();
    records.push(record(77));
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let (statuses, end) = peer.produce("s", "a", &records).await;
    assert_eq!(end, refused("sequence gap: expected 10002, got 77"));
    assert_eq!(statuses.len(), 1);
    assert_eq!(
        SegmentStatus::decode(statuses[0].as_bytes()).unwrap().last_sequence,
        10_000
    );
    assert!(peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":10000,"));
}

#[tokio::test]
async fn two_concurrent_producers_of_one_segment_leave_exactly_one_run_of_entries() {
    let host = Host::start().await;
    let (mut one, mut two) = (host.connect().await, host.connect().await);
    let records: Vec<String> = (1..=100).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let (a, b) = tokio::join!(one.produce("s", "a", &records), two.produce("s", "a", &records));
    let winners = [&a.1, &b.1].into_iter().filter(|end| **end == Terminal::Close).count();
    assert_eq!(winners, 1, "{a:?} {b:?}");
    let all = one.call(&Request::ConsumeSegment(consume("s", "a"))).await.0;
    assert_eq!(sequences(&all), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn malformed_records_end_the_produce_with_an_error_and_store_nothing() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let too_large = format!(
        "{{\"sequence\":1,\"payload\":\"{}\"}}",
        "AAAA".repeat((4 << 20) / 3 + 1)
    );
    let bad = [
        "null",
        "7",
        "{\"sequence\":",
        "{\"sequence\":1.5}",
        "{\"sequence\":1,\"payload\":\"%\"}",
        &too_large,
    ];
    for record in bad {
        let (statuses, end) = peer.produce("s", "a", &[record]).await;
        let Terminal::CloseError(why) = end else {
            panic!("{end:?}")
        };
        assert!(
            why.starts_with("invalid record: ") || why.starts_with("record too large: "),
            "{why}"
        );
        assert_eq!(statuses.len(), 0);
    }
    let after_good_ones = peer.produce("s", "a", &[&record(1), "null"]).await;
    assert!(matches!(after_good_ones.1, Terminal::CloseError(_)));
    assert!(peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":0,"));
}

#[tokio::test]
async fn bad_names_are_refused_by_every_verb() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    assert_eq!(
        peer.produce("", "a", &[&record(1)]).await.1,
        refused("invalid produce args")
    );
    assert_eq!(
        peer.produce("s", "", &[&record(1)]).await.1,
        refused("invalid produce args")
    );
    for name in ["\0".to_owned(), "x".repeat(513)] {
        let Terminal::CloseError(why) = peer.produce("s", &name, &[&record(1)]).await.1 else {
            panic!()
        };
        assert!(why.starts_with("invalid produce args: a name"), "{why}");
        let Terminal::CloseError(why) = peer.call(&peek(&name, "a")).await.1 else {
            panic!()
        };
        assert!(why.starts_with("invalid space: a name"), "{why}");
        let Terminal::CloseError(why) = peer.call(&Request::ConsumeSegment(consume("s", &name))).await.1 else {
            panic!()
        };
        assert!(why.starts_with("invalid segment: a name"), "{why}");
    }
}

#[tokio::test]
async fn an_aborted_produce_stores_nothing_and_an_empty_one_ends_cleanly() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    assert_eq!(peer.produce("s", "a", &[]).await, (vec![], Terminal::Close));
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    peer.send(head, &refused("source failed").encode()).await;
    assert_eq!(
        peer.finish(head).await.1,
        refused("remote closed stream: source failed")
    );
    assert!(peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":0,"));
}

#[tokio::test]
async fn bad_envelopes_are_refused_with_the_known_texts() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let cases = [
        ("", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{}", "missing $type field in envelope"),
        (
            r#"{"$type":"streamkit://api/v1/nope","content":{}}"#,
            "type \"streamkit://api/v1/nope\" is not registered",
        ),
        (
            r#"{"$type":"streamkit://api/v1/peek"}"#,
            "missing content for type: \"streamkit://api/v1/peek\"",
        ),
        (
            r#"{"$type":"streamkit://api/v1/presence","content":{}}"#,
            "invalid request msg type: *api.Presence",
        ),
    ];
    for (message, why) in cases {
        let head = FrameHead::new(STORE, uuid::Uuid::new_v4());
        peer.send(head, message.as_bytes()).await;
        assert_eq!(peer.finish(head).await, (vec![], refused(why)));
    }
}

#[tokio::test]
async fn status_counts_a_store_a_space_and_a_segment() {
    let host = Host::start().await;
    let mut peer = ten(&host).await;
    peer.produce("s", "b", &[&record(1)]).await;
    peer.produce("t", "c", &[&record(1)]).await;
    for (space, segment, counts) in [
        ("", "", (2, 3, 12)),
        ("s", "", (1, 2, 11)),
        ("s", "a", (1, 1, 10)),
        ("u", "", (0, 0, 0)),
        ("s", "x", (0, 0, 0)),
    ] {
        let request = Request::GetStatus(GetStatus {
            space: space.into(),
            segment: segment.into(),
        });
        let (messages, end) = peer.call(&request).await;
        let status = Status::decode(messages[0].as_bytes()).unwrap();
        assert_eq!(
            (status.space_count, status.segment_count, status.entry_count),
            counts,
            "{space}/{segment}"
        );
        assert_eq!(end, Terminal::Close);
    }
    let request = Request::GetSegments(GetSegments {
        space: "s".into(),
        with_status: true,
        after: "a".into(),
        limit: 5,
    });
    let (messages, _) = peer.call(&request).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(SegmentStatus::decode(messages[0].as_bytes()).unwrap().segment, "b");
}

#[tokio::test]
async fn an_empty_payload_comes_back_as_empty_text() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    for (n, payload) in ["null", "\"\""].into_iter().enumerate() {
        let record = format!("{{\"sequence\":{},\"payload\":{payload}}}", n + 1);
        assert_eq!(peer.produce("s", "a", &[&record]).await.1, Terminal::Close);
    }
    for message in peer.call(&Request::ConsumeSegment(consume("s", "a"))).await.0 {
        assert!(message.contains("\"payload\":\"\""), "{message}");
    }
}

#[tokio::test]
async fn five_records_get_one_status() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let five: Vec<String> = (1..=5).map(record).collect();
    let five: Vec<&str> = five.iter().map(String::as_str).collect();
    let (statuses, _) = peer.produce("s", "a", &five).await;
    assert_eq!(statuses.len(), 1, "{statuses:?}");
    assert!(statuses[0].contains("\"last_sequence\":5"), "{}", statuses[0]);
}
