//! Batches: whole transactions and excerpts, byte by byte.

use crate::check::checks;
use crate::connection::Connection;
use crate::fault::{Step, must, same};
use crate::wire::answers::Batch;
use crate::wire::bytes::Reader;
use crate::wire::calls::{Append, Part, ReadCall, Source};
use crate::world::World;

checks! {
    "Batches, positions, cursors":
    whole "batch/whole" "A whole transaction in a batch has all of its entries, each asked for, and the checksum of its bytes.",
    excerpt "batch/excerpt" "Of a transaction that is not wanted as a whole an excerpt comes: only the entries that were asked for, under the number, time and id of the whole.",
    several "batch/pieces" "A batch is a row of pieces, and all pieces of a read together are its entries, once each.",
}

/// The kinds of the pieces of a read, and how many entries came in each.
async fn pieces(connection: &mut Connection, read: &ReadCall) -> Step<Vec<(u8, usize)>> {
    let channel = connection.begin(read.body(connection.store), read.credit).await?;
    let (messages, answer) = connection.all(channel).await?;
    answer?;
    let mut pieces = Vec::new();
    for message in messages {
        Batch::decode(&message)?;
        let mut from = Reader::new(&message);
        from.bytes16()?;
        while !from.is_empty() {
            let kind = from.u8()?;
            let length = from.u32()?;
            let checksum = from.u32()?;
            // Of a whole transaction the length counts its own eight bytes too.
            let behind = if kind == 1 { length - 8 } else { length };
            let body = from.bytes(behind as usize)?;
            same!(
                crc32fast::hash(body),
                checksum,
                "the checksum of a piece of kind {kind}"
            );
            let piece = [&[kind][..], &length.to_le_bytes(), &checksum.to_le_bytes(), body].concat();
            pieces.push((kind, crate::wire::pieces::entries(&piece)?.len()));
        }
    }
    Ok(pieces)
}

async fn two(world: &World, connection: &mut Connection) -> Step<Append> {
    let append = Append::new(vec![
        world.section("a", 1, &["a1", "a2", "a3"]),
        world.section("b", 1, &["b1", "b2"]),
    ]);
    connection.append(&append).await??;
    Ok(append)
}

async fn whole(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    two(world, &mut connection).await?;
    let space = ReadCall::all(Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()));
    let came = pieces(&mut connection, &space).await?;
    let entries: usize = came.iter().map(|(_, entries)| entries).sum();
    same!(entries, 5, "the entries of a transaction that is wanted as a whole");
    for (kind, entries) in came {
        must!(
            kind != 1 || entries == 5,
            "a whole transaction has {entries} of its 5 entries"
        );
    }
    Ok(())
}

async fn excerpt(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let append = two(world, &mut connection).await?;
    let told = connection.append(&append).await??;
    let mut cases = vec![
        (world.read("b"), vec![("b", 1), ("b", 2)]),
        (ReadCall::all(world.range("a", 2, 2)), vec![("a", 2)]),
        (
            ReadCall::all(Source::Parts(
                vec![Part::Prefix(world.space.clone(), "a".into())],
                Vec::new(),
            )),
            vec![("a", 1), ("a", 2), ("a", 3)],
        ),
    ];
    let mut limited = ReadCall::all(Source::Parts(vec![Part::Space(world.space.clone())], Vec::new()));
    limited.entries = 4;
    cases.push((limited, vec![("a", 1), ("a", 2), ("a", 3), ("b", 1)]));
    for (read, promised) in cases {
        for (kind, _) in pieces(&mut connection, &read).await? {
            same!(kind, 2, "the piece of a transaction of which {promised:?} are wanted");
        }
        let entries = connection.read(&read).await??.entries();
        let places: Vec<(&str, u64)> = entries.iter().map(|entry| (&*entry.segment, entry.sequence)).collect();
        same!(places, promised, "the entries of the excerpt");
        for entry in entries {
            let of = (entry.position, entry.time, entry.id);
            same!(
                of,
                (told.position, told.time, append.id),
                "number, time and id of the excerpt"
            );
        }
    }
    Ok(())
}

async fn several(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for first in 1..=50 {
        let append = Append::new(vec![
            world.section("a", first, &["x"]),
            world.section("b", first, &["y"]),
        ]);
        connection.append(&append).await??;
    }
    for part in [
        Part::Space(world.space.clone()),
        Part::Segment(world.space.clone(), "a".into()),
    ] {
        let read = ReadCall::all(Source::Parts(vec![part], Vec::new()));
        let entries = connection.read(&read).await??.entries();
        let a: Vec<u64> = entries
            .iter()
            .filter(|entry| entry.segment == "a")
            .map(|entry| entry.sequence)
            .collect();
        same!(a, (1..=50).collect::<Vec<_>>(), "the entries of a segment");
        let ordered = entries.is_sorted_by_key(|entry| entry.position);
        must!(ordered, "entries are not in the order of their positions");
    }
    Ok(())
}
