//! Subscriptions and workers: what a server tells by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use crate::check::checks;
use crate::connection::Connection;
use crate::fault::{Step, broken, must, same};
use crate::wire::answers::{Status, Worker, WorkersTold};
use crate::wire::bytes::Writer;
use crate::wire::calls::{Append, head, verb};
use crate::wire::frame::{Frame, kind};
use crate::world::World;

checks! {
    "Verbs › 4 to 12":
    segment "subscribe/segment" "A subscription tells the status of its segment, then a status whenever a commit changes it.",
    space "subscribe/space" "A subscription of a space tells the status of each segment, then of each that changes.",
    others "subscribe/others" "A subscription of a segment tells nothing of others.",
    heartbeat "subscribe/heartbeat" "A subscription sends heartbeats as often as it was asked to, and none if it was not.",
    look "workers/look" "Who looks at the workers of a store is told all that are there: now, and at each change.",
    come_and_go "workers/come-and-go" "A worker is there from its call until its channel ends; its sign of life and metadata are told.",
    replaced "workers/replaced" "A worker that comes a second time is there once.",
    alive "workers/alive" "A worker that wants signs of life of the server gets them.",
    between "heartbeats/between" "Heartbeats come between every second and every five minutes.",
}

const CREDIT: u32 = 1 << 24;

fn subscribe(world: &World, segment: &str, heartbeat: u32) -> Writer {
    let body = head(verb::SUBSCRIBE, world.store).u32(CREDIT).text(&world.space);
    body.text(segment).u32(heartbeat)
}

/// The next statuses of a subscription; a heartbeat has none.
async fn statuses(connection: &mut Connection, channel: u32) -> Step<Vec<Status>> {
    loop {
        let rows = Status::decode_all(&connection.message(channel).await?)?;
        if !rows.is_empty() {
            return Ok(rows);
        }
    }
}

/// The same of a subscription of one segment.
async fn status(connection: &mut Connection, channel: u32) -> Step<Status> {
    let mut rows = statuses(connection, channel).await?;
    same!(rows.len(), 1, "the statuses in a message of one segment");
    Ok(rows.remove(0))
}

/// Waits until a segment has this head, as a subscription tells; it never goes back.
async fn comes_to(connection: &mut Connection, channel: u32, segment: &str, last: u64) -> Step<()> {
    let mut before = 0;
    loop {
        for status in statuses(connection, channel).await? {
            if status.segment != segment {
                continue;
            }
            must!(
                status.last.0 >= before,
                "the head of {segment} goes back from {before} to {}",
                status.last.0
            );
            must!(
                status.last.0 <= last,
                "the head of {segment} is told as {}, it is {last}",
                status.last.0
            );
            before = status.last.0;
        }
        if before == last {
            return Ok(());
        }
    }
}

async fn segment(world: &World) -> Step<()> {
    let (mut writer, mut connection) = (world.dial().await?, world.dial().await?);
    let told = writer.append(&world.append("a", 1, &["1", "2"])).await??;
    let channel = connection.begin(subscribe(world, "a", 0), CREDIT).await?;
    let first = status(&mut connection, channel).await?;
    same!(
        (&*first.space, &*first.segment),
        (&*world.space, "a"),
        "the names in the first status"
    );
    same!(
        (first.first, first.last),
        ((1, told.time), (2, told.time)),
        "the range in the first status"
    );
    for first in 3..=8 {
        writer.append(&world.append("a", first, &["x"])).await??;
        comes_to(&mut connection, channel, "a", first).await?;
    }
    Ok(())
}

async fn space(world: &World) -> Step<()> {
    let (mut writer, mut connection) = (world.dial().await?, world.dial().await?);
    writer
        .append(&Append::new(vec![
            world.section("a", 1, &["1"]),
            world.section("b", 1, &["1"]),
        ]))
        .await??;
    let channel = connection.begin(subscribe(world, "", 0), CREDIT).await?;
    let mut there = BTreeMap::new();
    while there.len() < 2 {
        let rows = statuses(&mut connection, channel).await?;
        there.extend(rows.into_iter().map(|status| (status.segment, status.last.0)));
    }
    same!(
        there,
        BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]),
        "what is there"
    );
    writer.append(&world.append("b", 2, &["2"])).await??;
    comes_to(&mut connection, channel, "b", 2).await?;
    writer.append(&world.append("new", 1, &["1"])).await??;
    comes_to(&mut connection, channel, "new", 1).await
}

async fn others(world: &World) -> Step<()> {
    let (mut writer, mut connection) = (world.dial().await?, world.dial().await?);
    let channel = connection.begin(subscribe(world, "order-1", 0), CREDIT).await?;
    for segment in ["order-12", "order", "order-1"] {
        writer.append(&world.append(segment, 1, &["x"])).await??;
    }
    loop {
        let status = status(&mut connection, channel).await?;
        same!(status.segment, "order-1", "the segment that is told");
        if status.last.0 == 1 {
            return Ok(());
        }
    }
}

async fn heartbeat(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1"])).await??;
    let silent = connection.begin(subscribe(world, "a", 0), CREDIT).await?;
    let channel = connection.begin(subscribe(world, "a", 1000), CREDIT).await?;
    status(&mut connection, silent).await?;
    let mut heartbeats = 0;
    while heartbeats < 2 {
        heartbeats += u32::from(Status::decode(&connection.message(channel).await?)?.is_none());
    }
    while connection.waiting(silent, Duration::from_millis(1)).await? > 0 {
        let Some(_) = Status::decode(&connection.message(silent).await?)? else {
            broken!("a heartbeat came that nobody asked for");
        };
    }
    Ok(())
}

