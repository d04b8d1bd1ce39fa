//! A connection that holds each frame of the server against the rules that hold for all: frames, channels, credit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::dial::Socket;
use crate::fault::{Answer, Fault, Step, broken, must};
use crate::wire::answers::Hello;
use crate::wire::bytes::{Reader, Writer};
use crate::wire::frame::{Frame, frames, kind};
use crate::wire::refused::{self, Code, Refused};

/// Credit of a channel whose call names none.
pub const UNNAMED: u32 = u32::MAX;

/// A *goaway* that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoAway {
    /// The last channel that was begun.
    pub last: u32,
    /// Why.
    pub why: Refused,
}

/// What this side of a connection allows and says.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its hello.
    pub hello: Hello,
    /// How long a frame may take that has to come.
    pub patience: Duration,
    /// Whether the credit of the connection is given back as it is used.
    pub gives_back: bool,
}

impl Terms {
    /// A client that never pauses.
    pub fn usual(patience: Duration) -> Self {
        Self {
            hello: Hello {
                frame_bytes: 32 << 20,
                channels: 0,
                credit: 16 << 20,
                features: Vec::new(),
            },
            patience,
            gives_back: true,
        }
    }
}

/// A connection of a check.
pub struct Connection {
    socket: Socket,
    terms: Terms,
    /// The store that its calls are of.
    pub store: Uuid,
    /// What the server said first.
    pub hello: Hello,
    /// Bytes that may still be sent.
    pub may_send: i64,
    /// Bytes of messages that may still come on all channels.
    may_come: i64,
    last: u32,
    /// Channels that are open, each with the bytes that may still come.
    open: BTreeMap<u32, i64>,
    came: VecDeque<Frame>,
    /// The goaway, if one came.
    pub goaway: Option<GoAway>,
    /// How the connection ended: the code of its close, if it had one.
    pub closed: Option<Option<u16>>,
}

impl Connection {
    /// Says hello, and waits for the server's.
    pub async fn greet(socket: Socket, terms: Terms, store: Uuid) -> Step<Self> {
        let mut connection = Self::silent(socket, terms, store);
        let hello = connection.own_hello();
        connection.send_together(&[hello]).await?;
        connection.greeted().await?;
        Ok(connection)
    }

    /// One that has said nothing yet.
    pub fn silent(socket: Socket, terms: Terms, store: Uuid) -> Self {
        Self {
            socket,
            may_come: terms.hello.credit.into(),
            terms,
            store,
            hello: Hello::default(),
            may_send: 0,
            last: 0,
            open: BTreeMap::new(),
            came: VecDeque::new(),
            goaway: None,
            closed: None,
        }
    }

    /// Its hello.
    pub fn own_hello(&self) -> Frame {
        let Hello {
            frame_bytes,
            channels,
            credit,
            features,
        } = &self.terms.hello;
        let count = u16::try_from(features.len()).expect("checks offer a few features");
        let body = Writer::default()
            .u32(*frame_bytes)
            .u32(*channels)
            .u32(*credit)
            .u16(count);
        let body = features.iter().fold(body, |body, feature| body.text(feature));
        Frame::new(0, kind::HELLO, body)
    }

    /// Waits for the server's hello, which comes first.
    pub async fn greeted(&mut self) -> Step<()> {
        let first = self.next_of(|_| true, "the server's hello").await?;
        must!(
            first.kind == kind::HELLO,
            "the first frame of the server has kind {}",
            first.kind
        );
        self.hello = Hello::decode(&first.body)?;
        self.may_send += i64::from(self.hello.credit);
        Ok(())
    }

    /// A call on the next channel, which may be sent; `credit` is what it says of its channel.
    pub fn call(&mut self, body: Writer, credit: u32) -> Frame {
        self.last += 1;
        let credit = if credit == UNNAMED { i64::MAX / 2 } else { credit.into() };
        self.open.insert(self.last, credit);
        Frame::new(self.last, kind::CALL, body)
    }

