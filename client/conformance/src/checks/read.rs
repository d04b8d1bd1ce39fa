//! Reads: sources, limits, times, filters, newest first, positions.

use std::time::Duration;

use crate::check::checks;
use crate::connection::{Connection, refused};
use crate::fault::{Step, must, same};
use crate::wire::calls::{Append, Part, ReadCall, Source};
use crate::wire::pieces::{Entry, Record};
use crate::wire::refused::{INVALID, NOT_THERE_YET};
use crate::world::World;

checks! {
    "Verbs › 2 read":
    range "read/range" "A read of a segment has the entries from the first to the last sequence, both included, in their order.",
    parts "read/parts" "A read of parts (segments, spaces, beginnings of names) has each entry of them once, in the order of the log.",
    names "read/names" "Names match exactly: a segment, a space or a beginning stands for no other that is alike.",
    limit "read/limit" "No more entries come than were asked for.",
    bytes "read/bytes" "No further entries come once they have as many bytes as were asked for.",
    times "read/times" "Entries pass that were committed after the one time and up to the other.",
    filter "read/filter" "Entries pass whose segment begins so and who have all of these metadata.",
    backwards "read/newest-first" "Newest first, each message holds what stands before all messages before it, within a message in the order of the log.",
    backwards_limit "read/newest-limit" "A limit newest first leaves the newest ones.",
    at_least "read/at-least" "An answer includes the position that is asked for, or is the error not_there_yet with the position that the store has.",
    at_head "read/at-head" "A read ends at the head of when it began, also if writers go on.",
    too_many_parts "read/too-many-parts" "A read of more than 65 536 parts is refused with invalid.",
    nothing "read/nothing" "A read of what is not there ends with no entries, and no error.",
}

fn places(entries: &[Entry]) -> Vec<(String, u64)> {
    entries
        .iter()
        .map(|entry| (entry.segment.clone(), entry.sequence))
        .collect()
}

fn of(world: &World, parts: Vec<Part>) -> ReadCall {
    let _ = world;
    ReadCall::all(Source::Parts(parts, Vec::new()))
}

async fn read(connection: &mut Connection, read: &ReadCall) -> Step<Vec<Entry>> {
    Ok(connection.read(read).await??.entries())
}

async fn range(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for first in [1, 4, 7, 10] {
        connection.append(&world.append("a", first, &["x", "y", "z"])).await??;
    }
    for (first, last) in [
        (1, 12),
        (1, u64::MAX),
        (3, 8),
        (5, 5),
        (12, 12),
        (12, 99),
        (13, 99),
        (8, 3),
    ] {
        let came = connection.read(&ReadCall::all(world.range("a", first, last))).await??;
        let promised: Vec<u64> = (first..=last.min(12)).collect();
        same!(came.sequences(), promised, "the sequences {first} to {last}");
    }
    Ok(())
}

/// Four segments of two spaces in turns: the spaces, and what was appended in its order.
async fn mixed(world: &World, connection: &mut Connection) -> Step<(String, Vec<(String, String, u64)>)> {
    let other = format!("{}-other", world.space);
    let mut log = Vec::new();
    for round in 1..=10 {
        let mut sections = Vec::new();
        for (space, segment) in [
            (&world.space, "apple"),
            (&other, "berry"),
            (&world.space, "avocado"),
            (&world.space, "b"),
        ] {
            let mut section = world.section(segment, round, &["x"]);
            section.space.clone_from(space);
            log.push((space.clone(), segment.to_owned(), round));
            sections.push(section);
        }
        // Two transactions of two segments each.
        let behind = sections.split_off(2);
        connection.append(&Append::new(sections)).await??;
        connection.append(&Append::new(behind)).await??;
    }
    Ok((other, log))
}

async fn parts(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let (other, log) = mixed(world, &mut connection).await?;
    let own = || world.space.clone();
    let segment = |space: String, segment: &str| Part::Segment(space, segment.to_owned());
    let cases: Vec<Vec<Part>> = vec![
        vec![Part::Space(own())],
        vec![segment(own(), "apple")],
        vec![Part::Prefix(own(), "a".into())],
        vec![Part::Prefix(own(), String::new())],
        vec![segment(own(), "b"), Part::Space(other.clone())],
        vec![
            Part::Space(own()),
            segment(own(), "apple"),
            Part::Prefix(own(), "av".into()),
            Part::Space(own()),
        ],
        vec![
            segment(other.clone(), "berry"),
            segment(own(), "avocado"),
            Part::Prefix(own(), "app".into()),
        ],
    ];
    for parts in cases {
        let is_of = |(space, segment, _): &&(String, String, u64)| {
            parts.iter().any(|part| match part {
                Part::Segment(own, name) => own == space && name == segment,
                Part::Space(own) => own == space,
                Part::Prefix(own, prefix) => own == space && segment.starts_with(prefix),
            })
        };
        let promised: Vec<_> = log.iter().filter(is_of).cloned().collect();
        let came = read(&mut connection, &of(world, parts.clone())).await?;
        let came: Vec<_> = came
            .into_iter()
            .map(|entry| (entry.space, entry.segment, entry.sequence))
            .collect();
        same!(came, promised, "the entries of {parts:?}");
    }
    Ok(())
}

