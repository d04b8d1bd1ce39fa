//! What Go clients really sent, replayed: the server's side must be the recorded one, up to times, ids and numbers, or differ as
//! it is documented.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use streamkit_protocol::{Control, Frame, FrameHead, LexKey, SpaceOffset, Status, Terminal};

use crate::peer::*;

const CONVERSATIONS: &str = include_str!("../../../client/protocol/tests/data/wire-v1/conversations.jsonl");

/// Fields that no replay can have as they were recorded.
const TIMES: [&str; 4] = ["timestamp", "first_timestamp", "last_timestamp", "last_seen_at"];

/// How one channel, or the connection itself, was recorded.
pub struct Recorded {
    pub case: String,
    pub operation: String,
    /// The client's frames as they were sent.
    pub sent: Vec<String>,
    /// The server's messages, or its frames where they have none.
    pub told: Vec<Value>,
}

pub fn conversations() -> Vec<Recorded> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let recorded = CONVERSATIONS.lines().map(|line| {
        let conversation: Value = serde_json::from_str(line).unwrap();
        let (mut sent, mut told) = (Vec::new(), Vec::new());
        for step in conversation["steps"].as_array().unwrap() {
            match step["from"].as_str().unwrap() {
                "client" => sent.push(text(&step["frame"])),
                _ => {
                    let said = step["message"].as_str().or(step["frame"].as_str()).unwrap();
                    told.push(serde_json::from_str(said).unwrap());
                }
            }
        }
        Recorded {
            case: text(&conversation["case"]),
            operation: text(&conversation["operation"]),
            sent,
            told,
        }
    });
    recorded.collect()
}

/// Without times and transactions, and without an addition of ours, which clients ignore.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(comparable).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| *name != "fencing_token");
            let fields = kept.map(|(name, value)| match TIMES.contains(&name.as_str()) || name == "trx" {
                true => (name.clone(), Value::Null),
                false => (name.clone(), comparable(value)),
            });
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn all_comparable(values: &[Value]) -> Vec<Value> {
    values.iter().map(comparable).collect()
}

fn head_of(text: &str) -> FrameHead {
    let frame = Frame::decode(text.as_bytes()).unwrap();
    FrameHead::new(frame.store_id, frame.channel_id)
}

async fn hears(peer: &mut Peer) -> Value {
    let frame = peer.frame().await.expect("the connection ended");
    serde_json::from_slice(&frame.message()).unwrap()
}

/// Times that were recorded, each with the one that this server has in its place.
#[derive(Default)]
struct Clocks(BTreeMap<i64, i64>);

impl Clocks {
    fn learn(&mut self, recorded: &Value, here: &Value) {
        for field in TIMES {
            if let (Some(then), Some(now)) = (recorded[field].as_i64(), here[field].as_i64()) {
                self.0.insert(then, now);
            }
        }
    }

    fn offset(&self, text: &mut Value) {
        let key: LexKey = serde_json::from_value(text.clone()).unwrap();
        if let Ok(mut offset) = SpaceOffset::decode(&key) {
            offset.timestamp = self.0[&offset.timestamp];
            *text = serde_json::to_value(offset.encode()).unwrap();
        }
    }

    /// The frame with the times of this server in the place of the recorded ones.
    fn translate(&self, text: &str) -> String {
        let message = Frame::decode(text.as_bytes()).unwrap().message();
        let Ok(mut request) = serde_json::from_slice::<Value>(&message) else {
            return text.to_owned();
        };
        let before = request.clone();
        if let Some(content) = request.get_mut("content").and_then(Value::as_object_mut) {
            for (name, value) in content.iter_mut() {
                match name.as_str() {
                    "min_timestamp" | "max_timestamp" => *value = self.0[&value.as_i64().unwrap()].into(),
                    "offset" => self.offset(value),
                    "offsets" => value
                        .as_object_mut()
                        .unwrap()
                        .values_mut()
                        .for_each(|one| self.offset(one)),
                    _ => {}
                }
            }
        }
        match request == before {
            true => text.to_owned(),
            false => String::from_utf8(head_of(text).data(&serde_json::to_vec(&request).unwrap())).unwrap(),
        }
    }
}

/// A subscription, and what it is to hear when its segment changes.
struct Following {
    case: String,
    peer: Peer,
    expected: Value,
}

struct Replay {
    host: Host,
    peer: Peer,
    clocks: Clocks,
    followings: Vec<Following>,
}