    /// Begins a call, once there is credit for it.
    pub async fn begin(&mut self, body: Writer, credit: u32) -> Step<u32> {
        let call = self.call(body, credit);
        self.send(&call).await?;
        Ok(call.channel)
    }

    /// Sends a frame, once there is credit for it.
    pub async fn send(&mut self, frame: &Frame) -> Step<()> {
        while self.may_send <= 0 && matches!(frame.kind, kind::CALL | kind::MORE) {
            let is_news = self.pump(self.terms.patience).await?;
            must!(is_news, "the server gives no credit for further calls");
            must!(self.closed.is_none(), "the connection ended: {}", self.end());
        }
        self.send_together(std::slice::from_ref(frame)).await
    }

    /// Sends frames in one message, with or without credit.
    pub async fn send_together(&mut self, frames: &[Frame]) -> Step<()> {
        let takes = |frame: &&Frame| matches!(frame.kind, kind::CALL | kind::MORE);
        let taken: usize = frames.iter().filter(takes).map(Frame::bytes).sum();
        self.may_send -= taken as i64;
        for frame in frames.iter().filter(|frame| frame.kind == kind::CREDIT) {
            let bytes = Reader::new(&frame.body).u32()?;
            match frame.channel {
                0 => self.may_come += i64::from(bytes),
                channel => *self.open.entry(channel).or_default() += i64::from(bytes),
            }
        }
        let message: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        self.send_message(Message::Binary(message.into())).await
    }

    /// Sends a message as it is. Whether it arrives is for what comes back to tell.
    pub async fn send_message(&mut self, message: Message) -> Step<()> {
        match tokio::time::timeout(self.terms.patience, self.socket.send(message)).await {
            // It may have closed, and said why.
            Ok(_) => Ok(()),
            Err(_) => broken!("the server took nothing for {:?}", self.terms.patience),
        }
    }

    /// Gives credit to a channel; 0: to the connection.
    pub async fn give(&mut self, channel: u32, bytes: u32) -> Step<()> {
        if channel != 0 && !self.open.contains_key(&channel) {
            return Ok(());
        }
        let credit = Frame::new(channel, kind::CREDIT, Writer::default().u32(bytes));
        self.send_together(&[credit]).await
    }

    /// Wants no more of a channel.
    pub async fn cancel(&mut self, channel: u32) -> Step<()> {
        self.send_together(&[Frame::new(channel, kind::CANCEL, Writer::default())])
            .await
    }

    /// What is left of the credit of a channel, and of the connection.
    pub fn left(&self, channel: u32) -> (i64, i64) {
        (self.open.get(&channel).copied().unwrap_or_default(), self.may_come)
    }

    /// The next frame of a channel.
    pub async fn next(&mut self, channel: u32) -> Step<Frame> {
        self.next_of(
            |frame| frame.channel == channel,
            &format!("the next frame of channel {channel}"),
        )
        .await
    }

    /// The next frame that is one of these.
    pub async fn next_of(&mut self, is_one: impl Fn(&Frame) -> bool, what: &str) -> Step<Frame> {
        loop {
            if let Some(at) = self.came.iter().position(&is_one) {
                return Ok(self.came.remove(at).expect("it was found there"));
            }
            must!(
                self.closed.is_none(),
                "instead of {what} the connection ended: {}",
                self.end()
            );
            let is_news = self.pump(self.terms.patience).await?;
            must!(is_news, "{what} did not come within {:?}", self.terms.patience);
        }
    }

    /// A frame of this kind, if one has come.
    pub fn came_of(&mut self, kind: u8) -> Option<Frame> {
        let at = self.came.iter().position(|frame| frame.kind == kind)?;
        self.came.remove(at)
    }

