//! Servers that lie: each lie is caught by the check that its promise is of.

use std::time::Duration;

use streamkit_wire_conformance::fault::Fault;
use streamkit_wire_conformance::run::Plan;
use streamkit_wire_conformance::wire::answers::Batch;
use streamkit_wire_conformance::wire::calls::verb;
use streamkit_wire_conformance::wire::frame::{Frame, kind};

use crate::host::{Host, plan};
use crate::proxy::{Lie, Turn, as_it_is, before};

/// A lie about what the server tells.
const fn told(name: &'static str, caught_by: &'static str, told: Turn) -> Lie {
    Lie {
        name,
        caught_by,
        asked: as_it_is,
        told,
    }
}

/// A lie about what the client asks: the server does something else.
const fn asked(name: &'static str, caught_by: &'static str, asked: Turn) -> Lie {
    Lie {
        name,
        caught_by,
        asked,
        told: as_it_is,
    }
}

/// The frame with one thing about its body changed, if it is of that kind and verb.
macro_rules! body {
    ($kind:expr, $verb:expr, |$body:ident| $change:expr) => {
        |seen, mut frame| {
            if frame.kind == $kind && seen.is_of(&frame, $verb) {
                let $body = &mut frame.body;
                $change;
            }
            vec![frame]
        }
    };
}

/// The frame so many times, if it is of that kind and verb and this holds of the number of messages so far.
macro_rules! times {
    ($times:expr, $kind:expr, $verb:expr, |$messages:ident, $frame:ident| $is_one:expr) => {
        |seen, $frame| {
            let $messages = seen.messages.get(&$frame.channel).copied().unwrap_or(0);
            let is_one = $frame.kind == $kind && seen.is_of(&$frame, $verb) && $is_one;
            vec![$frame; if is_one { $times } else { 1 }]
        }
    };
}

