//! Calls that ask for what can never be.

use crate::check::checks;
use crate::connection::{UNNAMED, refused};
use crate::fault::{Fault, Step, must};
use crate::wire::bytes::Writer;
use crate::wire::calls::{Append, Condition, ReadCall, Source, head, verb};
use crate::wire::refused::{Code, INVALID, PROTOCOL};
use crate::world::World;

checks! {
    "Errors":
    appends "invalid/appends" "An append that can never be stored is refused with invalid, nothing of it is stored, and the connection goes on.",
    sizes "invalid/sizes" "A record of more than 4 MiB and a transaction of more than 10 000 records are refused with invalid.",
    calls "invalid/calls" "A call that asks for what can never be is refused with invalid, and the connection goes on.",
    cut "invalid/cut" "A call whose body is cut, or has more than its verb asks, is never answered with a result.",
}

async fn is_refused(world: &World, body: Writer, code: Code, what: &str) -> Step<()> {
    let mut connection = world.dial().await?;
    let channel = connection.begin(body, UNNAMED).await?;
    let (_, answer) = connection.all(channel).await?;
    match refused(answer, code) {
        Err(Fault::Broken(seen)) => return Err(Fault::Broken(format!("{what}: {seen}"))),
        other => other?,
    };
    connection.status(&[]).await??;
    Ok(())
}

async fn appends(world: &World) -> Step<()> {
    let named = |space: &str, segment: &str| {
        let mut section = world.section(segment, 0, &["never"]);
        section.space = space.to_owned();
        Append::new(vec![section])
    };
    let own = &*world.space;
    let cases = [
        (named("", "a"), "an empty space"),
        (named(own, ""), "an empty segment"),
        (named(own, "a\0b"), "a name with NUL"),
        (named(own, &"x".repeat(513)), "a name of 513 bytes"),
        (named(own, "*"), "the name * for a segment"),
        (Append::new(Vec::new()), "no sections"),
        (
            Append::new(vec![world.section("a", 0, &[])]),
            "a section without records",
        ),
        (
            Append::new(vec![
                world.section("a", 0, &["never"]),
                world.section("a", 0, &["never"]),
            ]),
            "a segment twice",
        ),
    ];
    for (append, what) in cases {
        is_refused(world, append.body(world.store), INVALID, what).await?;
    }
    let mut connection = world.dial().await?;
    let segments = connection.segments(own, "", u32::MAX).await??;
    must!(segments.is_empty(), "what was refused is stored: {segments:?}");
    connection.append(&named(own, &"x".repeat(512))).await??;
    Ok(())
}

async fn sizes(world: &World) -> Step<()> {
    for (append, what) in [
        (world.bulk("a", 1, (4 << 20) + 1), "a record of 4 MiB and a byte"),
        (world.bulk("a", 10_001, 1), "10 001 records"),
        (world.bulk("a", 5, 4 << 20), "records of 20 MiB"),
    ] {
        is_refused(world, append.body(world.store), INVALID, what).await?;
    }
    Ok(())
}

async fn calls(world: &World) -> Step<()> {
    let (store, own) = (world.store, &*world.space);
    let mut condition = world.append("a", 0, &["never"]);
    condition.conditions = vec![Condition {
        kind: 3,
        sequence: 0,
        space: own.to_owned(),
        segment: "a".to_owned(),
    }];
    let mut backwards = ReadCall::all(Source::Parts(Vec::new(), vec![0; 65]));
    backwards.entries = 10;
    let cases = [
        (condition.body(store), "a condition of kind 3"),
        (head(verb::STATUS, store).u8(3), "a status of kind 3"),
        (
            head(verb::LEASE, store).u8(4).text("k").text("h").u32(1000),
            "a change of a lease of kind 4",
        ),
        (head(verb::READ, store).u32(0).u8(0).u8(3), "a source of kind 3"),
        (backwards.body(store), "a cursor of 65 bytes"),
        (
            head(verb::SEGMENTS, store).text("").text("").u32(1).u8(0),
            "segments of an empty name",
        ),
        (
            head(verb::TRIM, store).text(own).text("").u64(1),
            "a trim of an empty name",
        ),
        (
            head(verb::DELETE, store).text(&"x".repeat(513)).text("a"),
            "a name of 513 bytes",
        ),
    ];
    for (body, what) in cases {
        is_refused(world, body, INVALID, what).await?;
    }
    Ok(())
}

async fn cut(world: &World) -> Step<()> {
    let store = world.store;
    let whole = [
        world.append("a", 0, &["never"]).body(store),
        world.read("a").body(store),
        head(verb::STATUS, store).u8(2).text(&world.space).text("a"),
        head(verb::LEASE, store).u8(3).text(&world.space).text("h").u32(1000),
        head(verb::SPACES, store),
    ];
    let mut connection = world.dial().await?;
    for body in whole {
        let bytes = body.0;
        let ends = (0..bytes.len())
            .step_by(bytes.len().div_ceil(12))
            .chain([bytes.len() - 1]);
        let cut = ends.map(|end| {
            (
                bytes[..end].to_vec(),
                format!("the verb {} cut after {end} bytes", bytes[0]),
            )
        });
        let more = [(
            ([&bytes[..], b"x"]).concat(),
            format!("the verb {} and a byte", bytes[0]),
        )];
        for (body, what) in cut.chain(more) {
            let channel = connection.begin(Writer(body), UNNAMED).await?;
            match connection.all(channel).await {
                Ok((_, Err(refused))) => must!(refused.code == INVALID, "{what} is refused with {refused}"),
                Ok((_, Ok(result))) => crate::fault::broken!("{what} has the result {result:?}"),
                // Too little to know what is asked may as well be against the rules of frames.
                Err(seen) => match &connection.goaway {
                    Some(goaway) if goaway.why.code == PROTOCOL => connection = world.dial().await?,
                    _ => return Err(seen),
                },
            }
        }
    }
    let segments = connection.segments(&world.space, "", u32::MAX).await??;
    must!(segments.is_empty(), "what was refused is stored: {segments:?}");
    Ok(())
}