    /// The end of a channel without messages.
    pub async fn answer(&mut self, channel: u32) -> Answer<Vec<u8>> {
        let (messages, answer) = self.all(channel).await?;
        must!(
            messages.is_empty(),
            "{} messages came with the result of a call that has none",
            messages.len()
        );
        Ok(answer)
    }

    /// A call without messages.
    pub async fn ask(&mut self, body: Writer) -> Answer<Vec<u8>> {
        let channel = self.begin(body, 0).await?;
        self.answer(channel).await
    }

    /// All messages of a channel, and its end.
    pub async fn all(&mut self, channel: u32) -> Step<(Vec<Vec<u8>>, Result<Vec<u8>, Refused>)> {
        let mut messages = Vec::new();
        loop {
            let frame = self.next(channel).await?;
            match frame.kind {
                kind::DATA => messages.push(frame.body),
                kind::END => return Ok((messages, Ok(frame.body))),
                _ => return Ok((messages, Err(Refused::decode(&frame.body)?))),
            }
        }
    }

    /// The next message of a channel that goes on.
    pub async fn message(&mut self, channel: u32) -> Step<Vec<u8>> {
        let frame = self.next(channel).await?;
        match frame.kind {
            kind::DATA => Ok(frame.body),
            kind::END => broken!("channel {channel} ended instead of going on"),
            _ => Err(Refused::decode(&frame.body)?.into()),
        }
    }

    /// What has come for a channel, after waiting so long for it.
    pub async fn waiting(&mut self, channel: u32, wait: Duration) -> Step<usize> {
        let until = tokio::time::Instant::now() + wait;
        while self
            .pump(until.saturating_duration_since(tokio::time::Instant::now()))
            .await?
        {
            must!(self.closed.is_none(), "the connection ended: {}", self.end());
        }
        Ok(self.came.iter().filter(|frame| frame.channel == channel).count())
    }

    /// A ping, and its pong.
    pub async fn ping(&mut self, says: [u8; 8]) -> Step<()> {
        self.send_together(&[Frame::new(0, kind::PING, Writer::default().bytes(&says))])
            .await?;
        let pong = self.next_of(|frame| frame.kind == kind::PONG, "a pong").await?;
        must!(pong.body == says, "a pong has {:?}, its ping had {says:?}", pong.body);
        Ok(())
    }

    /// Waits for the end that a frame against the rules brings: `protocol`, or another code, and the close 1002.
    pub async fn ends_with(&mut self, code: Code) -> Step<GoAway> {
        while self.closed.is_none() {
            let is_news = self.pump(self.terms.patience).await?;
            must!(
                is_news,
                "the connection did not end, {}",
                match &self.goaway {
                    Some(goaway) => format!("though a goaway came: {}", goaway.why),
                    None => format!("and no goaway came within {:?}", self.terms.patience),
                }
            );
        }
        let Some(goaway) = self.goaway.clone() else {
            broken!("the connection ended without a goaway: {}", self.end());
        };
        must!(
            goaway.why.code == code,
            "the goaway says {}, not {}",
            goaway.why,
            code.name
        );
        if code == refused::PROTOCOL {
            must!(self.closed == Some(Some(1002)), "the close is not 1002: {}", self.end());
        }
        Ok(goaway)
    }

    /// Closes it in order.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }

    fn end(&self) -> String {
        let goaway = match &self.goaway {
            Some(goaway) => format!("goaway {} after channel {}", goaway.why, goaway.last),
            None => "no goaway".to_owned(),
        };
        match self.closed {
            Some(Some(code)) => format!("{goaway}, close {code}"),
            Some(None) => format!("{goaway}, no close"),
            None => format!("{goaway}, still open"),
        }
    }

