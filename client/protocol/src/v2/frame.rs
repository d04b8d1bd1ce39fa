//! Frames: a head of twelve bytes, fields, and what the kind says. A WebSocket message holds one or more of them.

use bytes::{Buf as _, Bytes};

use super::compression::{pack, unpack, unpacked_bytes};
use super::fields::Fields;
use super::malformed::Malformed;

/// Bytes of a frame's head.
pub const HEAD_BYTES: usize = 12;

/// Most bytes of a frame that anybody takes: the largest transaction, and what is around it.
pub const FRAME_BYTES_MAX: usize = 32 << 20;

const _: () = assert!(streamkit_record::limits::TRANSACTION_ENCODED_BYTES_MAX + (64 << 10) < FRAME_BYTES_MAX);

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The first of each side.
    Hello = 1,
    /// Asks for a pong.
    Ping = 2,
    /// Repeats what a ping had.
    Pong = 3,
    /// Allows further bytes.
    Credit = 4,
    /// No further calls are begun.
    GoAway = 5,
    /// Opens a channel.
    Call = 16,
    /// A message of the server.
    Data = 17,
    /// The result, and the channel's end.
    End = 18,
    /// What went wrong, and the channel's end.
    Error = 19,
    /// The client wants no more.
    Cancel = 20,
    /// A message of the client.
    More = 21,
}

impl Kind {
    fn of(code: u8) -> Result<Self, Malformed> {
        Ok(match code {
            1 => Self::Hello,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Credit,
            5 => Self::GoAway,
            16 => Self::Call,
            17 => Self::Data,
            18 => Self::End,
            19 => Self::Error,
            20 => Self::Cancel,
            21 => Self::More,
            _ => return Err(Malformed("a frame of an unknown kind")),
        })
    }

    /// Whether its body may be compressed: of what is usually short, it would gain nothing.
    fn may_be_packed(self) -> bool {
        matches!(self, Self::Call | Self::Data)
    }

    /// Whether it is of the connection or of a channel; credit may be of both.
    fn may_be_on(self, channel: u32) -> bool {
        match self {
            Self::Hello | Self::Ping | Self::Pong | Self::GoAway => channel == 0,
            Self::Credit => true,
            Self::Call | Self::Data | Self::End | Self::Error | Self::Cancel | Self::More => channel != 0,
        }
    }
}

/// The flag of a frame whose body is compressed.
const PACKED: u8 = 1;

/// A frame that came. Its parts share the bytes of the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The channel; 0: the connection.
    pub channel: u32,
    /// What it is.
    pub kind: Kind,
    /// What extends it.
    pub fields: Fields,
    /// The rest, compressed if [`Frame::is_packed`].
    pub body: Bytes,
    /// Bytes that a compressed body has once it is unpacked.
    pub(super) unpacked: Option<usize>,
}

impl Frame {
    /// Takes the first frame off a message; `None` at its end.
    ///
    /// # Errors
    /// [`Malformed`]: nothing more of this connection can be read.
    pub fn take(message: &mut Bytes) -> Result<Option<Self>, Malformed> {
        if message.is_empty() {
            return Ok(None);
        }
        let head = message
            .first_chunk::<HEAD_BYTES>()
            .ok_or(Malformed("a message that ends in the head of a frame"))?;
        let [b0, b1, b2, b3, c0, c1, c2, c3, kind, flags, f0, f1] = *head;
        let body_bytes = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
        let channel = u32::from_le_bytes([c0, c1, c2, c3]);
        let fields_bytes = usize::from(u16::from_le_bytes([f0, f1]));
        let kind = Kind::of(kind)?;
        if flags & !PACKED != 0 {
            return Err(Malformed("a frame with an unknown flag"));
        }
        if !kind.may_be_on(channel) {
            return Err(Malformed("a frame of another kind than its channel's"));
        }
        if body_bytes > message.len() - HEAD_BYTES || fields_bytes > body_bytes {
            return Err(Malformed("a frame that is longer than its message"));
        }
        message.advance(HEAD_BYTES);
        let mut body = message.split_to(body_bytes);
        let fields = Fields::new(body.split_to(fields_bytes))?;
        let unpacked = match flags {
            0 => None,
            _ if !kind.may_be_packed() => return Err(Malformed("a compressed frame of a kind that is not")),
            _ => Some(unpacked_bytes(&body)?),
        };
        let came = Self {
            channel,
            kind,
            fields,
            body,
            unpacked,
        };
        match came.is_packed() && came.bytes() > FRAME_BYTES_MAX {
            true => Err(Malformed("a frame that is too large")),
            false => Ok(Some(came)),
        }
    }

