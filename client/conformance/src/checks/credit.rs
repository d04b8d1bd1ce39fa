//! Credit: of a channel, of the connection, of the server.

use tokio_tungstenite::tungstenite::Message;

use crate::check::checks;
use crate::connection::{Connection, Terms, UNNAMED, refused};
use crate::fault::{Step, must, same};
use crate::wire::calls::{FollowCall, Part};
use crate::wire::frame::kind;
use crate::wire::refused::{CONFLICT, PROTOCOL};
use crate::world::World;

checks! {
    "Credit":
    none "credit/none" "Without credit no message comes; with it, all do.",
    as_given "credit/as-given" "A sender sends while its credit is above zero: a receiver holds at most what it gave and one frame.",
    end_is_free "credit/end-is-free" "Results and errors count on no credit: calls without messages are answered to whoever gave none.",
    connection_credit "credit/connection" "Messages count on the credit of the connection, too: of all channels no more comes than it gave and one frame.",
    paused "credit/paused" "Who pauses a channel costs nobody else: reads, appends and pings of the connection go on.",
    follow_paused "credit/follow" "A follow without credit tells nothing, and misses nothing when it gets some.",
    given_back "credit/given-back" "The server gives the credit of a call back when it is answered.",
    beyond "credit/beyond" "A call without credit is against the rules.",
}

/// About a megabyte, in many transactions.
async fn fill(world: &World, connection: &mut Connection, segment: &str) -> Step<u64> {
    for _ in 0..16 {
        connection.append(&world.bulk(segment, 16, 4096)).await??;
    }
    Ok(16 * 16)
}

async fn none(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["one", "two"])).await??;
    let mut read = world.read("a");
    read.credit = 0;
    let channel = connection.begin(read.body(world.store), 0).await?;
    let came = connection.waiting(channel, world.quiet()).await?;
    must!(came == 0, "{came} frames came without credit");
    connection.give(channel, 1 << 20).await?;
    let came = connection.read_on(channel, &read).await??;
    same!(came.sequences(), [1, 2], "after credit was given");
    Ok(())
}

async fn as_given(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let entries = fill(world, &mut connection, "a").await?;
    let mut read = world.read("a");
    read.credit = 1;
    let channel = connection.begin(read.body(world.store), 1).await?;
    let (mut sequences, mut messages) = (Vec::new(), 0);
    loop {
        let frame = connection.next(channel).await?;
        if frame.kind != kind::DATA {
            must!(frame.kind == kind::END, "the read failed");
            break;
        }
        messages += 1;
        let batch = crate::wire::answers::Batch::decode(&frame.body)?;
        sequences.extend(batch.entries.iter().map(|entry| entry.sequence));
        let (left, _) = connection.left(channel);
        // What brings the credit to zero lets nothing come; one byte more lets one message come.
        if messages <= 2 && left <= 0 {
            connection.give(channel, u32::try_from(-left).unwrap_or(0)).await?;
            connection.waiting(channel, world.quiet()).await?;
        }
        let (left, _) = connection.left(channel);
        connection.give(channel, u32::try_from(1 - left).unwrap_or(0)).await?;
    }
    same!(
        sequences,
        (1..=entries).collect::<Vec<_>>(),
        "a read of message by message"
    );
    must!(messages > 1, "a megabyte came in one message");
    Ok(())
}

async fn end_is_free(world: &World) -> Step<()> {
    let mut terms = Terms::usual(world.patience);
    terms.hello.credit = 0;
    terms.gives_back = false;
    let mut connection = world.dial_with(&world.token, terms).await?;
    connection.append(&world.append("a", 1, &["one", "two"])).await??;
    refused(connection.append(&world.append("a", 1, &["late"])).await?, CONFLICT)?;
    same!(
        connection.status(&[&world.space]).await??.entries,
        2,
        "the entries of the space"
    );
    Ok(())
}

async fn connection_credit(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    let entries = fill(world, &mut writer, "a").await?;
    let mut terms = Terms::usual(world.patience);
    terms.hello.credit = 1;
    terms.gives_back = false;
    let mut connection = world.dial_with(&world.token, terms).await?;
    let read = world.read("a");
    let first = connection.begin(read.body(world.store), read.credit).await?;
    let second = connection.begin(read.body(world.store), read.credit).await?;
    let came = connection.waiting(first, world.quiet()).await? + connection.waiting(second, world.quiet()).await?;
    must!(came == 1, "with a credit of 1 for the connection {came} messages came");
    connection.give(0, 64 << 20).await?;
    for channel in [first, second] {
        let came = connection.read_on(channel, &read).await??;
        same!(came.done.entries, entries, "the entries of a read");
    }
    Ok(())
}

async fn paused(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let entries = fill(world, &mut connection, "a").await?;
    let mut read = world.read("a");
    read.credit = 1;
    let paused = connection.begin(read.body(world.store), 1).await?;
    for round in 0..8 {
        let other = connection.read(&world.read("a")).await??;
        same!(other.done.entries, entries, "a read beside a paused one");
        connection.append(&world.append("b", round + 1, &["beside"])).await??;
        connection.ping(round.to_le_bytes()).await?;
    }
    connection.give(paused, 64 << 20).await?;
    let came = connection.read_on(paused, &read).await??;
    same!(came.done.entries, entries, "the paused read");
    Ok(())
}

async fn follow_paused(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["one"])).await??;
    let mut follow = FollowCall::all(vec![Part::Space(world.space.clone())]);
    follow.credit = 0;
    let channel = connection.begin(follow.body(world.store), 0).await?;
    for first in 2..5 {
        connection.append(&world.append("a", first, &["more"])).await??;
    }
    let came = connection.waiting(channel, world.quiet()).await?;
    must!(came == 0, "{came} frames of a follow came without credit");
    connection.give(channel, 1 << 20).await?;
    let mut sequences = Vec::new();
    while sequences.len() < 4 {
        let told = crate::wire::answers::Told::decode(&connection.message(channel).await?)?;
        if let crate::wire::answers::Told::Batch(batch) = told {
            sequences.extend(batch.entries.iter().map(|entry| entry.sequence));
        }
    }
    same!(sequences, [1, 2, 3, 4], "what a paused follow told");
    Ok(())
}

async fn given_back(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["there"])).await??;
    // A transaction that is refused costs the server nothing but its credit.
    let mut refused_one = world.bulk("a", 1, 256 << 10);
    refused_one.sections[0].first = 1;
    let (mut sent, most) = (0, 3 * u64::from(connection.hello.credit.min(16 << 20)));
    while sent < most {
        refused_one.id = uuid::Uuid::new_v4();
        let answer = connection.append(&refused_one).await?;
        refused(answer, CONFLICT)?;
        sent += 256 << 10;
    }
    Ok(())
}

async fn beyond(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let each = world.bulk("a", 3, 1 << 20);
    let mut message = Vec::new();
    let mut taken = 0;
    // The first ones use the credit up; those behind have none, whatever becomes of the first.
    while taken <= connection.may_send + (12 << 20) && message.len() < 28 << 20 {
        let mut append = each.clone();
        append.id = uuid::Uuid::new_v4();
        let call = connection.call(append.body(world.store), UNNAMED);
        taken += call.bytes() as i64;
        message.extend(call.encode());
    }
    must!(
        taken > connection.may_send,
        "the server gives {} bytes of credit at once",
        connection.may_send
    );
    connection.send_message(Message::Binary(message.into())).await?;
    connection.ends_with(PROTOCOL).await?;
    Ok(())
}