    /// Takes the next message; false: none came in that time.
    async fn pump(&mut self, wait: Duration) -> Step<bool> {
        let Ok(message) = tokio::time::timeout(wait, self.socket.next()).await else {
            return Ok(false);
        };
        match message {
            Some(Ok(Message::Binary(message))) => {
                for frame in frames(&message)? {
                    self.take(frame).await?;
                }
            }
            Some(Ok(Message::Text(text))) => broken!("a text message came: {:?}", text.as_str()),
            Some(Ok(Message::Close(close))) => self.closed = Some(close.map(|close| close.code.into())),
            Some(Err(_)) | None => self.closed = self.closed.or(Some(None)),
            Some(Ok(_)) => {}
        }
        Ok(true)
    }

    /// Holds a frame against the rules.
    async fn take(&mut self, frame: Frame) -> Step<()> {
        let Frame { channel, kind, .. } = frame;
        let is_of_connection = matches!(kind, kind::HELLO | kind::PING | kind::PONG | kind::GOAWAY);
        if kind != kind::CREDIT {
            must!(
                is_of_connection == (channel == 0),
                "a frame of kind {kind} came on channel {channel}"
            );
        }
        must!(
            frame.bytes() as u64 <= u64::from(self.terms.hello.frame_bytes),
            "a frame of {} bytes came to a client that takes {}",
            frame.bytes(),
            self.terms.hello.frame_bytes
        );
        match kind {
            kind::HELLO => must!(self.hello == Hello::default(), "a second hello came"),
            kind::PING | kind::PONG => must!(frame.body.len() == 8, "a ping or pong of {} bytes", frame.body.len()),
            kind::CREDIT => {
                let mut from = Reader::new(&frame.body);
                if channel == 0 {
                    self.may_send += i64::from(from.u32()?);
                }
                from.end()?;
            }
            kind::GOAWAY => {
                let mut from = Reader::new(&frame.body);
                let last = from.u32()?;
                let why = Refused::decode(from.rest())?;
                must!(
                    last <= self.last,
                    "a goaway names the channel {last}, and {} was the last call",
                    self.last
                );
                self.goaway = Some(GoAway { last, why });
            }
            kind::DATA | kind::END | kind::ERROR => self.of_channel(&frame)?,
            other => broken!("a frame of kind {other} came from the server"),
        }
        match kind {
            kind::PING => {
                let pong = Frame::new(0, kind::PONG, Writer::default().bytes(&frame.body));
                self.send_together(&[pong]).await
            }
            kind::CREDIT | kind::GOAWAY => Ok(()),
            _ => {
                self.came.push_back(frame);
                self.give_back().await
            }
        }
    }

    fn of_channel(&mut self, frame: &Frame) -> Step<()> {
        let channel = frame.channel;
        let Some(left) = self.open.get_mut(&channel) else {
            let why = if channel <= self.last { "is over" } else { "no call has" };
            broken!("a frame of kind {} came on channel {channel}, which {why}", frame.kind);
        };
        if frame.kind == kind::ERROR {
            Refused::decode(&frame.body)?;
        }
        if frame.kind != kind::DATA {
            self.open.remove(&channel);
            return Ok(());
        }
        must!(
            *left > 0,
            "a message came on channel {channel}, whose credit was {left}"
        );
        must!(
            self.may_come > 0,
            "a message came while the credit of the connection was {}",
            self.may_come
        );
        *left -= frame.bytes() as i64;
        self.may_come -= frame.bytes() as i64;
        Ok(())
    }

    async fn give_back(&mut self) -> Step<()> {
        let used = i64::from(self.terms.hello.credit) - self.may_come;
        if !self.terms.gives_back || used < i64::from(self.terms.hello.credit / 4) {
            return Ok(());
        }
        self.give(0, u32::try_from(used).unwrap_or(u32::MAX)).await
    }
}

/// What a check expects to be refused with this code.
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Refused>, code: Code) -> Step<Refused> {
    match answer {
        Err(refused) if refused.code == code => Ok(refused),
        Err(refused) => broken!("the server refused it with {refused}, not with {}", code.name),
        Ok(came) => Err(Fault::Broken(format!(
            "the server did not refuse it with {}: {came:?}",
            code.name
        ))),
    }
}