    /// Bytes that it takes off the credit, if its kind does: those that it has once it is unpacked.
    pub fn bytes(&self) -> usize {
        HEAD_BYTES + self.fields.bytes() + self.unpacked.unwrap_or(self.body.len())
    }

    /// Whether its body is compressed: only between two sides that both have [`ZSTD`](super::ZSTD).
    pub fn is_packed(&self) -> bool {
        self.unpacked.is_some()
    }

    /// The same, not compressed. It allocates as many bytes as [`Frame::bytes`] tells.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn unpack(self) -> Result<Self, Malformed> {
        let Some(bytes) = self.unpacked else { return Ok(self) };
        Ok(Self {
            body: unpack(&self.body, bytes)?,
            unpacked: None,
            ..self
        })
    }
}

/// Writes a frame behind others: `fields` and `body` write what is in it.
pub fn frame(
    out: &mut Vec<u8>,
    (channel, kind): (u32, Kind),
    fields: impl FnOnce(&mut Vec<u8>),
    body: impl FnOnce(&mut Vec<u8>),
) {
    debug_assert!(kind.may_be_on(channel));
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&channel.to_le_bytes());
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    fields(out);
    let fields_end = out.len();
    body(out);
    let fields_bytes = u16::try_from(fields_end - start - HEAD_BYTES).expect("fields have at most 64 KiB");
    let body_bytes = u32::try_from(out.len() - start - HEAD_BYTES).expect("a frame has at most 32 MiB");
    out[start..start + 4].copy_from_slice(&body_bytes.to_le_bytes());
    out[start + 10..start + HEAD_BYTES].copy_from_slice(&fields_bytes.to_le_bytes());
}

/// Compresses the body of the frame that was written last, at `start`, if that makes it shorter.
pub fn pack_frame(out: &mut Vec<u8>, start: usize) {
    let fields_bytes = u16::from_le_bytes([out[start + 10], out[start + 11]]);
    let body_at = start + HEAD_BYTES + usize::from(fields_bytes);
    if !pack(out, body_at) {
        return;
    }
    let bytes = u32::try_from(out.len() - start - HEAD_BYTES).expect("it became shorter");
    out[start..start + 4].copy_from_slice(&bytes.to_le_bytes());
    out[start + 9] |= PACKED;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &mut Vec<u8>) {}

    #[test]
    fn frames_of_a_message_come_out_as_they_were_put_in() {
        let mut out = Vec::new();
        frame(&mut out, (7, Kind::Data), nothing, |out| out.extend_from_slice(b"abc"));
        frame(&mut out, (0, Kind::Ping), nothing, |out| out.extend_from_slice(&[9; 8]));
        let mut message = Bytes::from(out);
        let first = Frame::take(&mut message).unwrap().unwrap();
        assert_eq!((first.channel, first.kind, &*first.body), (7, Kind::Data, &b"abc"[..]));
        assert_eq!(first.bytes(), HEAD_BYTES + 3);
        let second = Frame::take(&mut message).unwrap().unwrap();
        assert_eq!((second.channel, second.kind), (0, Kind::Ping));
        assert_eq!(Frame::take(&mut message), Ok(None));
    }

    #[test]
    fn a_frame_cut_at_any_byte_is_malformed() {
        let mut whole = Vec::new();
        frame(&mut whole, (7, Kind::Call), nothing, |out| {
            out.extend_from_slice(b"abc")
        });
        for end in 1..whole.len() {
            assert!(
                Frame::take(&mut Bytes::copy_from_slice(&whole[..end])).is_err(),
                "{end}"
            );
        }
    }

    #[test]
    fn what_the_head_cannot_say_is_malformed() {
        let head = |change: &dyn Fn(&mut [u8])| {
            let mut out = Vec::new();
            frame(&mut out, (7, Kind::Data), nothing, nothing);
            change(&mut out);
            Frame::take(&mut Bytes::from(out)).is_err()
        };
        assert!(!head(&|_| {}));
        assert!(head(&|out| out[8] = 15), "an unknown kind");
        assert!(head(&|out| out[9] = 2), "an unknown flag");
        assert!(head(&|out| out[4] = 0), "data of the connection");
        assert!(head(&|out| out[8] = 1), "a hello of a channel");
        assert!(head(&|out| out[10] = 1), "fields longer than the body");
        assert!(head(&|out| out[3] = 255), "a body that is not there");
    }
}