impl Replay {
    /// A call with an end: what it is told, with that end.
    async fn call(&mut self, recorded: &Recorded) -> Vec<Value> {
        let head = head_of(&recorded.sent[0]);
        for (n, text) in recorded.sent.iter().enumerate() {
            // Clients close channels late that the server has ended; wait for its end first only by not sending them.
            let frame = Frame::decode(text.as_bytes()).unwrap();
            if n == 0 || Terminal::decode(&frame.message()).is_none() || recorded.operation == "produce" {
                self.peer.send_text(self.clocks.translate(text)).await;
            }
        }
        let (messages, end) = self.peer.finish(head).await;
        if recorded.operation == "produce" {
            // What is committed next has a later time, as it had when it was recorded.
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let mut told: Vec<Value> = messages.iter().map(|m| serde_json::from_str(m).unwrap()).collect();
        told.push(serde_json::from_slice(&end.encode()).unwrap());
        told
    }

    async fn same(&mut self, recorded: &Recorded) {
        let told = self.call(recorded).await;
        let case = &recorded.case;
        assert_eq!(all_comparable(&told), all_comparable(&recorded.told), "{case}");
        for (then, now) in recorded.told.iter().zip(&told) {
            self.clocks.learn(then, now);
        }
        for following in self.followings.iter_mut().filter(|following| following.case == *case) {
            let heard = hears(&mut following.peer).await;
            assert_eq!(comparable(&heard), comparable(&following.expected), "{case}");
        }
    }

    async fn connection(&mut self, recorded: &Recorded) {
        self.peer.send_text(recorded.sent[0].clone()).await;
        let frame = self.peer.frame().await.unwrap();
        assert_eq!(frame.control, Control::Pong);
        assert_eq!(
            serde_json::from_slice::<Value>(&frame.encode()).unwrap(),
            recorded.told[0]
        );
    }

    /// Opens a subscription, and compares all that it hears before something changes.
    async fn follow(&mut self, recorded: &Recorded) {
        let mut peer = self.host.connect().await;
        peer.send_text(recorded.sent[0].clone()).await;
        let (live, first) = recorded.told.split_last().unwrap();
        for status in first {
            assert_eq!(
                comparable(&hears(&mut peer).await),
                comparable(status),
                "{}",
                recorded.case
            );
        }
        self.followings.push(Following {
            case: format!("{}-notified", recorded.case),
            peer,
            expected: live.clone(),
        });
    }

    /// A worker comes, another comes and goes. How many heartbeats come in between, time decides.
    async fn workers(&mut self, one: &Recorded, other: &Recorded) {
        let (mut first, mut second) = (self.host.connect().await, self.host.connect().await);
        let (mut told_first, mut told_second) = (Vec::new(), Vec::new());
        let count = |told: &[Value], kind: &str| told.iter().filter(|one| one["$type"] == kind).count();
        let (inventory, presence) = ("streamkit://api/v1/worker_inventory", "streamkit://api/v1/presence");
        for text in &one.sent[..2] {
            first.send_text(text.clone()).await;
        }
        while count(&told_first, inventory) < 1 {
            told_first.push(hears(&mut first).await);
        }
        for text in &other.sent[..2] {
            second.send_text(text.clone()).await;
        }
        while count(&told_second, inventory) < 1 || count(&told_second, presence) < 2 {
            told_second.push(hears(&mut second).await);
        }
        second.send_text(other.sent.last().unwrap().clone()).await;
        while count(&told_first, inventory) < 3 || count(&told_first, presence) < 2 {
            told_first.push(hears(&mut first).await);
        }
        for (recorded, told) in [(one, told_first), (other, told_second)] {
            for kind in [inventory, presence] {
                let of_kind = |all: &[Value]| -> Vec<Value> {
                    let mut of_kind = all_comparable(all);
                    of_kind.retain(|one| one["$type"] == kind);
                    if kind == presence {
                        of_kind.dedup();
                    }
                    of_kind
                };
                assert_eq!(of_kind(&told), of_kind(&recorded.told), "{}", recorded.case);
            }
        }
        first.send_text(one.sent.last().unwrap().clone()).await;
    }

    /// A call that is answered otherwise, as docs/PROTOCOL.md says.
    async fn differs(&mut self, recorded: &Recorded) {
        let told = self.call(recorded).await;
        match recorded.case.as_str() {
            // Go servers do not know it.
            "get-status" => {
                let status = Status::decode(told[0].to_string().as_bytes()).unwrap();
                assert_eq!((status.space_count, told.len()), (2, 2));
            }
            // They end the read at the first older entry.
            "consume-space-min-timestamp" => {
                assert_eq!(recorded.told.len(), 1);
                assert_eq!((told.len(), told[0]["segment"].as_str()), (2, Some("refund-1")));
            }
            other => panic!("{other} does not differ"),
        }
        assert_eq!(told[1]["type"], "mux::close");
        assert!(told[1]["err"].is_null());
    }
}

#[tokio::test]
async fn every_conversation_is_answered_as_recorded_or_differs_as_documented() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    peer.answers_pings = true;
    let mut replay = Replay {
        host,
        peer,
        clocks: Clocks::default(),
        followings: Vec::new(),
    };
    let all = conversations();
    let (mut same, mut different) = (0, 0);
    for (n, recorded) in all.iter().enumerate() {
        match (recorded.case.as_str(), recorded.operation.as_str()) {
            ("connection", _) => replay.connection(recorded).await,
            ("workers-subscribe", _) => replay.workers(recorded, &all[n + 1]).await,
            // Together with the one before it.
            ("workers-second-joins", _) => {}
            (_, "subscribe_to_segment_status") => replay.follow(recorded).await,
            ("get-status" | "consume-space-min-timestamp", _) => {
                different += 1;
                replay.differs(recorded).await;
                continue;
            }
            _ => replay.same(recorded).await,
        }
        same += 1;
    }
    assert_eq!((same + different, different), (CONVERSATIONS.lines().count(), 2));
}
