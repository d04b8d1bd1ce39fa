//! Reads and follows of the client whose connections end under them, or whose server tells what does not follow.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::record::transaction::Encoded;
use streamkit_client::record::{
    LogCursor, Name, ReadSource, Record, SegmentAppend, SegmentPath, Sequence, Timestamp, Transaction, Wanted,
};
use streamkit_client::*;
use streamkit_protocol::v2::{
    self, Call, CallError, Class, Code, Kind, ReadBatch, ReadDone, Told, Totals, Within, put_whole,
};
use uuid::Uuid;

use crate::fixture::{Listener, Via, over_v2};
use crate::peer::{Host, PATIENCE, STORE};
use crate::scripts_v2::{CREDIT, Peer, path};

fn parts() -> Vec<Wanted> {
    vec![Wanted::Space(Name::new("s").unwrap())]
}

fn from_the_beginning() -> Follow {
    Follow::new(parts(), LogCursor::default())
}

fn cursor(n: u8) -> LogCursor {
    LogCursor::new(Bytes::copy_from_slice(&[n; 24])).unwrap()
}

/// Entries of a segment, each a transaction of its own, whose number is its sequence.
fn batch(sequences: impl IntoIterator<Item = u64>) -> Bytes {
    let mut out = Vec::new();
    for n in sequences {
        let transaction = Transaction {
            id: Uuid::from_u128(n.into()),
            segments: vec![SegmentAppend {
                path: path(),
                first_sequence: Sequence(n),
                records: vec![Record::new("x")],
            }],
            fence: None,
            conditions: Vec::new(),
        };
        put_whole(&mut out, Encoded::data(&transaction).commit(n, Timestamp(5)));
    }
    out.into()
}

impl Peer {
    async fn tells(&mut self, channel: u32, told: Told) {
        let mut body = Vec::new();
        told.put(&mut body);
        self.says(channel, Kind::Data, &body).await;
    }

    /// A message of a read of a segment.
    async fn brings(&mut self, channel: u32, sequences: impl IntoIterator<Item = u64>) {
        let mut body = Vec::new();
        ReadBatch::put_head(&mut body, &LogCursor::default());
        body.extend_from_slice(&batch(sequences));
        self.says(channel, Kind::Data, &body).await;
    }

    async fn follow(&mut self) -> (u32, v2::Follow) {
        match self.call().await {
            Some((channel, Call::Follow(follow))) => (channel, follow),
            other => panic!("{other:?}"),
        }
    }

    async fn read(&mut self) -> (u32, v2::Read) {
        match self.call().await {
            Some((channel, Call::Read(read))) => (channel, read),
            other => panic!("{other:?}"),
        }
    }

    async fn stores(&mut self, channel: u32, append: &v2::Append) {
        let [section] = &append.sections[..] else { panic!() };
        let first = section.first_sequence;
        let last = Sequence(first.0 + section.records.len() as u64 - 1);
        let appended = Appended {
            position: first.0,
            timestamp: Timestamp(5),
            durability: Durability::Disk,
            is_known: false,
            sections: vec![(first, last)],
        };
        let mut body = Vec::new();
        appended.put(&mut body);
        self.says(channel, Kind::End, &body).await;
    }

    async fn ends(&mut self, channel: u32, entries: u64) {
        let cursor = LogCursor::default();
        let mut body = Vec::new();
        ReadDone { entries, cursor }.put(&mut body);
        self.says(channel, Kind::End, &body).await;
    }

    /// Answers what became of the segment.
    async fn status(&mut self, first: u64, last: u64) {
        let (channel, asked) = self.call().await.unwrap();
        assert_eq!(asked, Call::Status(Within::Segment(path())));
        let totals = Totals {
            segments: 1,
            entries: last + 1 - first,
            segment: Some(record::SegmentStatus {
                path: path(),
                first_sequence: Sequence(first),
                first_timestamp: Timestamp(5),
                last_sequence: Sequence(last),
                last_timestamp: Timestamp(5),
            }),
            ..Totals::default()
        };
        let mut body = Vec::new();
        totals.put(&mut body);
        self.says(channel, Kind::End, &body).await;
    }
}

