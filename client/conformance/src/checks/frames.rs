//! Frames: messages of several, what no frame may be, pings.

use tokio_tungstenite::tungstenite::Message;

use crate::check::checks;
use crate::connection::Connection;
use crate::fault::{Step, must, same};
use crate::wire::bytes::Writer;
use crate::wire::calls::{head, verb};
use crate::wire::frame::{Frame, kind};
use crate::wire::refused::PROTOCOL;
use crate::world::World;

checks! {
    "Frames":
    several "frames/several" "A message holds one or more whole frames, and each of them counts.",
    text "frames/text" "A text message is against the rules.",
    flags "frames/flags" "A flag that is not known, or not agreed, is against the rules.",
    kinds "frames/kinds" "A frame of an unknown kind is against the rules.",
    sides "frames/sides" "A frame that only the server sends is against the rules of a client.",
    places "frames/places" "A frame of the connection on a channel, or of a channel on the connection, is against the rules.",
    cut "frames/cut" "A message that ends within a frame is against the rules.",
    fields_beyond "frames/fields-beyond" "Fields that are longer than their body are against the rules.",
    too_large "frames/too-large" "A frame of more bytes than the server's hello takes ends the connection.",
    goaway "frames/goaway" "A frame against the rules brings a goaway with protocol and the last call that was begun, then the close 1002.",
    ping "ping/pong" "A pong repeats the 8 bytes of its ping; of pings in a row at least one is answered, and none out of order.",
    ping_size "ping/size" "A ping without 8 bytes is against the rules.",
}

/// Whether these frames end a fresh connection.
async fn ends(world: &World, frame: &Frame) -> Step<()> {
    ends_bytes(world, frame.encode(), &format!("{frame:?}")).await
}

async fn ends_bytes(world: &World, message: Vec<u8>, what: &str) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.send_message(Message::Binary(message.into())).await?;
    match connection.ends_with(PROTOCOL).await {
        Ok(_) => Ok(()),
        Err(crate::fault::Fault::Broken(seen)) => crate::fault::broken!("{what}: {seen}"),
        Err(other) => Err(other),
    }
}

fn status(connection: &mut Connection) -> Frame {
    let body = head(verb::STATUS, connection.store).u8(0);
    connection.call(body, 0)
}

async fn several(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let ping = Frame::new(0, kind::PING, Writer::default().bytes(b"together"));
    let frames = [
        status(&mut connection),
        ping.clone(),
        status(&mut connection),
        status(&mut connection),
        ping,
    ];
    connection.send_together(&frames).await?;
    for channel in 1..=3 {
        connection.answer(channel).await??;
    }
    let pong = connection.next_of(|frame| frame.kind == kind::PONG, "a pong").await?;
    same!(pong.body, b"together", "the pong");
    Ok(())
}

async fn text(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.send_message(Message::Text("{}".into())).await?;
    connection.ends_with(PROTOCOL).await?;
    Ok(())
}

async fn flags(world: &World) -> Step<()> {
    // 1 is zstd, which this client did not offer.
    for flags in [1, 2, 128] {
        let mut frame = Frame::new(0, kind::PING, Writer::default().u64(1));
        frame.flags = flags;
        ends(world, &frame).await?;
    }
    // A call that is compressed as the document says: one zstd frame with its length, of one block as it is.
    let asked = head(verb::SPACES, world.store).0;
    let bytes = u8::try_from(asked.len()).expect("it has 17 bytes");
    let packed = Writer::default().bytes(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes]);
    let packed = packed.bytes(&[bytes << 3 | 1, 0, 0]).bytes(&asked);
    let mut frame = Frame::new(1, kind::CALL, packed);
    frame.flags = 1;
    ends(world, &frame).await
}

async fn kinds(world: &World) -> Step<()> {
    for kind in [0, 6, 15, 22, 255] {
        for channel in [0, 1] {
            ends(world, &Frame::new(channel, kind, Writer::default())).await?;
        }
    }
    Ok(())
}

