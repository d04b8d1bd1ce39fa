//! The handshake, and the hellos.

use crate::check::checks;
use crate::connection::{Connection, Terms};
use crate::dial::Shaken;
use crate::fault::{Step, broken, must, same};
use crate::wire::bytes::Writer;
use crate::wire::calls::{head, verb};
use crate::wire::frame::{Frame, kind};
use crate::wire::refused::{PROTOCOL, UNKNOWN_FEATURE};
use crate::world::{BOTH, World};

checks! {
    "Handshake":
    v2 "handshake/v2" "A server that speaks v2 answers streamkit.v2 where that is offered, before v1 or alone.",
    v1_only "handshake/v1-only" "A client that offers streamkit.v1 alone goes on in v1.",
    none "handshake/none" "A client that offers no subprotocol is answered none, and goes on in v1.",
    token "handshake/token" "The handshake of a token that the server does not know is refused with 401.",
    hello_first "hello/first" "The server's first frame is its hello, and it waits for nobody's.",
    behind_hello "hello/calls-behind" "A client may send calls right behind its own hello.",
    feature "hello/feature" "A feature that a server does not know, and that is not required, changes nothing.",
    required_feature "hello/required-feature" "A required feature that a server does not know ends the connection, and is named.",
    second_hello "hello/second" "A second hello is against the rules.",
    late_hello "hello/late" "A first frame that is no hello is against the rules.",
    small_frames "hello/small-frames" "A client takes frames of 32 MiB; one that says less is against the rules.",
}

async fn chosen(world: &World, offered: &str) -> Step<Option<String>> {
    match world.server.dial(offered, &world.token, world.patience).await? {
        Shaken::Open(_, chosen) => Ok(chosen),
        Shaken::Refused(status) => broken!("the handshake that offers {offered:?} is refused with {status}"),
    }
}

async fn v2(world: &World) -> Step<()> {
    for offered in [BOTH, "streamkit.v2"] {
        let chosen = chosen(world, offered).await?;
        same!(chosen.as_deref(), Some("streamkit.v2"), "{offered:?} is offered");
    }
    Ok(())
}

async fn v1_only(world: &World) -> Step<()> {
    same!(
        chosen(world, "streamkit.v1").await?.as_deref(),
        Some("streamkit.v1"),
        "streamkit.v1 is offered"
    );
    Ok(())
}

async fn none(world: &World) -> Step<()> {
    same!(chosen(world, "").await?.as_deref(), None, "nothing is offered");
    Ok(())
}

async fn token(world: &World) -> Step<()> {
    match world.server.dial(BOTH, "nobody.signed.this", world.patience).await? {
        Shaken::Refused(401) => Ok(()),
        Shaken::Refused(status) => broken!("it is refused with {status}"),
        Shaken::Open(..) => broken!("the server let it in"),
    }
}

async fn hello_first(world: &World) -> Step<()> {
    let mut connection = world.dial_silent().await?;
    connection.greeted().await?;
    let hello = &connection.hello;
    must!(
        hello.channels > 0 && hello.credit > 0,
        "the hello allows nothing: {hello:?}"
    );
    must!(
        hello.frame_bytes >= 64 << 10,
        "the hello takes frames of {} bytes",
        hello.frame_bytes
    );
    let required = hello.features.iter().find(|feature| feature.starts_with('!'));
    must!(
        required.is_none(),
        "the hello requires {required:?}, which the document does not know"
    );
    Ok(())
}

async fn behind_hello(world: &World) -> Step<()> {
    let mut connection = world.dial_silent().await?;
    let status = head(verb::STATUS, world.store).u8(0);
    let frames = [
        connection.own_hello(),
        connection.call(status.clone(), 0),
        connection.call(status, 0),
    ];
    connection.send_together(&frames).await?;
    connection.greeted().await?;
    for channel in [1, 2] {
        connection.answer(channel).await??;
    }
    Ok(())
}

fn with_features(world: &World, features: &[&str]) -> Terms {
    let mut terms = Terms::usual(world.patience);
    terms.hello.features = features.iter().map(|&feature| feature.to_owned()).collect();
    terms
}

async fn feature(world: &World) -> Step<()> {
    let terms = with_features(world, &["conformance-unknown"]);
    let mut connection = world.dial_with(&world.token, terms).await?;
    connection.status(&[]).await??;
    Ok(())
}

async fn required_feature(world: &World) -> Step<()> {
    let terms = with_features(world, &["conformance-unknown", "!conformance-required"]);
    let mut connection = world.dial_with(&world.token, terms).await?;
    let goaway = connection.ends_with(UNKNOWN_FEATURE).await?;
    same!(goaway.why.name, "conformance-required", "the feature in the goaway");
    same!(goaway.last, 0, "the last call in the goaway");
    Ok(())
}

async fn second_hello(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let hello = connection.own_hello();
    connection.send_together(&[hello]).await?;
    connection.ends_with(PROTOCOL).await?;
    Ok(())
}

async fn late_hello(world: &World) -> Step<()> {
    for first in [
        Frame::new(0, kind::PING, Writer::default().u64(1)),
        Frame::new(0, kind::CREDIT, Writer::default().u32(1)),
    ] {
        let mut connection: Connection = world.dial_silent().await?;
        let hello = connection.own_hello();
        connection.send_together(&[first, hello]).await?;
        connection.ends_with(PROTOCOL).await?;
    }
    Ok(())
}

async fn small_frames(world: &World) -> Step<()> {
    let mut terms = Terms::usual(world.patience);
    terms.hello.frame_bytes = (32 << 20) - 1;
    let mut connection = world.dial_with(&world.token, terms).await?;
    connection.ends_with(PROTOCOL).await?;
    Ok(())
}
