//! Fields: what is skipped, what is refused, what is known.

use crate::check::checks;
use crate::connection::refused;
use crate::fault::{Step, must, same};
use crate::wire::bytes::Writer;
use crate::wire::calls::{head, verb};
use crate::wire::frame::{Frame, kind};
use crate::wire::refused::UNKNOWN_FIELD;
use crate::world::World;

checks! {
    "Frames":
    skipped "fields/skipped" "A server skips a field that it does not know and that is not required.",
    required "fields/required" "A call with a required field that a server does not know is refused with unknown_field and its name, and nothing of it is done.",
    of_others "fields/others" "A frame that is no call and requires a field that a server does not know ends the connection with unknown_field and its name.",
    trace "fields/trace" "The field trace is known of a call, also if it is required.",
}

async fn skipped(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let append = world.append("a", 1, &["behind fields"]);
    let call = connection.call(append.body(world.store), 0);
    let call = call.field(false, "conformance", &[7; 300]).field(false, "x", b"");
    connection.send(&call).await?;
    connection.answer(call.channel).await??;
    let read = connection.read(&world.read("a")).await??;
    same!(read.sequences(), [1], "what was appended with unknown fields");
    Ok(())
}

async fn required(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let append = world.append("a", 1, &["never"]);
    let call = connection.call(append.body(world.store), 0);
    let call = call
        .field(false, "harmless", b"")
        .field(true, "conformance-required", b"value");
    connection.send(&call).await?;
    let answer = connection.answer(call.channel).await?;
    same!(
        refused(answer, UNKNOWN_FIELD)?.name,
        "conformance-required",
        "the field in the error"
    );
    let read = connection.read(&world.read("a")).await??;
    must!(
        read.entries().is_empty(),
        "what was refused is there: {:?}",
        read.entries()
    );
    Ok(())
}

async fn of_others(world: &World) -> Step<()> {
    for (kind, body) in [
        (kind::PING, Writer::default().bytes(&[1; 8])),
        (kind::CREDIT, Writer::default().u32(1)),
    ] {
        let mut connection = world.dial().await?;
        let frame = Frame::new(0, kind, body).field(true, "conformance-required", b"value");
        connection.send(&frame).await?;
        let goaway = connection.ends_with(UNKNOWN_FIELD).await?;
        same!(goaway.why.name, "conformance-required", "the field in the goaway");
    }
    Ok(())
}

async fn trace(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let value = [&[1; 16][..], &[2; 8], &[1]].concat();
    for is_required in [false, true] {
        let call = connection
            .call(head(verb::STATUS, world.store).u8(0), 0)
            .field(is_required, "trace", &value);
        connection.send(&call).await?;
        connection.answer(call.channel).await??;
    }
    Ok(())
}
