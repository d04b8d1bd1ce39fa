//! Appends: results, atomicity, order, what a transaction may hold.

use crate::check::checks;
use crate::connection::{UNNAMED, refused};
use crate::fault::{Step, must, same};
use crate::wire::answers::Appended;
use crate::wire::calls::{Append, Part, ReadCall, Source};
use crate::wire::pieces::Record;
use crate::wire::refused::CONFLICT;
use crate::world::World;

checks! {
    "Verbs › 1 append":
    result "append/result" "The result tells position, time, durability, that it is new, and the sequences of each section in the order of the call.",
    as_told "append/as-told" "What is read is what was appended: payload, metadata, id, and the position, time and sequences that the result told.",
    sections "append/sections" "All records of a transaction become durable and visible together, under one position.",
    nothing "append/nothing" "Of a transaction that is refused nothing is stored.",
    any_sequence "append/any-sequence" "A first sequence of 0 demands nothing, and the records come behind the head.",
    demanded "append/demanded" "A first sequence demands that the head is the one before it; the conflict names each segment that is not so, with its head.",
    order "append/order" "Appends come into the queue of a store in the order of their calls: each of many that wait for none finds the one before it.",
    positions "append/positions" "A later transaction has a larger position, and no earlier time.",
    empty "append/empty-payload" "A record without payload and metadata is stored as any other.",
    large "append/large" "A transaction of 4 MiB records, and one of 10 000 records, is stored and read whole.",
    nobody_waits "append/connections" "Of two connections that demand the same head one is answered with the sequence, the other with a conflict.",
}

async fn result(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let append = Append::new(vec![
        world.section("b", 0, &["b1", "b2", "b3"]),
        world.section("a", 1, &["a1"]),
    ]);
    let came = connection.append(&append).await??;
    same!(came.sections, [(1, 3), (1, 1)], "the sequences of both sections");
    same!(came.was_there, false, "a new transaction is told as one that was there");
    must!(came.time > 1_500_000_000_000, "the time of the commit is {}", came.time);
    Ok(())
}

async fn as_told(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let mut section = world.section("a", 1, &["first"]);
    let metadata = [("äöü", "wörld"), ("empty", ""), ("kind", "paid")];
    section.records.push(Record {
        metadata: metadata
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        payload: (0..=255).collect(),
    });
    let append = Append::new(vec![section]);
    let told = connection.append(&append).await??;
    let entries = connection.read(&world.read("a")).await??.entries();
    same!(entries.len(), 2, "the number of entries");
    for (entry, (record, sequence)) in entries.iter().zip(append.sections[0].records.iter().zip(1..)) {
        same!(entry.record, *record, "the record {sequence}");
        same!((&*entry.space, &*entry.segment), (&*world.space, "a"), "its segment");
        same!(
            (entry.sequence, entry.position),
            (sequence, told.position),
            "its sequence and position"
        );
        same!(
            (entry.time, entry.id),
            (told.time, append.id),
            "its time and the id of its transaction"
        );
    }
    Ok(())
}

async fn sections(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let names: Vec<String> = (0..50).map(|number| format!("segment-{number:02}")).collect();
    let sections = names.iter().map(|name| world.section(name, 1, &["together", "too"]));
    let told = connection.append(&Append::new(sections.collect())).await??;
    let read = ReadCall::all(Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()));
    let entries = connection.read(&read).await??.entries();
    same!(entries.len(), 100, "the number of entries");
    let of = |entry: &crate::wire::pieces::Entry| (entry.segment.clone(), entry.sequence, entry.position);
    let promised = names
        .iter()
        .flat_map(|name| [1, 2].map(|sequence| (name.clone(), sequence, told.position)));
    same!(
        entries.iter().map(of).collect::<Vec<_>>(),
        promised.collect::<Vec<_>>(),
        "the entries in the order of the log"
    );
    Ok(())
}

async fn nothing(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("c", 1, &["there"])).await??;
    let append = Append::new(vec![
        world.section("a", 1, &["never"]),
        world.section("b", 0, &["never"]),
        world.section("c", 1, &["never"]),
    ]);
    refused(connection.append(&append).await?, CONFLICT)?;
    same!(
        connection.segments(&world.space, "", u32::MAX).await??,
        ["c"],
        "the segments"
    );
    let entries = connection.read(&world.read("c")).await??.entries();
    same!(entries.len(), 1, "the number of entries of the segment in conflict");
    Ok(())
}

