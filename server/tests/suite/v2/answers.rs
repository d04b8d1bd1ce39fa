//! What messages and results of protocol v2 hold, and who is told what.

use streamkit_protocol::v2::{Segments, put_status, statuses};
use streamkit_server_core::Limits;

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn to(segment: &str, first: u64) -> Append {
    let mut append = append(first, &["x".into()]);
    append.sections[0].path = SegmentPath::new("orders", segment).unwrap();
    append
}

fn log(behind: LogCursor) -> ReadSource {
    ReadSource::Log(vec![Wanted::Space(name("orders"))], behind)
}

#[tokio::test]
async fn a_read_that_is_cut_off_goes_on_behind_each_of_its_messages() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let large = Bytes::from(vec![b'x'; 200_000]);
    for sequence in 1..=8 {
        peer.append(append(sequence, std::slice::from_ref(&large)))
            .await
            .unwrap();
    }
    let channel = peer
        .call(&Call::Read(Read::all(log(LogCursor::default()), u32::MAX)))
        .await;
    let more = Credit {
        channel: 0,
        bytes: u32::MAX,
    };
    let mut out = Vec::new();
    more.put(&mut out);
    peer.send(out).await;
    let (messages, end) = peer.answer(channel).await;
    end.unwrap();
    assert!(messages.len() > 1, "it was not cut");
    let mut came = 0;
    for message in &messages {
        came += entries(std::slice::from_ref(message)).len() as u64;
        let ReadBatch { cursor, .. } = ReadBatch::decode(message).unwrap();
        let channel = peer.call(&Call::Read(Read::all(log(cursor), u32::MAX))).await;
        let (rest, end) = peer.answer(channel).await;
        assert_eq!(ReadDone::decode(&end.unwrap()).unwrap().entries, 8 - came);
        let next = entries(&rest).first().map(|entry| entry.sequence.0);
        assert_eq!(next, (came < 8).then_some(came + 1));
    }
    host.stop().await;
}

#[tokio::test]
async fn a_read_that_can_only_go_on_otherwise_tells_no_place() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    peer.append(append(1, &["a".into(), "b".into()])).await.unwrap();
    let newest = Read {
        is_backwards: true,
        ..Read::all(log(LogCursor::default()), 1 << 20)
    };
    for call in [all(1 << 20), Call::Read(newest)] {
        let channel = peer.call(&call).await;
        let (messages, end) = peer.answer(channel).await;
        assert_eq!(entries(&messages).len(), 2);
        let told = messages
            .iter()
            .map(|message| ReadBatch::decode(message).unwrap().cursor);
        let done = ReadDone::decode(&end.unwrap()).unwrap().cursor;
        assert!(told.chain([done]).all(|cursor| cursor.bytes().is_empty()));
    }
    host.stop().await;
}

#[tokio::test]
async fn a_message_of_a_list_holds_many_rows_and_an_empty_list_has_none() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let list = |with_status| {
        Call::Segments(Segments {
            space: name("orders"),
            after: None,
            limit: u32::MAX,
            with_status,
        })
    };
    for call in [Call::Spaces, list(false), list(true)] {
        let channel = peer.call(&call).await;
        let (messages, end) = peer.answer(channel).await;
        assert_eq!((messages.len(), end.unwrap().len()), (0, 0));
    }
    for segment in ["a", "b", "c"] {
        peer.append(to(segment, 1)).await.unwrap();
    }
    let channel = peer.call(&list(false)).await;
    let (messages, end) = peer.answer(channel).await;
    end.unwrap();
    let listed: Vec<_> = messages.iter().map(|message| names(message).unwrap()).collect();
    assert_eq!(listed, [["a", "b", "c"].map(name)]);
    let channel = peer.call(&list(true)).await;
    let (messages, end) = peer.answer(channel).await;
    end.unwrap();
    let listed: Vec<_> = messages.iter().map(|message| statuses(message).unwrap()).collect();
    let [rows] = &listed[..] else { panic!("{listed:?}") };
    let segments: Vec<_> = rows.iter().map(|status| status.path.segment.as_str()).collect();
    assert_eq!(segments, ["a", "b", "c"]);
    host.stop().await;
}

#[tokio::test]
async fn the_result_of_a_trim_is_the_status_of_its_segment() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    peer.append(append(1, &["a".into(), "b".into(), "c".into()]))
        .await
        .unwrap();
    let channel = peer.call(&Call::Trim(path(), Sequence(3))).await;
    let (messages, end) = peer.answer(channel).await;
    let result = end.unwrap();
    let [status] = &statuses(&result).unwrap()[..] else {
        panic!("{result:?}")
    };
    assert!(messages.is_empty());
    assert_eq!(
        (status.first_sequence, status.last_sequence),
        (Sequence(3), Sequence(3))
    );
    let mut again = Vec::new();
    put_status(&mut again, status);
    assert_eq!(again, result);
    host.stop().await;
}

#[tokio::test]
async fn a_required_feature_that_is_unknown_is_named_as_the_connection_ends() {
    let host = Host::start().await;
    let mut peer = Peer::bare(&host).await;
    peer.greets(&Hello {
        features: vec!["later".into(), "!much-later".into()],
        ..hello(1)
    })
    .await;
    let GoAway { last, why } = peer.parted().await;
    assert_eq!((last, why.code, why.class), (0, Code::UnknownFeature, Class::Permanent));
    assert_eq!(why.details(), Ok(Details::Name("much-later".into())));
    host.stop().await;
}