async fn names(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let alike = format!("{}0", world.space);
    for segment in ["order-1", "order-12", "order", "Order-1", "order-1\u{e9}"] {
        connection.append(&world.append(segment, 1, &[segment])).await??;
    }
    let mut section = world.section("order-1", 1, &["alike"]);
    section.space.clone_from(&alike);
    connection.append(&Append::new(vec![section])).await??;
    let own = || world.space.clone();
    let cases = [
        (vec![Part::Segment(own(), "order-1".into())], 1),
        (vec![Part::Prefix(own(), "order-1".into())], 3),
        (vec![Part::Prefix(own(), "order-2".into())], 0),
        (vec![Part::Space(own())], 5),
        (vec![Part::Space(alike)], 1),
    ];
    for (parts, promised) in cases {
        let came = read(&mut connection, &of(world, parts.clone())).await?;
        same!(came.len(), promised, "the entries of {parts:?}");
    }
    Ok(())
}

async fn limit(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for _ in 0..4 {
        connection.append(&world.append("a", 0, &["x", "y", "z"])).await??;
    }
    for most in [1, 2, 3, 4, 11, 12, 13] {
        for source in [
            world.segment("a"),
            Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
        ] {
            let mut call = ReadCall::all(source);
            call.entries = most;
            let came = connection.read(&call).await??;
            same!(
                came.sequences(),
                (1..=most.min(12)).collect::<Vec<_>>(),
                "with a limit of {most}"
            );
        }
    }
    Ok(())
}

async fn bytes(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for _ in 0..4 {
        connection.append(&world.bulk("a", 10, 1000)).await??;
    }
    for most in [1000_u64, 5000, 25_000] {
        for source in [
            world.segment("a"),
            Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
        ] {
            let mut call = ReadCall::all(source);
            call.bytes = most;
            let came = connection.read(&call).await??.sequences().len() as u64;
            must!(
                came >= 1 && came <= most / 1000 + 1,
                "with {most} bytes {came} entries of 1000 bytes came"
            );
        }
    }
    Ok(())
}

async fn times(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let mut times = Vec::new();
    for first in 1..=5 {
        times.push(connection.append(&world.append("a", first, &["x"])).await??.time);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let bounds = [i64::MIN, times[0] - 1, times[0], times[2], times[4], i64::MAX];
    for after in bounds {
        for until in bounds {
            for source in [
                world.segment("a"),
                Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
            ] {
                let mut call = ReadCall::all(source);
                (call.after, call.until) = (after, until);
                let came = connection.read(&call).await??.sequences();
                let passes = |&(time, _): &(i64, u64)| time > after && time <= until;
                let promised = times
                    .iter()
                    .copied()
                    .zip(1..)
                    .filter(passes)
                    .map(|(_, sequence)| sequence);
                same!(
                    came,
                    promised.collect::<Vec<u64>>(),
                    "after {after}, up to {until}, of {times:?}"
                );
            }
        }
    }
    Ok(())
}

async fn filter(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for segment in ["apple", "avocado", "berry"] {
        let mut section = world.section(segment, 1, &[]);
        for (color, size) in [("red", "small"), ("red", "large"), ("green", "small")] {
            let pairs = [("color", color), ("size", size)].map(|(key, value)| (key.to_owned(), value.to_owned()));
            section.records.push(Record {
                metadata: pairs.into(),
                payload: b"x".to_vec(),
            });
        }
        connection.append(&Append::new(vec![section])).await??;
    }
    /// How segments begin, metadata, and the entries that pass.
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, u64)],
    );
    let cases: [Case; 7] = [
        (
            "",
            &[("color", "red"), ("size", "small")],
            &[("apple", 1), ("avocado", 1), ("berry", 1)],
        ),
        ("a", &[("color", "green")], &[("apple", 3), ("avocado", 3)]),
        ("av", &[], &[("avocado", 1), ("avocado", 2), ("avocado", 3)]),
        ("berry", &[("size", "large")], &[("berry", 2)]),
        ("", &[("color", "re")], &[]),
        ("", &[("colour", "red")], &[]),
        ("z", &[], &[]),
    ];
    for (prefix, pairs, promised) in cases {
        let mut call = of(world, vec![Part::Space(world.space.clone())]);
        call.filter.prefix = prefix.to_owned();
        call.filter.metadata = pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let came = read(&mut connection, &call).await?;
        let promised: Vec<_> = promised
            .iter()
            .map(|&(segment, sequence)| (segment.to_owned(), sequence))
            .collect();
        same!(places(&came), promised, "behind the filter {prefix:?} {pairs:?}");
    }
    let mut call = world.read("apple");
    call.filter.metadata = vec![("color".to_owned(), "red".to_owned())];
    call.entries = 1;
    same!(
        connection.read(&call).await??.sequences(),
        [1],
        "a limit counts entries that pass"
    );
    call.filter.metadata = vec![("color".to_owned(), "green".to_owned())];
    same!(
        connection.read(&call).await??.sequences(),
        [3],
        "a limit counts entries that pass"
    );
    Ok(())
}

