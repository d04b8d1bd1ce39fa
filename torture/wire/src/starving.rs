//! Peers that ask for much and take little: what they hold of a server, others must not miss.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_client::record::{LogCursor, ReadSource, Record, SegmentAppend, SegmentPath, Sequence, Wanted};
use streamkit_engine::Dice;
use streamkit_protocol::v2::{Append, Call, Follow, Frame, Kind, Read};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::dial::{Socket, dial, put_call, put_hello};
use crate::host::Trouble;
use crate::witness::{Broken, Witness, name};

/// Room of one who does not read.
const LITTLE: u32 = 4096;

/// Bytes of an append of which half is sent.
const LARGE: usize = 1 << 20;

/// Of one kind of dice, at a time.
const EACH_MAX: usize = 30;

/// How one starves.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It gives no credit, of the connection or of its calls.
    NoCredit,
    /// It gives all credit there is, and reads nothing.
    Deaf,
    /// It gives a little of the connection's, for which all its calls race, and reads nothing.
    Racing,
    /// It appends, and does not read what became of it.
    Careless,
    /// It sends half a frame, and the rest piece by piece, or never.
    Halting,
}

const WAYS: [Way; 5] = [Way::NoCredit, Way::Deaf, Way::Racing, Way::Careless, Way::Halting];

/// More and more of them, until it is told to stop: none leaves by itself.
pub(crate) async fn starve(address: SocketAddr, witness: Arc<Witness>, mut dice: Dice, ending: CancellationToken) {
    let mut all = JoinSet::new();
    while !ending.is_cancelled() {
        if all.len() < EACH_MAX {
            let way = WAYS[dice.below(WAYS.len() as u64) as usize];
            let (witness, own) = (witness.clone(), Dice::new(dice.below(u64::MAX)));
            all.spawn(async move {
                // One that the server ends, or refuses, is told to be too many.
                if let Ok(Err(why)) = one(address, way, own).await {
                    witness.breaks(format!("{way:?}: {why}"));
                }
            });
        }
        tokio::select! {
            () = ending.cancelled() => break,
            () = tokio::time::sleep(Duration::from_millis(dice.below(400))) => {}
        }
    }
    all.shutdown().await;
}

/// Lives for as long as it is let.
async fn one(address: SocketAddr, way: Way, mut dice: Dice) -> Result<Result<(), Broken>, Trouble> {
    let dice = &mut dice;
    let mut socket = dial(address, Some(LITTLE)).await?;
    let (of_connection, of_call) = match way {
        Way::NoCredit => (0, dice.below(2) as u32 * u32::MAX),
        Way::Racing => (1 + dice.below(3 << 20) as u32, u32::MAX),
        Way::Deaf | Way::Careless | Way::Halting => (u32::MAX, u32::MAX),
    };
    let mut out = Vec::new();
    put_hello(of_connection, &mut out);
    match way {
        Way::NoCredit | Way::Deaf | Way::Racing => {
            for channel in 1..=8 + dice.below(8) as u32 {
                put_call(channel, &reads(of_call, dice), &mut out);
            }
        }
        Way::Careless => {
            for channel in 1..=1 + dice.below(100) as u32 {
                put_call(channel, &append(20_000), &mut out);
            }
        }
        Way::Halting => {}
    }
    socket.send(Message::Binary(out.into())).await?;
    match way {
        Way::NoCredit => hears_nothing(&mut socket).await,
        Way::Halting => halts(&mut socket, dice).await.map(Ok),
        Way::Deaf | Way::Racing | Way::Careless => std::future::pending().await,
    }
}

fn reads(credit: u32, dice: &mut Dice) -> Call {
    let parts = vec![Wanted::Space(name("full"))];
    let cursor = LogCursor::default();
    match dice.chance(1, 3) {
        true => Call::Follow(Follow {
            credit,
            parts,
            cursor,
            is_from_now: false,
            heartbeat: 0,
            filter: Default::default(),
        }),
        false => Call::Read(Read::all(ReadSource::Log(parts, cursor), credit)),
    }
}

fn append(bytes: usize) -> Call {
    Call::Append(Append {
        id: Uuid::new_v4(),
        conflict_bytes: 0,
        fence: None,
        conditions: Vec::new(),
        sections: vec![SegmentAppend {
            path: SegmentPath::new("starving", "s").expect("a name"),
            first_sequence: Sequence(0),
            records: vec![Record::new(vec![0; bytes])],
        }],
    })
}

/// Whoever has no credit sends nothing that needs some, and does not end what waits for it.
async fn hears_nothing(socket: &mut Socket) -> Result<Result<(), Broken>, Trouble> {
    while let Some(message) = socket.next().await {
        let Message::Binary(mut message) = message? else {
            continue;
        };
        while let Some(came) = Frame::take(&mut message)? {
            if matches!(came.kind, Kind::Data | Kind::End | Kind::Error) {
                return Ok(Err(format!("without credit it is sent {:?}", came.kind)));
            }
        }
    }
    Ok(Ok(()))
}

/// A message that does not come to its end.
async fn halts(socket: &mut Socket, dice: &mut Dice) -> Result<(), Trouble> {
    let mut message = Vec::new();
    put_call(1, &append(LARGE), &mut message);
    // Final, binary, with a mask that changes nothing.
    let mut bytes = vec![0x82, 0x80 | 127];
    bytes.extend_from_slice(&(message.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&message[..message.len() / 2]);
    let (stream, rest) = (socket.get_mut(), &message[message.len() / 2..]);
    stream.write_all(&bytes).await?;
    if dice.chance(1, 2) {
        for piece in rest[..rest.len() - 1].chunks(100) {
            stream.write_all(piece).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    std::future::pending().await
}