/// Overwrites so many bytes that end so far before the end; shorter bodies stay.
fn before_end(body: &mut [u8], distance: usize, bytes: &[u8]) {
    if let Some(at) = body.len().checked_sub(distance) {
        body[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Where the numbers of a read stand whose filter is empty, before the end of its body.
const AFTER: usize = 43;
const ENTRIES: usize = 27;
const BYTES: usize = 19;
const AT_LEAST: usize = 11;
/// The same of a follow.
const FROM_NOW: usize = 8;
const HEARTBEAT: usize = 7;

#[rustfmt::skip]
const LIES: &[Lie] = &[
    // Frames and channels.
    told("another pong", "ping/pong", |_, mut frame| { if frame.kind == kind::PONG { frame.body[0] ^= 1 } vec![frame] }),
    told("a channel that nobody opened", "read/range", |_, mut frame| { if frame.kind == kind::DATA { frame.channel += 1000 } vec![frame] }),
    told("a flag that nobody agreed on", "read/range", |_, mut frame| { if frame.kind == kind::DATA { frame.flags = 1 } vec![frame] }),
    told("a result twice", "channels/each-ends", |_, frame| if frame.kind == kind::END && frame.channel > 1 { vec![frame; 2] } else { vec![frame] }),
    told("a goaway after a call that there was not", "frames/goaway", |_, mut frame| { if frame.kind == kind::GOAWAY { frame.body[0] += 1 } vec![frame] }),
    told("no goaway", "frames/kinds", |_, frame| if frame.kind == kind::GOAWAY { Vec::new() } else { vec![frame] }),
    asked("cancels are not heard", "cancel/idle", |_, frame| if frame.kind == kind::CANCEL { Vec::new() } else { vec![frame] }),
    // Credit.
    asked("credit of channels is not heard", "credit/none", |_, frame| if frame.kind == kind::CREDIT && frame.channel != 0 { Vec::new() } else { vec![frame] }),
    asked("credit of the connection is not heard", "credit/connection", |_, frame| if frame.kind == kind::CREDIT && frame.channel == 0 { Vec::new() } else { vec![frame] }),
    asked("a read sends without credit", "credit/none", body!(kind::CALL, verb::READ, |body| body[17..21].fill(0x3f))),
    asked("a read sends beyond its credit", "credit/as-given", body!(kind::CALL, verb::READ, |body| body[17..21].fill(0x3f))),
    asked("a follow sends without credit", "credit/follow", body!(kind::CALL, verb::FOLLOW, |body| body[17..21].fill(0x3f))),
    told("no credit comes back", "credit/given-back", |_, frame| if frame.kind == kind::CREDIT { Vec::new() } else { vec![frame] }),
    // Appends.
    asked("other bytes are stored", "append/as-told", body!(kind::CALL, verb::APPEND, |body| *body.last_mut().unwrap() ^= 1)),
    told("another position", "append/as-told", body!(kind::END, verb::APPEND, |body| body[0] ^= 1)),
    told("another time of the commit", "append/as-told", body!(kind::END, verb::APPEND, |body| body[8] ^= 1)),
    told("nothing is durable", "append/as-told", body!(kind::END, verb::APPEND, |body| body[16] = 0)),
    told("other sequences", "append/sections", body!(kind::END, verb::APPEND, |body| body[20] += 1)),
    told("a result that is cut", "append/as-told", body!(kind::END, verb::APPEND, |body| body.truncate(body.len() - 1))),
    told("a retry looks new", "retry/answer", body!(kind::END, verb::APPEND, |body| body[17] = 0)),
    asked("each attempt has an id of its own", "retry/any-sequence", |seen, mut frame| {
        if frame.kind == kind::CALL && seen.is_of(&frame, verb::APPEND) {
            frame.body[17] ^= frame.channel as u8;
        }
        vec![frame]
    }),
    told("a conflict that looks invalid", "conditions/fail", body!(kind::ERROR, verb::APPEND, |body| if body[0] == 32 { body[0] = 20 })),
    told("another head in a conflict", "conditions/fail", body!(kind::ERROR, verb::APPEND, |body| if body[0] == 32 { let at = body.len() - 8; body[at] ^= 1 })),
    told("entries of a conflict do not come", "conflict/entries", times!(0, kind::DATA, verb::APPEND, |_messages, frame| true)),
    told("entries of a conflict come twice", "conflict/entries", times!(2, kind::DATA, verb::APPEND, |_messages, frame| true)),
    told("another position in other_records", "retry/other-records", body!(kind::ERROR, verb::APPEND, |body| if body[0] == 33 { let at = body.len() - 8; body[at] ^= 1 })),
    told("another token in fenced_off", "fence/off", body!(kind::ERROR, verb::APPEND, |body| if body[0] == 34 { let at = body.len() - 8; body[at] ^= 1 })),
    // Reads.
    told("a message of a read twice", "read/range", times!(2, kind::DATA, verb::READ, |messages, frame| messages == 1)),
    told("a message of a read is lost", "read/range", times!(0, kind::DATA, verb::READ, |messages, frame| messages == 1)),
    told("a byte of a whole transaction", "batch/whole", body!(kind::DATA, verb::READ, |body| *body.last_mut().unwrap() ^= 1)),
    told("a byte of an excerpt", "batch/excerpt", body!(kind::DATA, verb::READ, |body| *body.last_mut().unwrap() ^= 1)),
    told("a read ends early", "credit/as-given", ends_early),
    told("the first two messages of a read change places", "read/newest-first", change_places),
    asked("newest first is not heard", "read/newest-first", body!(kind::CALL, verb::READ, |body| body[21] = 0)),
    asked("limits of entries are not heard", "read/limit", body!(kind::CALL, verb::READ, |body| before_end(body, ENTRIES, &[255; 8]))),
    asked("limits of bytes are not heard", "read/bytes", body!(kind::CALL, verb::READ, |body| before_end(body, BYTES, &[255; 8]))),
    asked("times are not heard", "read/times", body!(kind::CALL, verb::READ, |body| before_end(body, AFTER, &i64::MIN.to_le_bytes()))),
    asked("what a read must include is not heard", "read/at-least", body!(kind::CALL, verb::READ, |body| before_end(body, AT_LEAST, &[0; 8]))),
    told("a result without a cursor", "cursor/result", body!(kind::END, verb::READ, |body| { body.truncate(8); body.extend([0, 0]) })),
    told("all messages have the first one's cursor", "cursor/message", same_cursor),
    // Follows.
    told("caught up twice", "follow/history", times!(2, kind::DATA, verb::FOLLOW, |_messages, frame| frame.body[0] == 2)),
    told("never caught up", "follow/history", times!(0, kind::DATA, verb::FOLLOW, |_messages, frame| frame.body[0] == 2)),
    told("a live message is lost", "follow/live", times!(0, kind::DATA, verb::FOLLOW, |messages, frame| messages == 3)),
    told("a live message comes twice", "follow/live", times!(2, kind::DATA, verb::FOLLOW, |messages, frame| messages == 3)),
    asked("from now on is not heard", "follow/from-now", body!(kind::CALL, verb::FOLLOW, |body| before_end(body, FROM_NOW, &[0]))),
    asked("a follow has no heartbeats", "follow/heartbeat", body!(kind::CALL, verb::FOLLOW, |body| before_end(body, HEARTBEAT, &[0; 4]))),
    // Lists, statuses, leases, and what a server tells by itself.
    told("one entry more", "status/counts", body!(kind::END, verb::STATUS, |body| body[16] += 1)),
    told("a message of a list is lost", "list/long", times!(0, kind::DATA, verb::SEGMENTS, |messages, frame| messages == 1)),
    told("a space twice", "list/spaces", times!(2, kind::DATA, verb::SPACES, |_messages, frame| true)),
    told("a trim without a status", "trim/first", body!(kind::END, verb::TRIM, |body| body.clear())),
    told("a lease of two", "lease/granted", body!(kind::END, verb::LEASE, |body| body[0] = 1)),
    told("a token that stays", "lease/released", body!(kind::END, verb::LEASE, |body| body[1..9].copy_from_slice(&1_u64.to_le_bytes()))),
    told("changes are not told", "subscribe/segment", times!(0, kind::DATA, verb::SUBSCRIBE, |messages, frame| messages > 1)),
    told("a subscription has no heartbeats", "subscribe/heartbeat", times!(0, kind::DATA, verb::SUBSCRIBE, |_messages, frame| frame.body.is_empty())),
    told("workers who leave stay", "workers/look", times!(0, kind::DATA, verb::WORKERS, |messages, frame| messages > 2)),
];

/// After its first message a read has its result, which counts that alone.
fn ends_early(seen: &mut crate::proxy::Seen, mut frame: Frame) -> Vec<Frame> {
    if !seen.is_of(&frame, verb::READ) {
        return vec![frame];
    }
    match (frame.kind, seen.messages.get(&frame.channel)) {
        (kind::DATA, Some(1)) => {
            let batch = Batch::decode(&frame.body).unwrap();
            let mut end = Frame {
                kind: kind::END,
                ..frame.clone()
            };
            end.body = (batch.entries.len() as u64).to_le_bytes().to_vec();
            end.body.extend([0, 0]);
            vec![frame, end]
        }
        (kind::DATA, _) => Vec::new(),
        (kind::END, Some(_)) => Vec::new(),
        _ => {
            frame.fields.clear();
            vec![frame]
        }
    }
}

fn change_places(seen: &mut crate::proxy::Seen, frame: Frame) -> Vec<Frame> {
    match (frame.kind, seen.messages.get(&frame.channel)) {
        (kind::DATA, Some(1)) if seen.is_of(&frame, verb::READ) => {
            seen.kept.push(frame);
            Vec::new()
        }
        (kind::DATA | kind::END, _) => {
            let first = seen.kept.pop();
            match frame.kind {
                kind::DATA => [frame].into_iter().chain(first).collect(),
                _ => first.into_iter().chain([frame]).collect(),
            }
        }
        _ => vec![frame],
    }
}

fn same_cursor(seen: &mut crate::proxy::Seen, mut frame: Frame) -> Vec<Frame> {
    if frame.kind == kind::DATA && seen.is_of(&frame, verb::READ) {
        if seen.messages[&frame.channel] == 1 {
            seen.kept.clear();
            seen.kept.push(frame.clone());
        }
        let first = &seen.kept[0].body;
        let bytes = 2 + usize::from(u16::from_le_bytes([first[0], first[1]]));
        frame.body[..bytes].copy_from_slice(&first[..bytes]);
    }
    vec![frame]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lie_is_caught_by_the_check_of_its_promise() {
    let host = Host::start().await;
    let mut believed = Vec::new();
    for lie in LIES {
        let (address, proxy) = before(host.address, *lie).await;
        let plan = Plan {
            only: lie.caught_by.to_owned(),
            patience: Duration::from_secs(3),
            deadline: Duration::from_secs(20),
            ..plan(address)
        };
        let verdicts = plan.run(&Plan::prefix(), |_, _| ()).await;
        let verdicts = verdicts.unwrap_or_else(|why| panic!("{}: nothing could be tried: {why}", lie.name));
        let of_check = verdicts.iter().find(|verdict| verdict.check == lie.caught_by);
        let of_check = of_check.unwrap_or_else(|| panic!("{} is no check", lie.caught_by));
        println!("{} × {}: {:?}", lie.name, lie.caught_by, of_check.result);
        if !matches!(of_check.result, Err(Fault::Broken(_))) {
            believed.push((lie.name, lie.caught_by));
        }
        proxy.abort();
    }
    assert!(believed.is_empty(), "lies that were believed: {believed:#?}");
    host.stop().await;
}