#[tokio::test]
async fn a_frame_that_is_no_call_and_requires_an_unknown_field_ends_the_connection_with_its_name() {
    for (channel, kind) in [(0, Kind::Ping), (0, Kind::Credit), (1, Kind::Cancel), (1, Kind::More)] {
        let host = Host::start().await;
        let mut peer = Peer::connect(&host).await;
        let mut out = Vec::new();
        let required = Field {
            name: "later",
            value: &[],
            is_required: true,
        };
        frame(
            &mut out,
            (channel, kind),
            |out| required.put(out),
            |out| out.extend_from_slice(&[0; 8]),
        );
        peer.send(out).await;
        let why = peer.parted().await.why;
        assert_eq!(
            (why.code, why.details()),
            (Code::UnknownField, Ok(Details::Name("later".into()))),
            "{kind:?}"
        );
        host.stop().await;
    }
}

#[tokio::test]
async fn a_read_of_as_many_entries_as_may_be_is_whole_and_one_of_more_says_so() {
    let host = Host::with_limits(Limits {
        consume_entries: 4,
        ..Limits::default()
    })
    .await;
    let mut peer = Peer::connect(&host).await;
    for sequence in 1..=5 {
        for credit in [0, 1 << 20] {
            let channel = peer.call(&all(credit)).await;
            let more = Credit {
                channel,
                bytes: 1 << 20,
            };
            let mut out = Vec::new();
            more.put(&mut out);
            peer.send(out).await;
            let (messages, end) = peer.answer(channel).await;
            assert_eq!(entries(&messages).len() as u64, sequence - 1);
            assert_eq!(ReadDone::decode(&end.unwrap()).unwrap().entries, sequence - 1);
        }
        peer.append(append(sequence, &["x".into()])).await.unwrap();
    }
    let channel = peer.call(&all(1 << 20)).await;
    let why = peer.answer(channel).await.1.unwrap_err();
    assert_eq!((why.code, why.details()), (Code::TooManyEntries, Ok(Details::Most(4))));
    let four = Read {
        entries: 4,
        ..Read::all(log(LogCursor::default()), 1 << 20)
    };
    let channel = peer.call(&Call::Read(four)).await;
    let (messages, end) = peer.answer(channel).await;
    end.unwrap();
    assert_eq!(entries(&messages).len(), 4);
    host.stop().await;
}

#[tokio::test]
async fn more_parts_than_may_be_are_invalid() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    peer.append(append(1, &["a".into()])).await.unwrap();
    for (count, code) in [(65_536, None), (65_537, Some(Code::Invalid))] {
        let parts = vec![Wanted::Space(name("orders")); count];
        let source = ReadSource::Log(parts, LogCursor::default());
        let channel = peer.call(&Call::Read(Read::all(source, 1 << 20))).await;
        let (_, end) = peer.answer(channel).await;
        assert_eq!(end.err().map(|error| error.code), code);
    }
    host.stop().await;
}

#[tokio::test]
async fn metadata_that_two_readers_could_read_in_two_ways_is_invalid() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let mut first = 1;
    for (keys, is_good) in [
        ("ab", true),
        ("ba", false),
        ("aa", false),
        ("abb", false),
        ("abc", true),
    ] {
        let pairs = keys
            .chars()
            .zip(1..)
            .map(|(key, value)| [key.to_string(), format!("{value}")]);
        let encoded: Vec<u8> = pairs
            .flat_map(|pair| Metadata::from_pairs([pair.into()]).encoded().to_vec())
            .collect();
        let mut append = append(first, &["x".into()]);
        append.sections[0].records[0].metadata = Metadata::from_encoded(encoded.into()).unwrap();
        let answer = peer.append(append).await;
        assert_eq!(
            answer.err().map(|error| error.code),
            (!is_good).then_some(Code::Invalid),
            "{keys}"
        );
        first += u64::from(is_good);
    }
    host.stop().await;
}

#[tokio::test]
async fn who_may_not_read_is_told_the_heads_of_a_conflict_alone() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    peer.append(append(1, &["a".into(), "b".into()])).await.unwrap();
    for (scope, expected) in [("streamkit::*", 1), ("streamkit::*:write", 0)] {
        let mut writer = Peer::of(&host, scope).await;
        writer.greets(&hello(1 << 20)).await;
        let late = Append {
            conflict_bytes: 1000,
            ..append(2, &["c".into()])
        };
        let channel = writer.call(&Call::Append(late)).await;
        let (messages, end) = writer.answer(channel).await;
        assert_eq!(
            end.unwrap_err().details(),
            Ok(Details::Conflict(vec![(path(), Sequence(2))]))
        );
        assert_eq!(batched(&messages).len(), expected, "{scope}");
    }
    host.stop().await;
}

/// A batch may end within a transaction, also within the newest one.
#[tokio::test]
async fn a_read_whose_last_batch_ends_within_the_newest_transaction_tells_the_rest_of_it() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let large = Bytes::from(vec![7; 400 << 10]);
    let section = |segment: &str| SegmentAppend {
        path: SegmentPath::new("orders", segment).unwrap(),
        first_sequence: Sequence(1),
        records: vec![Record::new(large.clone())],
    };
    let call = Append {
        sections: ["a", "not-wanted", "b", "c", "d"].map(section).to_vec(),
        ..append(0, &[])
    };
    peer.append(call).await.unwrap();
    let wanted = ["a", "b", "c", "d"].map(|segment| Wanted::Segment(SegmentPath::new("orders", segment).unwrap()));
    let source = ReadSource::Log(wanted.to_vec(), LogCursor::default());
    let channel = peer.call(&Call::Read(Read::all(source, 16 << 20))).await;
    let mut out = Vec::new();
    let bytes = 16 << 20;
    Credit { channel: 0, bytes }.put(&mut out);
    peer.send(out).await;
    let (messages, end) = peer.answer(channel).await;
    assert!(messages.len() > 1, "it takes more than one batch");
    assert_eq!(ReadDone::decode(&end.unwrap()).unwrap().entries, 4);
    host.stop().await;
}