fn sequences(entries: &[record::Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.sequence.0).collect()
}

async fn a_follow_goes_on_behind_what_it_told_last_and_catches_up_once(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, asked) = peer.follow().await;
        assert!(asked.is_from_now);
        peer.tells(channel, Told::Batch(cursor(1), batch([1, 2]))).await;
        peer.tells(channel, Told::CaughtUp(cursor(1))).await;
        // The connection is cut; the next ends as its token does.
        drop(peer);
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, asked) = peer.follow().await;
        assert_eq!((asked.cursor, asked.is_from_now), (cursor(1), false));
        peer.tells(channel, Told::Batch(cursor(2), batch([3]))).await;
        peer.tells(channel, Told::CaughtUp(cursor(2))).await;
        peer.fails(channel, &CallError::new(Code::TokenExpired, Class::Transient, "why"))
            .await;
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, asked) = peer.follow().await;
        assert_eq!(asked.cursor, cursor(2));
        // A cursor of another log is nothing to go on from in silence.
        peer.fails(channel, &CallError::new(Code::OtherLog, Class::Permanent, "why"))
            .await;
        peer.next().await;
    });
    let client = client.build();
    let from_now = Follow {
        from_now: true,
        ..from_the_beginning()
    };
    let mut follow = client.store(STORE).follow(from_now);
    let mut told = Vec::new();
    let error = loop {
        match tokio::time::timeout(PATIENCE, follow.next()).await.unwrap().unwrap() {
            Ok(Followed::Batch(entries, _)) => told.push(sequences(&entries)),
            Ok(Followed::CaughtUp(_)) => told.push(Vec::new()),
            Ok(Followed::At(at)) => assert_eq!(at, cursor(2)),
            Err(error) => break error,
        }
    };
    assert_eq!(told, [vec![1, 2], vec![], vec![3]]);
    assert!(matches!(error, Error::OtherLog), "{error:?}");
    assert!(follow.next().await.is_none());
    client.close().await;
    server.await.unwrap();
}

async fn what_a_follow_must_not_tell_is_an_error(via: Via) {
    let twice = || vec![Told::CaughtUp(cursor(1)), Told::CaughtUp(cursor(1))];
    let hole = || vec![Told::Batch(cursor(1), batch([1])), Told::Batch(cursor(2), batch([3]))];
    let again = || vec![Told::Batch(cursor(1), batch([1])), Told::Batch(cursor(2), batch([1]))];
    let back = || vec![Told::At(cursor(1)), Told::At(LogCursor::default())];
    for wrong in [twice(), hole(), again(), back()] {
        let (mut listener, client) = Listener::new(via).await;
        tokio::spawn(async move {
            let mut peer = Peer::accept(&mut listener, CREDIT).await;
            let (channel, _) = peer.follow().await;
            for told in wrong {
                peer.tells(channel, told).await;
            }
            // It asks what became of what is missing: nothing.
            while let Some(frame) = peer.next().await {
                if frame.kind == Kind::Call {
                    let mut body = Vec::new();
                    let segment = Some(record::SegmentStatus {
                        path: path(),
                        first_sequence: Sequence(1),
                        first_timestamp: Timestamp(5),
                        last_sequence: Sequence(3),
                        last_timestamp: Timestamp(5),
                    });
                    let (segments, entries) = (1, 3);
                    Totals {
                        segments,
                        entries,
                        segment,
                        ..Totals::default()
                    }
                    .put(&mut body);
                    peer.says(frame.channel, Kind::End, &body).await;
                }
            }
        });
        let mut follow = client.build().store(STORE).follow(from_the_beginning());
        assert!(follow.next().await.unwrap().is_ok());
        let second = tokio::time::timeout(PATIENCE, follow.next()).await.unwrap();
        assert!(matches!(second, Some(Err(Error::Protocol(_)))), "{second:?}");
        assert!(follow.next().await.is_none());
    }
}