async fn sides(world: &World) -> Step<()> {
    for kind in [kind::DATA, kind::END, kind::ERROR] {
        let mut connection = world.dial().await?;
        let call = connection.call(
            head(verb::SUBSCRIBE, world.store)
                .u32(0)
                .text(&world.space)
                .text("")
                .u32(0),
            0,
        );
        connection
            .send_together(&[call, Frame::new(1, kind, Writer::default())])
            .await?;
        connection.ends_with(PROTOCOL).await?;
    }
    let empty = Writer::default().u32(0).u16(1).u8(1).u32(0).u16(0);
    ends(world, &Frame::new(0, kind::GOAWAY, empty)).await
}

async fn places(world: &World) -> Step<()> {
    ends(world, &Frame::new(1, kind::PING, Writer::default().u64(1))).await?;
    ends(world, &Frame::new(0, kind::CALL, head(verb::SPACES, world.store))).await?;
    ends(world, &Frame::new(0, kind::CANCEL, Writer::default())).await
}

async fn cut(world: &World) -> Step<()> {
    let whole = Frame::new(0, kind::PING, Writer::default().u64(1)).encode();
    for end in [1, 11, 12, whole.len() - 1] {
        ends_bytes(world, whole[..end].to_vec(), &format!("a ping cut after {end} bytes")).await?;
    }
    let more = [&whole[..], &whole[..5]].concat();
    ends_bytes(world, more, "a whole ping and a cut one").await
}

async fn fields_beyond(world: &World) -> Step<()> {
    let mut ping = Frame::new(0, kind::PING, Writer::default().u64(1)).encode();
    ping[10] = 9;
    ends_bytes(world, ping, "9 bytes of fields in a body of 8").await?;
    let mut fields = Frame::new(0, kind::PING, Writer::default().u64(1)).field(false, "name", b"value");
    // The value is said to be longer than what is left.
    fields.fields[2] = 200;
    ends(world, &fields).await
}

async fn too_large(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let most = connection.hello.frame_bytes as usize;
    must!(most <= 256 << 20, "the server takes frames of {most} bytes");
    let body = Writer(vec![0; most + 1 - 12]);
    let message = Frame::new(1, kind::CALL, body).encode();
    connection.send_message(Message::Binary(message.into())).await?;
    // The end may overtake what says why: the server need not read so much to refuse it.
    match connection.ends_with(PROTOCOL).await {
        Err(seen) => match connection.closed {
            Some(_) => Ok(()),
            None => Err(seen),
        },
        Ok(_) => Ok(()),
    }
}

async fn goaway(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.status(&[]).await??;
    connection.status(&[]).await??;
    connection
        .send_together(&[Frame::new(0, 99, Writer::default())])
        .await?;
    let goaway = connection.ends_with(PROTOCOL).await?;
    same!(goaway.last, 2, "the last call in the goaway");
    must!(!goaway.why.text.is_empty(), "the goaway says nothing for people");
    Ok(())
}

async fn ping(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let pings: Vec<[u8; 8]> = (0..20_u64).map(|number| (number << 40 | 7).to_le_bytes()).collect();
    for ping in &pings {
        connection.ping(*ping).await?;
    }
    let frames = pings
        .iter()
        .map(|ping| Frame::new(0, kind::PING, Writer::default().bytes(ping)));
    connection.send_together(&frames.collect::<Vec<_>>()).await?;
    let mut left = pings.iter();
    let first = connection.next_of(|frame| frame.kind == kind::PONG, "a pong").await?;
    // The status comes behind whatever was queued before it.
    connection.status(&[]).await??;
    let mut pong = Some(first);
    while let Some(came) = pong {
        must!(
            left.any(|ping| came.body == ping),
            "a pong has {:?}, which is of no ping behind those that were answered",
            came.body
        );
        pong = connection.came_of(kind::PONG);
    }
    Ok(())
}

async fn ping_size(world: &World) -> Step<()> {
    for bytes in [0, 7, 9] {
        ends(world, &Frame::new(0, kind::PING, Writer(vec![0; bytes]))).await?;
    }
    Ok(())
}