async fn any_sequence(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for promised in [(1, 2), (3, 4), (5, 6)] {
        let came = connection.append(&world.append("a", 0, &["x", "y"])).await??;
        same!(came.sections, [promised], "the sequences");
    }
    Ok(())
}

async fn demanded(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1", "2"])).await??;
    connection.append(&world.append("a", 3, &["3"])).await??;
    connection.append(&world.append("b", 1, &["1"])).await??;
    for first in [1, 3, 5, u64::MAX >> 1] {
        let refused = refused(connection.append(&world.append("a", first, &["x"])).await?, CONFLICT)?;
        same!(
            refused.segments,
            [(world.space.clone(), "a".to_owned(), 3)],
            "the head when {first} is demanded"
        );
    }
    let append = Append::new(vec![
        world.section("a", 3, &["x"]),
        world.section("b", 2, &["fits"]),
        world.section("none", 2, &["x"]),
    ]);
    let mut refused = refused(connection.append(&append).await?, CONFLICT)?;
    refused.segments.sort();
    let head = |segment: &str, head| (world.space.clone(), segment.to_owned(), head);
    same!(
        refused.segments,
        [head("a", 3), head("none", 0)],
        "the segments that are not as demanded"
    );
    Ok(())
}

async fn order(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let mut channels = Vec::new();
    for first in 1..=200 {
        let append = world.append("demanded", first, &["x"]);
        channels.push((connection.begin(append.body(world.store), UNNAMED).await?, first));
        let append = world.append("any", 0, &["x"]);
        channels.push((connection.begin(append.body(world.store), UNNAMED).await?, first));
    }
    let mut last = 0;
    for (channel, first) in channels {
        let came = Appended::decode(&connection.answer(channel).await??)?;
        same!(came.sections, [(first, first)], "the sequence of the call {channel}");
        must!(
            came.position > last,
            "the call {channel} has the position {}, the one before {last}",
            came.position
        );
        last = came.position;
    }
    Ok(())
}

async fn positions(world: &World) -> Step<()> {
    let mut connections = [world.dial().await?, world.dial().await?];
    let mut last = (0, i64::MIN);
    for round in 0..20 {
        let segment = format!("segment-{}", round % 3);
        let came = connections[round % 2]
            .append(&world.append(&segment, 0, &["x"]))
            .await??;
        must!(
            came.position > last.0,
            "the position {} comes after {}",
            came.position,
            last.0
        );
        must!(came.time >= last.1, "the time {} comes after {}", came.time, last.1);
        last = (came.position, came.time);
    }
    Ok(())
}

async fn empty(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["", "x", ""])).await??;
    let entries = connection.read(&world.read("a")).await??.entries();
    let payloads: Vec<&[u8]> = entries.iter().map(|entry| &*entry.record.payload).collect();
    same!(payloads, [&b""[..], b"x", b""], "the payloads");
    Ok(())
}

async fn large(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for append in [world.bulk("large", 2, 4 << 20), world.bulk("many", 10_000, 8)] {
        connection.append(&append).await??;
        let section = &append.sections[0];
        let entries = connection.read(&world.read(&section.segment)).await??.entries();
        same!(entries.len(), section.records.len(), "the number of entries");
        let is_same = entries
            .iter()
            .zip(&section.records)
            .all(|(entry, record)| entry.record == *record);
        must!(
            is_same,
            "entries of {:?} are not those that were appended",
            section.segment
        );
    }
    Ok(())
}

async fn nobody_waits(world: &World) -> Step<()> {
    let mut one = world.dial().await?;
    let mut other = world.dial().await?;
    for first in 1..=20 {
        let (append, against) = (world.append("a", first, &["one"]), world.append("a", first, &["other"]));
        let (one, other) = tokio::join!(one.append(&append), other.append(&against));
        let (won, lost) = match (one?, other?) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            both => crate::fault::broken!("both have one answer: {both:?}"),
        };
        same!(won.sections, [(first, first)], "who was first");
        same!(lost.code, CONFLICT, "who was not");
        same!(
            lost.segments,
            [(world.space.clone(), "a".to_owned(), first)],
            "the head in the conflict"
        );
    }
    Ok(())
}