async fn entries_that_were_removed_before_a_follow_came_to_them_are_told(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = peer.follow().await;
        peer.tells(channel, Told::Batch(cursor(1), batch([1]))).await;
        peer.tells(channel, Told::Batch(cursor(2), batch([7]))).await;
        peer.status(6, 7).await;
        peer.next().await;
    });
    let mut follow = client.build().store(STORE).follow(from_the_beginning());
    assert!(follow.next().await.unwrap().is_ok());
    let error = follow.next().await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            Error::Removed {
                sequence: 2,
                next: 6,
                ..
            }
        ),
        "{error:?}"
    );
}

async fn a_read_of_a_segment_goes_on_behind_its_last_entry_within_its_limits(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, asked) = peer.read().await;
        assert_eq!(asked.entries, 5);
        peer.brings(channel, [1, 2]).await;
        drop(peer);
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, asked) = peer.read().await;
        let rest = ReadSource::Segment(path(), Sequence(3), Sequence(u64::MAX));
        assert_eq!((asked.source, asked.entries), (rest, 3));
        peer.brings(channel, [3]).await;
        peer.ends(channel, 1).await;
        peer.status(1, 3).await;
        peer.next().await;
    });
    let client = client.build();
    let five = Read {
        entries: 5,
        ..Read::segment(path())
    };
    let batches: Vec<Batch> = client.store(STORE).read(five).try_collect().await.unwrap();
    let [Batch::Entries(first), Batch::Entries(second), Batch::End(_)] = &batches[..] else {
        panic!("{batches:?}")
    };
    assert_eq!((sequences(first), sequences(second)), (vec![1, 2], vec![3]));
    client.close().await;
    server.await.unwrap();
}

async fn a_read_whose_segment_is_gone_when_it_goes_on_does_not_look_like_its_end(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = peer.read().await;
        peer.brings(channel, [1, 2]).await;
        drop(peer);
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = peer.read().await;
        peer.ends(channel, 0).await;
        let (channel, _) = peer.call().await.unwrap();
        let mut body = Vec::new();
        Totals::default().put(&mut body);
        peer.says(channel, Kind::End, &body).await;
        peer.next().await;
    });
    let mut read = client.build().store(STORE).read(Read::segment(path()));
    assert!(read.next().await.unwrap().is_ok());
    let error = read.next().await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            Error::Removed {
                sequence: 3,
                next: 0,
                ..
            }
        ),
        "{error:?}"
    );
}

async fn a_read_that_brings_more_than_was_asked_for_is_an_error(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = peer.read().await;
        peer.brings(channel, [1, 2]).await;
        peer.next().await;
    });
    let one = Read {
        entries: 1,
        ..Read::segment(path())
    };
    let error = client.build().store(STORE).read(one).next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

/// What was sent may be under way over the connection before, and the server has it in no order with what comes over another.
async fn no_chunk_overtakes_one_that_is_under_way_over_another_connection(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        // One chunk at a time.
        let mut leaving = Peer::accept(&mut listener, 1).await;
        let (channel, first) = leaving.append().await;
        leaving.leaves(channel).await;
        let mut peer = Peer::accept(&mut listener, u32::MAX).await;
        let early = tokio::time::timeout(Duration::from_millis(300), peer.append()).await;
        assert!(early.is_err(), "a chunk overtakes another");
        leaving.stores(channel, &first).await;
        for sequence in [10_001, 20_001] {
            let (channel, append) = peer.append().await;
            assert_eq!(append.sections[0].first_sequence, Sequence(sequence));
            peer.stores(channel, &append).await;
        }
        peer.next().await;
    });
    let client = client.build();
    let mut producer = client.store(STORE).produce("s", "a", 1).await.unwrap();
    let record = NewRecord::new("x");
    let mut sent = 0;
    while sent < 25_000 {
        // Who gives up waiting sends the same again.
        match tokio::time::timeout(Duration::from_millis(50), producer.send(&record)).await {
            Ok(sequence) => sent = sequence.unwrap(),
            Err(_) => assert!(sent < 25_000),
        }
    }
    let stored = producer.finish().await.unwrap().unwrap();
    assert_eq!((stored.first_sequence, stored.last_sequence), (1, 25_000));
    client.close().await;
    server.await.unwrap();
}

