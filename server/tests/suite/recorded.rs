//! What Go clients really sent, replayed: the server's side must be the recorded one, up to times, ids and numbers.

use serde_json::Value;
use streamkit_protocol::{Frame, Terminal};

use crate::peer::*;

const CONVERSATIONS: &str = include_str!("../../../client/protocol/tests/data/wire-v1/conversations.jsonl");

/// Differences that are meant, and requests that carry recorded times, which no replay can match.
fn replayed(case: &str) -> bool {
    let meant = ["connection", "get-status", "consume-dispose-early"];
    let recorded_times = ["consume-multi", "consume-space-offset"];
    let differs = meant.contains(&case) || case.starts_with("workers-");
    !differs && !case.contains("-timestamp") && !recorded_times.contains(&case)
}

fn without_times(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    for field in ["timestamp", "first_timestamp", "last_timestamp", "trx"] {
        if let Some(field) = value.get_mut(field) {
            *field = Value::Null;
        }
    }
    // An addition of ours, which clients ignore.
    if let Some(object) = value.as_object_mut() {
        object.remove("fencing_token");
    }
    value
}

/// A subscription, and what it is to hear when its segment changes.
struct Following {
    case: String,
    peer: Peer,
    expected: Value,
}

async fn hears(peer: &mut Peer) -> Value {
    let frame = peer.frame().await.expect("the connection ended");
    without_times(std::str::from_utf8(&frame.message()).unwrap())
}

/// Opens a recorded subscription, and compares all that it hears before something changes.
async fn follow(host: &Host, case: &str, request: &str, mut expected: Vec<Value>) -> Following {
    let mut peer = host.connect().await;
    peer.send_text(request.to_owned()).await;
    let live = expected.pop().unwrap();
    for status in expected {
        assert_eq!(hears(&mut peer).await, status, "{case}");
    }
    Following {
        case: format!("{case}-notified"),
        peer,
        expected: live,
    }
}

#[tokio::test]
async fn replaying_recorded_clients_gives_the_recorded_server_side() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let mut count = 0;
    let mut followings: Vec<Following> = Vec::new();
    for line in CONVERSATIONS.lines() {
        let conversation: Value = serde_json::from_str(line).unwrap();
        let case = conversation["case"].as_str().unwrap();
        if !replayed(case) {
            continue;
        }
        let steps = conversation["steps"].as_array().unwrap();
        if conversation["operation"] == "subscribe_to_segment_status" {
            let told = steps.iter().filter(|step| step["from"] == "server");
            let expected = told.map(|step| without_times(step["message"].as_str().unwrap()));
            let request = steps[0]["frame"].as_str().unwrap();
            followings.push(follow(&host, case, request, expected.collect()).await);
            count += 1;
            continue;
        }
        let (mut expected, mut head) = (Vec::new(), None);
        for step in steps {
            let text = step["frame"].as_str().unwrap();
            if step["from"] == "client" {
                let frame = Frame::decode(text.as_bytes()).unwrap();
                let fresh = head.is_none();
                head.get_or_insert(streamkit_protocol::FrameHead::new(frame.store_id, frame.channel_id));
                // Clients close channels late that the server has ended; wait for its end first only by not sending them.
                let is_end = Terminal::decode(&frame.message()).is_some();
                if fresh || !is_end || conversation["operation"] == "produce" {
                    peer.send_text(text.to_owned()).await;
                }
            } else {
                expected.push(without_times(step["message"].as_str().unwrap()));
            }
        }
        let (messages, end) = peer.finish(head.unwrap()).await;
        let mut got: Vec<Value> = messages.iter().map(|m| without_times(m)).collect();
        got.push(serde_json::from_slice(&end.encode()).unwrap());
        assert_eq!(got, expected, "{case}");
        count += 1;
        for following in followings.iter_mut().filter(|following| following.case == case) {
            assert_eq!(hears(&mut following.peer).await, following.expected, "{case}");
        }
    }
    assert!(count >= 20, "{count} conversations");
}
