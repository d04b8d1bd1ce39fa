//! Many who follow the same of a store, and some who do not quite.

use super::live::space;
use super::*;

fn follow(parts: Vec<Wanted>, credit: u32, metadata: &[(&str, &str)]) -> Call {
    let pair = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    Call::Follow(Follow {
        credit,
        parts,
        cursor: LogCursor::default(),
        is_from_now: false,
        heartbeat: 0,
        filter: Filter {
            prefix: String::new(),
            metadata: metadata.iter().map(pair).collect(),
        },
    })
}

/// Who follows, and what came.
struct Follower {
    peer: Peer,
    channel: u32,
    came: Vec<(u64, u64)>,
}

impl Follower {
    async fn begin(host: &Host, call: &Call) -> Self {
        let mut peer = Peer::connect(host).await;
        let channel = peer.call(call).await;
        let came = Vec::new();
        Self { peer, channel, came }
    }

    /// The sequence and the transaction of each entry, until there are so many.
    async fn have(&mut self, entries: usize) -> &[(u64, u64)] {
        while self.came.len() < entries {
            let next = self.peer.next().await;
            match next.kind {
                Kind::Data => {
                    if let Told::Batch(_, batch) = Told::decode(&next.body).unwrap() {
                        let entry = |entry: &Entry| (entry.sequence.0, entry.trx.number);
                        self.came.extend(batched(&[batch]).iter().map(entry));
                    }
                }
                Kind::Credit => {}
                other => panic!("{other:?} {:?}", CallError::decode(&next.body)),
            }
        }
        &self.came
    }

    async fn gives(&mut self, credit: u32) {
        let mut out = Vec::new();
        Credit {
            channel: self.channel,
            bytes: credit,
        }
        .put(&mut out);
        self.peer.send(out).await;
    }
}

/// A transaction of three entries, one of which is by card.
fn three(first: u64) -> Append {
    let mut append = append(first, &["x".into(), "y".into(), "z".into()]);
    append.sections[0].records[1].metadata = Metadata::from_pairs([("by", "card")]);
    append
}

const TRANSACTIONS: u64 = 200;

/// What was told in common is what each would have read alone: nothing missing, nothing twice, in order.
#[tokio::test]
async fn all_who_follow_the_same_are_told_all_of_it_once_whenever_they_come_and_however_slow_they_are() {
    let host = Host::start().await;
    let segment = vec![Wanted::Segment(path())];
    let mut fast = Vec::new();
    for _ in 0..6 {
        fast.push(Follower::begin(&host, &follow(vec![space()], 1 << 20, &[])).await);
    }
    let mut slow = Follower::begin(&host, &follow(vec![space()], 1, &[])).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(Follower::begin(&host, &follow(segment.clone(), 1 << 20, &[])).await);
    }
    let mut by_card = Vec::new();
    for _ in 0..3 {
        by_card.push(Follower::begin(&host, &follow(vec![space()], 1 << 20, &[("by", "card")])).await);
    }
    let mut writer = Peer::connect(&host).await;
    for transaction in 0..TRANSACTIONS {
        writer.append(three(transaction * 3 + 1)).await.unwrap();
        if transaction % 40 == 20 {
            fast.push(Follower::begin(&host, &follow(vec![space()], 1 << 20, &[])).await);
            by_card.push(Follower::begin(&host, &follow(vec![space()], 1 << 20, &[("by", "card")])).await);
        }
        if transaction == TRANSACTIONS / 2 {
            // One that leaves takes nothing with it, whatever it was at.
            drop(fast.remove(0));
        }
    }
    let entries = TRANSACTIONS as usize * 3;
    let sequences = |came: &[(u64, u64)]| came.iter().map(|entry| entry.0).collect::<Vec<_>>();
    let all: Vec<u64> = (1..=entries as u64).collect();
    let cards: Vec<u64> = (0..TRANSACTIONS).map(|transaction| transaction * 3 + 2).collect();
    for follower in fast.iter_mut().chain(&mut others) {
        assert_eq!(sequences(follower.have(entries).await), all);
    }
    for follower in &mut by_card {
        assert_eq!(sequences(follower.have(cards.len()).await), cards);
    }
    slow.gives(1 << 20).await;
    assert_eq!(sequences(slow.have(entries).await), all);
    // Deleted and begun anew: all go on with what is there then.
    let channel = writer.call(&Call::Delete(path())).await;
    writer.answer(channel).await.1.unwrap();
    for transaction in 0..2 {
        writer.append(three(transaction * 3 + 1)).await.unwrap();
    }
    let anew: Vec<u64> = all.iter().copied().chain(1..=6).collect();
    fast.push(slow);
    for follower in fast.iter_mut().chain(&mut others) {
        let came = follower.have(entries + 6).await;
        assert_eq!(sequences(came), anew);
        assert!(came.is_sorted_by_key(|entry| entry.1));
    }
    host.stop().await;
}

/// Rights are each follower's own, though what they follow is shared.
#[tokio::test]
async fn who_may_not_read_is_told_nothing_of_what_others_follow() {
    let host = Host::start().await;
    let call = follow(vec![space()], 1 << 20, &[]);
    let mut fast = [Follower::begin(&host, &call).await, Follower::begin(&host, &call).await];
    let mut writes = Peer::of(&host, "streamkit::*:write").await;
    writes.greets(&hello(1 << 20)).await;
    writes.append(three(1)).await.unwrap();
    let channel = writes.call(&call).await;
    let (told, end) = writes.answer(channel).await;
    assert_eq!((told.len(), end.unwrap_err().code), (0, Code::AccessDenied));
    for follower in &mut fast {
        assert_eq!(follower.have(3).await.len(), 3);
    }
    host.stop().await;
}
