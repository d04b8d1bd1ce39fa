//! Channels: their numbers, how many, and their ends.

use std::collections::BTreeSet;

use crate::check::checks;
use crate::connection::{Connection, refused};
use crate::fault::{Fault, Step, broken, must, same};
use crate::wire::bytes::Writer;
use crate::wire::calls::{FollowCall, Part, head, verb};
use crate::wire::frame::{Frame, kind};
use crate::wire::refused::{PROTOCOL, TOO_MANY_CHANNELS, UNKNOWN_VERB};
use crate::world::World;

checks! {
    "Frames › Channels":
    skip "channels/skipped-number" "Calls are numbered 1, 2, 3 …; a number that skips one is against the rules.",
    twice "channels/number-twice" "No number comes twice: a second call of one is against the rules, also when the first is over.",
    each_ends "channels/each-ends" "A server ends each call that it has begun, once.",
    too_many "channels/too-many" "A call beyond the channels of the server's hello is refused with too_many_channels, and there is room again when one ends.",
    unknown_verb "channels/unknown-verb" "A verb that the server does not know is refused with unknown_verb and its number; the connection goes on.",
    late "channels/late-frames" "Cancel, credit and more that cross the end of their channel change nothing.",
    cancel_idle "cancel/idle" "A cancelled follow, subscription or list of workers ends.",
    cancel_paused "cancel/paused" "A read that waits for credit ends when it is cancelled, with an error, since it is not whole.",
}

fn status(connection: &mut Connection) -> Frame {
    let body = head(verb::STATUS, connection.store).u8(0);
    connection.call(body, 0)
}

async fn skip(world: &World) -> Step<()> {
    for channel in [2, 7, u32::MAX] {
        let mut connection = world.dial().await?;
        let call = Frame::new(channel, kind::CALL, head(verb::SPACES, world.store));
        connection.send_together(&[call]).await?;
        connection.ends_with(PROTOCOL).await?;
    }
    Ok(())
}

async fn twice(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.status(&[]).await??;
    connection.status(&[]).await??;
    let again = Frame::new(1, kind::CALL, head(verb::STATUS, world.store).u8(0));
    connection.send_together(&[again]).await?;
    let goaway = connection.ends_with(PROTOCOL).await?;
    same!(goaway.last, 2, "the last call in the goaway");
    Ok(())
}

async fn each_ends(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let calls: Vec<Frame> = (0..64).map(|_| status(&mut connection)).collect();
    connection.send_together(&calls).await?;
    for call in &calls {
        connection.answer(call.channel).await??;
    }
    // A second end of any would come now, and is against the rules that all frames are held against.
    connection.waiting(0, world.quiet()).await?;
    Ok(())
}

async fn too_many(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let most = connection.hello.channels;
    if most > 20_000 {
        return Err(Fault::Untried(format!("the server allows {most} channels")));
    }
    let subscribe = head(verb::SUBSCRIBE, world.store)
        .u32(0)
        .text(&world.space)
        .text("never")
        .u32(0);
    for _ in 0..most {
        connection.begin(subscribe.clone(), 0).await?;
    }
    let answer = connection.ask(head(verb::STATUS, world.store).u8(0)).await?;
    refused(answer, TOO_MANY_CHANNELS)?;
    connection.cancel(1).await?;
    connection.next(1).await?;
    connection.status(&[]).await??;
    Ok(())
}

async fn unknown_verb(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for verb in [0, 99, 255] {
        let answer = connection.ask(head(verb, world.store)).await?;
        same!(
            refused(answer, UNKNOWN_VERB)?.number,
            u64::from(verb),
            "the verb in the error"
        );
    }
    connection.status(&[]).await??;
    Ok(())
}

async fn late(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.status(&[]).await??;
    let late = |kind, body: Writer| Frame::new(1, kind, body);
    let frames = [
        late(kind::CANCEL, Writer::default()),
        late(kind::CREDIT, Writer::default().u32(100)),
        late(kind::MORE, Writer::default().time(0)),
        late(kind::CANCEL, Writer::default()),
    ];
    for frame in frames {
        // Not through the ledger: what is over has no credit.
        let message = tokio_tungstenite::tungstenite::Message::Binary(frame.encode().into());
        connection.send_message(message).await?;
    }
    connection.status(&[]).await??;
    Ok(())
}

async fn cancel_idle(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["x"])).await??;
    let follow = FollowCall::all(vec![Part::Space(world.space.clone())]);
    let subscribe = head(verb::SUBSCRIBE, world.store)
        .u32(1 << 20)
        .text(&world.space)
        .text("")
        .u32(0);
    let workers = head(verb::WORKERS, world.store).u32(1 << 20).u8(0);
    let mut channels = BTreeSet::new();
    for body in [follow.body(world.store), subscribe, workers] {
        let channel = connection.begin(body, 1 << 20).await?;
        connection.message(channel).await?;
        channels.insert(channel);
    }
    for channel in channels {
        connection.cancel(channel).await?;
        loop {
            let frame = connection.next(channel).await?;
            if frame.kind != kind::DATA {
                break;
            }
        }
    }
    connection.status(&[]).await??;
    Ok(())
}

async fn cancel_paused(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["one", "two"])).await??;
    let mut read = world.read("a");
    read.credit = 0;
    let channel = connection.begin(read.body(world.store), 0).await?;
    must!(
        connection.waiting(channel, world.quiet()).await? == 0,
        "a read without credit was answered"
    );
    connection.cancel(channel).await?;
    match connection.next(channel).await?.kind {
        kind::ERROR => Ok(()),
        kind::END => broken!("the read ended as if nothing were missing"),
        other => broken!("a frame of kind {other} came without credit"),
    }
}
