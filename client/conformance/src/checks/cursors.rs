//! Cursors of reads: where one goes on.

use crate::check::checks;
use crate::connection::{Connection, refused};
use crate::fault::{Fault, Step, must, same};
use crate::wire::calls::{Append, FollowCall, Part, ReadCall, Source};
use crate::wire::refused::{INVALID, OTHER_LOG};
use crate::world::World;

checks! {
    "Batches, positions, cursors":
    result "cursor/result" "A read goes on from the cursor of a result without gap or repeat, on any connection, for any parts.",
    message "cursor/message" "A read that was cut off goes on from the cursor of any message that came, without gap or repeat.",
    nothing "cursor/nothing" "A read that finds nothing has a cursor all the same, and what is appended later stands behind it.",
    trimmed "cursor/removed" "A cursor stays good when the entry before it is trimmed or its segment deleted.",
    other "cursor/other-log" "A cursor of another store's log is refused with other_log.",
    garbage "cursor/garbage" "Bytes that are no cursor are refused, and never a place.",
}

fn space(world: &World) -> Vec<Part> {
    vec![Part::Space(world.space.clone())]
}

async fn fill(world: &World, connection: &mut Connection) -> Step<()> {
    for round in 0..10 {
        connection
            .append(&Append::new(vec![
                world.section("a", 3 * round + 1, &["x", "y", "z"]),
                world.section("b", 2 * round + 1, &["x", "y"]),
            ]))
            .await??;
    }
    Ok(())
}

/// All entries of a space, as `segment sequence`.
async fn all(world: &World, connection: &mut Connection, cursor: &[u8]) -> Step<Vec<(String, u64)>> {
    let read = ReadCall::all(Source::Parts(space(world), cursor.to_vec()));
    let entries = connection.read(&read).await??.entries();
    Ok(entries
        .into_iter()
        .map(|entry| (entry.segment, entry.sequence))
        .collect())
}

async fn result(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    fill(world, &mut connection).await?;
    let promised = all(world, &mut connection, &[]).await?;
    same!(promised.len(), 50, "the number of entries");
    let mut connections = [connection, world.dial().await?];
    for most in [1, 2, 7, 49] {
        let (mut came, mut cursor) = (Vec::new(), Vec::new());
        for round in 0.. {
            let mut read = ReadCall::all(Source::Parts(space(world), cursor));
            read.entries = most;
            let page = connections[round % 2].read(&read).await??;
            came.extend(page.entries().into_iter().map(|entry| (entry.segment, entry.sequence)));
            cursor = page.done.cursor;
            if page.done.entries == 0 {
                break;
            }
            must!(
                came.len() <= 50,
                "a read of {most} at a time has told {} entries of 50",
                came.len()
            );
        }
        same!(came, promised, "reads of {most} at a time");
    }
    // The cursor is a place in the log, for whichever parts.
    let mut read = ReadCall::all(Source::Parts(
        vec![Part::Segment(world.space.clone(), "a".into())],
        Vec::new(),
    ));
    read.entries = 4;
    let cursor = connections[0].read(&read).await??.done.cursor;
    let at = promised.iter().position(|place| *place == ("a".to_owned(), 4));
    let behind = &promised[at.map_or(0, |at| at + 1)..];
    same!(
        all(world, &mut connections[1], &cursor).await?,
        behind,
        "what stands behind a/4"
    );
    Ok(())
}

async fn message(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for _ in 0..12 {
        let (a, b) = (world.bulk("a", 8, 8192), world.bulk("b", 8, 8192));
        connection
            .append(&Append::new([a.sections, b.sections].concat()))
            .await??;
    }
    let mut read = ReadCall::all(Source::Parts(space(world), Vec::new()));
    read.credit = 1 << 30;
    let came = connection.read(&read).await??;
    let place = |entry: &crate::wire::pieces::Entry| (entry.segment.clone(), entry.sequence);
    let promised: Vec<_> = came.entries().iter().map(place).collect();
    let mut other = world.dial().await?;
    let mut told = 0;
    for batch in &came.batches {
        told += batch.entries.len();
        same!(
            all(world, &mut other, &batch.cursor).await?,
            promised[told..],
            "behind the message of the entry {told}"
        );
    }
    must!(came.batches.len() > 1, "a megabyte and a half came in one message");
    Ok(())
}