async fn a_status_of_something_else_is_an_error(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        peer.status(1, 2).await;
        // The same again, as that of another segment.
        let (channel, _) = peer.call().await.unwrap();
        let segment = Some(record::SegmentStatus {
            path: path(),
            first_sequence: Sequence(1),
            first_timestamp: Timestamp(5),
            last_sequence: Sequence(2),
            last_timestamp: Timestamp(5),
        });
        let mut body = Vec::new();
        Totals {
            segment,
            ..Totals::default()
        }
        .put(&mut body);
        peer.says(channel, Kind::End, &body).await;
        let (channel, _) = peer.call().await.unwrap();
        // It has no messages.
        peer.says(channel, Kind::Data, &body).await;
        assert!(peer.call().await.is_none());
    });
    let store = client.retry(RetryPolicy::NEVER).build().store(STORE);
    assert_eq!(store.status("s", "a").await.unwrap().last_sequence, 2);
    let error = store.status("s", "b").await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    let error = store.status("s", "a").await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

async fn a_call_that_a_leaving_server_does_not_answer_tells_why_it_left(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = peer.call().await.unwrap();
        peer.leaves(channel).await;
    });
    let error = client.build().store(STORE).trim("s", "a", 1).await.unwrap_err();
    assert!(
        matches!(&error, Error::ConnectionLost(why) if why.contains("it stops")),
        "{error:?}"
    );
}

async fn a_reader_that_pauses_holds_up_nobody(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(STORE);
    let large = vec![NewRecord::new(vec![b'x'; 100_000]); 100];
    let mut next = 1;
    for _ in 0..5 {
        next = store
            .produce_all("s", "a", next, large.clone())
            .await
            .unwrap()
            .last_sequence
            + 1;
    }
    // 50 MB each, and nobody takes more than the first batch.
    let mut paused: Vec<_> = (0..8).map(|_| store.read(Read::segment(path()))).collect();
    let mut counts = Vec::new();
    for batches in &mut paused {
        counts.push(count(&batches.next().await.unwrap().unwrap()));
    }
    for _ in 0..20 {
        store
            .append(Append::behind(
                SegmentPath::new("s", "b").unwrap(),
                vec![Record::new("x")],
            ))
            .await
            .unwrap();
    }
    let whole: Vec<Batch> = store.read(Read::segment(path())).try_collect().await.unwrap();
    assert_eq!(whole.iter().map(count).sum::<usize>(), 500);
    for (mut batches, mut read) in paused.into_iter().zip(counts) {
        while let Some(batch) = batches.try_next().await.unwrap() {
            read += count(&batch);
        }
        assert_eq!(read, 500);
    }
    host.stop().await;
}

fn count(batch: &Batch) -> usize {
    match batch {
        Batch::Entries(entries) => entries.len(),
        Batch::End(_) => 0,
    }
}

over_v2! {
    a_follow_goes_on_behind_what_it_told_last_and_catches_up_once
    what_a_follow_must_not_tell_is_an_error
    entries_that_were_removed_before_a_follow_came_to_them_are_told
    a_read_of_a_segment_goes_on_behind_its_last_entry_within_its_limits
    a_read_whose_segment_is_gone_when_it_goes_on_does_not_look_like_its_end
    a_read_that_brings_more_than_was_asked_for_is_an_error
    no_chunk_overtakes_one_that_is_under_way_over_another_connection
    a_status_of_something_else_is_an_error
    a_call_that_a_leaving_server_does_not_answer_tells_why_it_left
    a_reader_that_pauses_holds_up_nobody
}
