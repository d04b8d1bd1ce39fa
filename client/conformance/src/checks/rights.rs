//! Rights: what a token does not open.

use uuid::Uuid;

use crate::check::checks;
use crate::connection::{Connection, Terms, UNNAMED, refused};
use crate::fault::{Fault, Step, must, same};
use crate::wire::bytes::Writer;
use crate::wire::calls::{FollowCall, Part, head, verb};
use crate::wire::refused::{ACCESS_DENIED, CONFLICT};
use crate::world::World;

checks! {
    "Errors":
    reader "rights/reader" "A token that may read is refused whatever writes with access_denied; nothing is stored, and reads go on.",
    writer "rights/writer" "A token that may write is refused whatever reads with access_denied, and appends.",
    conflict "rights/conflict" "Who may not read learns the heads of a conflict, and no entries.",
    other_store "rights/other-store" "A token that opens one store is refused another with access_denied.",
}

async fn with(world: &World, token: Option<&String>, which: &str) -> Step<Connection> {
    let token = token.ok_or_else(|| Fault::Untried(format!("no --{which}-token is given")))?;
    world.dial_with(token, Terms::usual(world.patience)).await
}

async fn denied(connection: &mut Connection, bodies: Vec<(Writer, &str)>) -> Step<()> {
    for (body, what) in bodies {
        let channel = connection.begin(body, UNNAMED).await?;
        let (messages, answer) = connection.all(channel).await?;
        must!(messages.is_empty(), "{what} without the right is told something");
        if let Err(Fault::Broken(seen)) = refused(answer, ACCESS_DENIED) {
            return Err(Fault::Broken(format!("{what}: {seen}")));
        }
    }
    Ok(())
}

fn writes(world: &World) -> Vec<(Writer, &'static str)> {
    let path = |verb| head(verb, world.store).text(&world.space).text("a");
    vec![
        (world.append("a", 0, &["never"]).body(world.store), "an append"),
        (path(verb::TRIM).u64(2), "a trim"),
        (path(verb::DELETE), "a delete"),
        (
            head(verb::LEASE, world.store)
                .u8(1)
                .text(&world.space)
                .text("h")
                .u32(1000),
            "a lease",
        ),
    ]
}

fn reads(world: &World) -> Vec<(Writer, &'static str)> {
    let follow = FollowCall::all(vec![Part::Space(world.space.clone())]);
    vec![
        (world.read("a").body(world.store), "a read"),
        (follow.body(world.store), "a follow"),
        (head(verb::STATUS, world.store).u8(0), "a status"),
        (head(verb::SPACES, world.store), "the list of spaces"),
        (
            head(verb::SEGMENTS, world.store)
                .text(&world.space)
                .text("")
                .u32(9)
                .u8(1),
            "the list of segments",
        ),
        (
            head(verb::SUBSCRIBE, world.store)
                .u32(9)
                .text(&world.space)
                .text("")
                .u32(0),
            "a subscription",
        ),
    ]
}

async fn reader(world: &World) -> Step<()> {
    let mut connection = with(world, world.restricted.reader.as_ref(), "reader").await?;
    let mut owner = world.dial().await?;
    owner.append(&world.append("a", 1, &["1", "2"])).await??;
    denied(&mut connection, writes(world)).await?;
    same!(
        connection.read(&world.read("a")).await??.sequences(),
        [1, 2],
        "a read behind refused writes"
    );
    Ok(())
}

async fn writer(world: &World) -> Step<()> {
    let mut connection = with(world, world.restricted.writer.as_ref(), "writer").await?;
    connection.append(&world.append("a", 1, &["1"])).await??;
    denied(&mut connection, reads(world)).await
}

async fn conflict(world: &World) -> Step<()> {
    let mut connection = with(world, world.restricted.writer.as_ref(), "writer").await?;
    let mut owner = world.dial().await?;
    owner.append(&world.append("a", 1, &["secret", "too"])).await??;
    let mut append = world.append("a", 1, &["x"]);
    append.conflict_bytes = 1 << 20;
    let (entries, answer) = connection.append_or_learn(&append).await?;
    let heads = refused(answer, CONFLICT)?.segments;
    same!(heads, [(world.space.clone(), "a".to_owned(), 2)], "the heads");
    must!(entries.is_empty(), "{} entries came to who may not read", entries.len());
    Ok(())
}

async fn other_store(world: &World) -> Step<()> {
    let restricted = [&world.restricted.reader, &world.restricted.writer];
    let token = restricted.into_iter().flatten().next();
    let mut connection = with(world, token, "reader").await?;
    connection.store = Uuid::new_v4();
    let other = World {
        store: connection.store,
        ..world.clone()
    };
    denied(&mut connection, [reads(&other), writes(&other)].concat()).await
}