async fn nothing(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let read = ReadCall::all(Source::Parts(space(world), Vec::new()));
    let cursor = connection.read(&read).await??.done.cursor;
    connection.append(&world.append("a", 1, &["x"])).await??;
    same!(
        all(world, &mut connection, &cursor).await?,
        [("a".to_owned(), 1)],
        "what stands behind the cursor"
    );
    let mut fresh = world.fresh().await?;
    let cursor = fresh.read(&read).await??.done.cursor;
    fresh.append(&world.append("a", 1, &["x"])).await??;
    same!(
        all(world, &mut fresh, &cursor).await?,
        [("a".to_owned(), 1)],
        "behind the cursor of a store that was empty"
    );
    fresh.delete(&world.space, "a").await??;
    Ok(())
}

async fn trimmed(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1", "2"])).await??;
    connection.append(&world.append("b", 1, &["1"])).await??;
    connection.append(&world.append("a", 3, &["3", "4"])).await??;
    let mut read = ReadCall::all(Source::Parts(space(world), Vec::new()));
    read.entries = 1;
    let behind_a1 = connection.read(&read).await??.done.cursor;
    read.entries = 3;
    let behind_b1 = connection.read(&read).await??.done.cursor;
    connection.trim(&world.space, "a", 3).await??;
    let place = |segment: &str, sequence| (segment.to_owned(), sequence);
    let promised = [place("b", 1), place("a", 3), place("a", 4)];
    same!(
        all(world, &mut connection, &behind_a1).await?,
        promised,
        "behind a/1, which is trimmed"
    );
    connection.delete(&world.space, "b").await??;
    same!(
        all(world, &mut connection, &behind_b1).await?,
        promised[1..],
        "behind b/1, whose segment is deleted"
    );
    Ok(())
}

async fn other(world: &World) -> Step<()> {
    let mut fresh = world.fresh().await?;
    let mut connection = world.dial().await?;
    let read = ReadCall::all(Source::Parts(space(world), Vec::new()));
    let mut cursors = Vec::new();
    for connection in [&mut fresh, &mut connection] {
        for first in 1..=3 {
            connection.append(&world.append("a", first, &["x"])).await??;
        }
        cursors.push(connection.read(&read).await??.done.cursor);
    }
    fresh.append(&world.append("a", 4, &["x"])).await??;
    let of = |cursor: &Vec<u8>| ReadCall::all(Source::Parts(space(world), cursor.clone()));
    refused(connection.read(&of(&cursors[0])).await?, OTHER_LOG)?;
    refused(fresh.read(&of(&cursors[1])).await?, OTHER_LOG)?;
    let mut follow = FollowCall::all(space(world));
    follow.cursor = cursors.remove(0);
    let channel = connection.begin(follow.body(connection.store), follow.credit).await?;
    let (told, answer) = connection.all(channel).await?;
    refused(answer, OTHER_LOG)?;
    must!(told.is_empty(), "a follow from another log told something");
    fresh.delete(&world.space, "a").await??;
    Ok(())
}

async fn garbage(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    fill(world, &mut connection).await?;
    let mut read = ReadCall::all(Source::Parts(space(world), Vec::new()));
    read.entries = 1;
    let good = connection.read(&read).await??.done.cursor;
    let cases = [
        vec![0; 64],
        vec![255; 29],
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
    ];
    for cursor in cases {
        let what = format!("{cursor:?}");
        read.source = Source::Parts(space(world), cursor);
        match connection.read(&read).await? {
            Err(refused) if [OTHER_LOG, INVALID].contains(&refused.code) => {}
            Err(refused) => return Err(refused.into()),
            Ok(came) => {
                let seen = format!(
                    "from {what} the read told {:?} and went on to {:?}",
                    came.sequences(),
                    came.done.cursor
                );
                return Err(Fault::Broken(seen));
            }
        }
    }
    Ok(())
}