async fn backwards(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for _ in 0..12 {
        connection
            .append(&Append::new(vec![
                world.bulk("a", 8, 8192).sections.remove(0),
                world.bulk("b", 8, 8192).sections.remove(0),
            ]))
            .await??;
    }
    for source in [
        world.segment("a"),
        Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
    ] {
        let mut call = ReadCall::all(source);
        call.entries = 1000;
        let forwards = places(&read(&mut connection, &call).await?);
        call.is_backwards = true;
        let came = connection.read(&call).await??;
        // Message behind message, read from the end of each.
        let newest = came
            .batches
            .iter()
            .flat_map(|batch| batch.entries.iter().rev().cloned());
        let newest: Vec<Entry> = newest.collect();
        let mut promised = forwards.clone();
        promised.reverse();
        same!(places(&newest), promised, "newest first");
    }
    Ok(())
}

async fn backwards_limit(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for first in 1..=10 {
        connection.append(&world.append("a", first, &["x"])).await??;
    }
    for source in [
        world.segment("a"),
        Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
    ] {
        for most in [1, 3, 10, 11] {
            let mut call = ReadCall::all(source.clone());
            (call.is_backwards, call.entries) = (true, most);
            let mut sequences = connection.read(&call).await??.sequences();
            sequences.sort_unstable();
            let promised: Vec<u64> = (11 - most.min(10)..=10).collect();
            same!(sequences, promised, "the newest {most} of 10");
        }
    }
    Ok(())
}

async fn at_least(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let told = connection.append(&world.append("a", 1, &["x"])).await??;
    let mut other = world.dial().await?;
    for source in [
        world.segment("a"),
        Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
    ] {
        let mut call = ReadCall::all(source);
        call.at_least = told.position;
        same!(
            other.read(&call).await??.sequences(),
            [1],
            "with a position that is there"
        );
        call.at_least = told.position + 1_000_000_000;
        let refused = refused(other.read(&call).await?, NOT_THERE_YET)?;
        let is_one = (told.position..call.at_least).contains(&refused.number);
        must!(
            is_one,
            "the store has {}, says the error, and {} was told",
            refused.number,
            told.position
        );
    }
    Ok(())
}

async fn at_head(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    for _ in 0..16 {
        writer.append(&world.bulk("a", 16, 8192)).await??;
    }
    for source in [
        world.segment("a"),
        Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
    ] {
        let head = writer.status(&[&world.space, "a"]).await??.entries;
        let mut connection = world.dial().await?;
        let mut call = ReadCall::all(source);
        call.credit = 1;
        let channel = connection.begin(call.body(world.store), 1).await?;
        // It has begun when its first message is here.
        connection.waiting(channel, world.quiet()).await?;
        writer.append(&world.append("a", 0, &["later"])).await??;
        connection.give(channel, 64 << 20).await?;
        let came = connection.read_on(channel, &call).await??;
        same!(
            came.done.entries,
            head,
            "the entries of a read that began at the head {head}"
        );
    }
    Ok(())
}

async fn too_many_parts(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let part = Part::Segment(world.space.clone(), "a".to_owned());
    let call = of(world, vec![part.clone(); 65_537]);
    refused(connection.read(&call).await?, INVALID)?;
    must!(
        read(&mut connection, &of(world, vec![part; 65_536])).await?.is_empty(),
        "entries of nothing"
    );
    Ok(())
}

async fn nothing(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for source in [
        world.segment("absent"),
        Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()),
        Source::Parts(vec![Part::Segment(world.space.clone(), "absent".into())], Vec::new()),
    ] {
        for is_backwards in [false, true] {
            let mut call = ReadCall::all(source.clone());
            (call.is_backwards, call.entries) = (is_backwards, 10);
            let came = connection.read(&call).await??;
            must!(
                came.batches.is_empty(),
                "messages of what is not there: {:?}",
                came.batches
            );
        }
    }
    Ok(())
}
