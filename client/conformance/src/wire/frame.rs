//! Frames: twelve bytes of head, fields, and what the kind says.

use super::bytes::{Read, Reader, Writer, length16, length32};

/// Bytes of a head.
pub const HEAD_BYTES: usize = 12;

/// The kinds of frames, by their numbers.
pub mod kind {
    /// The first of each side.
    pub const HELLO: u8 = 1;
    /// Asks for a pong.
    pub const PING: u8 = 2;
    /// Repeats what a ping had.
    pub const PONG: u8 = 3;
    /// Further bytes that may come.
    pub const CREDIT: u8 = 4;
    /// No further calls are begun.
    pub const GOAWAY: u8 = 5;
    /// Opens a channel.
    pub const CALL: u8 = 16;
    /// A message of the server.
    pub const DATA: u8 = 17;
    /// The result.
    pub const END: u8 = 18;
    /// What went wrong.
    pub const ERROR: u8 = 19;
    /// The client wants no more.
    pub const CANCEL: u8 = 20;
    /// A further message of the client.
    pub const MORE: u8 = 21;
}

/// A frame, sent or received.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Frame {
    /// Its channel; 0: the connection.
    pub channel: u32,
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its fields, as they are written.
    pub fields: Vec<u8>,
    /// What stands behind them.
    pub body: Vec<u8>,
}

impl Frame {
    /// One without flags and fields.
    pub fn new(channel: u32, kind: u8, body: Writer) -> Self {
        Self {
            channel,
            kind,
            body: body.0,
            ..Self::default()
        }
    }

    /// The same with a field behind the others.
    #[must_use]
    pub fn field(mut self, is_required: bool, name: &str, value: &[u8]) -> Self {
        let name_bytes = u8::try_from(name.len()).expect("checks give fields short names");
        let head = Writer::default().u8(is_required.into()).u8(name_bytes);
        let field = head.u16(length16(value)).bytes(name.as_bytes()).bytes(value);
        self.fields.extend(field.0);
        self
    }

    /// Bytes of all of it, as credit counts them.
    pub fn bytes(&self) -> usize {
        HEAD_BYTES + self.fields.len() + self.body.len()
    }

    /// As it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let head = Writer::default()
            .u32(length32(&self.fields) + length32(&self.body))
            .u32(self.channel)
            .u8(self.kind)
            .u8(self.flags)
            .u16(length16(&self.fields));
        head.bytes(&self.fields).bytes(&self.body).0
    }
}

/// The frames of a message that a server sent to a client without features.
pub fn frames(message: &[u8]) -> Read<Vec<Frame>> {
    let mut left = Reader::new(message);
    let mut frames = Vec::new();
    while !left.is_empty() {
        frames.push(take(&mut left).map_err(|why| format!("a message that is not a row of frames: {why}"))?);
    }
    match frames.is_empty() {
        true => Err("a message without a frame".to_owned()),
        false => Ok(frames),
    }
}

fn take(left: &mut Reader<'_>) -> Read<Frame> {
    let (body_bytes, channel) = (left.u32()? as usize, left.u32()?);
    let (kind, flags, fields_bytes) = (left.u8()?, left.u8()?, usize::from(left.u16()?));
    let body = left.bytes(body_bytes)?;
    if flags != 0 {
        return Err(format!(
            "a frame of kind {kind} has the flags {flags}, and no feature was offered"
        ));
    }
    let fields = body.get(..fields_bytes);
    let fields = fields.ok_or_else(|| format!("{fields_bytes} bytes of fields in a body of {body_bytes}"))?;
    let mut each = Reader::new(fields);
    while !each.is_empty() {
        let is_required = each.flag()?;
        let (name_bytes, value_bytes) = (each.u8()?, each.u16()?);
        let name = each.bytes(name_bytes.into())?;
        each.bytes(value_bytes.into())?;
        if is_required {
            return Err(format!("a required field that no client knows: {name:?}"));
        }
    }
    Ok(Frame {
        channel,
        kind,
        flags,
        fields: fields.to_vec(),
        body: body[fields_bytes..].to_vec(),
    })
}