fn worker(world: &World, id: Uuid, heartbeat: u32, is_answered: bool, pairs: &[(&str, &str)]) -> Writer {
    let body = head(verb::WORKERS, world.store).u32(CREDIT).u8(1).uuid(id);
    let count = u16::try_from(pairs.len()).expect("a few");
    let body = body.u32(heartbeat).u8(is_answered.into()).u16(count);
    pairs.iter().fold(body, |body, (key, value)| body.text(key).text(value))
}

/// Waits until the workers that are told are as wanted.
async fn until(
    connection: &mut Connection,
    channel: u32,
    is_wanted: impl Fn(&BTreeMap<Uuid, Worker>) -> bool,
) -> Step<BTreeMap<Uuid, Worker>> {
    loop {
        if let WorkersTold::There(time, there) = WorkersTold::decode(&connection.message(channel).await?)? {
            must!(time > 1_500_000_000_000, "the time of the server is {time}");
            if is_wanted(&there) {
                return Ok(there);
            }
        }
    }
}

async fn look(world: &World) -> Step<()> {
    let (mut looks, mut connection) = (world.dial().await?, world.dial().await?);
    let channel = looks
        .begin(head(verb::WORKERS, world.store).u32(CREDIT).u8(0), CREDIT)
        .await?;
    let first = looks.message(channel).await?;
    let WorkersTold::There(..) = WorkersTold::decode(&first)? else {
        broken!("the first message tells no workers");
    };
    let id = Uuid::new_v4();
    let own = connection.begin(worker(world, id, 30_000, false, &[]), CREDIT).await?;
    until(&mut looks, channel, |there| there.contains_key(&id)).await?;
    connection.cancel(own).await?;
    until(&mut looks, channel, |there| !there.contains_key(&id)).await?;
    Ok(())
}

async fn come_and_go(world: &World) -> Step<()> {
    let (mut one, mut other) = (world.dial().await?, world.dial().await?);
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let pairs = [("role", "billing"), ("zone", "äöü")];
    let own = one.begin(worker(world, first, 30_000, false, &pairs), CREDIT).await?;
    let there = until(&mut one, own, |there| there.contains_key(&first)).await?;
    let metadata = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    same!(there[&first].1, BTreeMap::from(metadata), "the metadata of a worker");
    let theirs = other.begin(worker(world, second, 30_000, false, &[]), CREDIT).await?;
    until(&mut other, theirs, |there| {
        there.contains_key(&first) && there.contains_key(&second)
    })
    .await?;
    until(&mut one, own, |there| there.contains_key(&second)).await?;
    let sign = Frame::new(theirs, kind::MORE, Writer::default().time(1_234_567));
    other.send(&sign).await?;
    other.ping(*b"in order").await?;
    // A sign of life is no change; whoever looks anew is told of it.
    let mut looks = world.dial().await?;
    let channel = looks
        .begin(head(verb::WORKERS, world.store).u32(CREDIT).u8(0), CREDIT)
        .await?;
    let there = until(&mut looks, channel, |there| there.contains_key(&second)).await?;
    same!(there[&second].0, 1_234_567, "the time of the last sign of a worker");
    other.close().await;
    until(&mut one, own, |there| !there.contains_key(&second)).await?;
    Ok(())
}

async fn replaced(world: &World) -> Step<()> {
    let (mut one, mut other) = (world.dial().await?, world.dial().await?);
    let id = Uuid::new_v4();
    let first = one
        .begin(worker(world, id, 30_000, false, &[("life", "1")]), CREDIT)
        .await?;
    until(&mut one, first, |there| there.contains_key(&id)).await?;
    let second = other
        .begin(worker(world, id, 30_000, false, &[("life", "2")]), CREDIT)
        .await?;
    let there = until(&mut other, second, |there| there.contains_key(&id)).await?;
    same!(
        there[&id].1.get("life").map(String::as_str),
        Some("2"),
        "the life of the worker that is there"
    );
    loop {
        if one.next(first).await?.kind != kind::DATA {
            break;
        }
    }
    other.cancel(second).await?;
    Ok(())
}

async fn alive(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let id = Uuid::new_v4();
    let channel = connection.begin(worker(world, id, 1000, true, &[]), CREDIT).await?;
    let mut signs = 0;
    while signs < 2 {
        if let WorkersTold::Alive(time) = WorkersTold::decode(&connection.message(channel).await?)? {
            must!(time > 1_500_000_000_000, "the time of the server is {time}");
            signs += 1;
        }
    }
    Ok(())
}

async fn between(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1"])).await??;
    let often = connection.begin(subscribe(world, "a", 1), CREDIT).await?;
    let seldom = connection.begin(subscribe(world, "a", u32::MAX), CREDIT).await?;
    for channel in [often, seldom] {
        status(&mut connection, channel).await?;
    }
    // As many as a second apart come in this time, one at once, and one that was late.
    connection.waiting(often, Duration::from_millis(2500)).await?;
    let mut beats = 0;
    while connection.waiting(often, Duration::ZERO).await? > 0 {
        beats += u32::from(is_heartbeat(&connection.message(often).await?)?);
    }
    must!(
        (1..=4).contains(&beats),
        "{beats} heartbeats came in two and a half seconds"
    );
    let mut beats = 0;
    while connection.waiting(seldom, Duration::ZERO).await? > 0 {
        beats += u32::from(is_heartbeat(&connection.message(seldom).await?)?);
    }
    // One may come at once.
    must!(
        beats <= 1,
        "{beats} heartbeats came within seconds of the most seldom ones"
    );
    Ok(())
}

fn is_heartbeat(message: &[u8]) -> Step<bool> {
    Ok(Status::decode_all(message)?.is_empty())
}
