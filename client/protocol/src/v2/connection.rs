//! Frames of the connection: what each side allows, and its end.

use streamkit_record::Cursor;

use super::error::CallError;
use super::frame::{Frame, Kind, frame};
use super::malformed::Malformed;
use super::parts::{end, put_text16, text16};

/// The first frame of each side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Most bytes of a frame that its sender takes, head included.
    pub frame_bytes: u32,
    /// Channels that may be open at a time; a client allows none.
    pub channels: u32,
    /// Bytes that the other side may send at first.
    pub credit: u32,
    /// What its sender can do beyond the plain protocol. One that begins with `!` the other side has to know.
    pub features: Vec<String>,
}

impl Hello {
    /// Writes its frame. It has as many features as 65 535 allow.
    pub fn put(&self, out: &mut Vec<u8>) {
        frame(
            out,
            (0, Kind::Hello),
            |_| {},
            |out| {
                for number in [self.frame_bytes, self.channels, self.credit] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                let features = &self.features[..self.features.len().min(usize::from(u16::MAX))];
                out.extend_from_slice(&(features.len() as u16).to_le_bytes());
                for feature in features {
                    put_text16(out, feature);
                }
            },
        );
    }

    /// Reads the body of one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(of: &Frame) -> Result<Self, Malformed> {
        let mut from = Cursor::new(&of.body);
        let (frame_bytes, channels, credit) = (from.u32()?, from.u32()?, from.u32()?);
        let features = (0..from.u16()?).map(|_| Ok(text16(&mut from)?.to_owned()));
        let features = features.collect::<Result<_, Malformed>>()?;
        end(&from)?;
        Ok(Self {
            frame_bytes,
            channels,
            credit,
            features,
        })
    }

    /// Whether its sender has a feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features
            .iter()
            .any(|has| has.strip_prefix('!').unwrap_or(has) == feature)
    }

    /// The first feature that its sender requires and that is not among these.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        let mut required = self.features.iter().filter_map(|feature| feature.strip_prefix('!'));
        required.find(|feature| !known.contains(feature))
    }
}

/// Further bytes that whoever hears it may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credit {
    /// On which channel; 0: on the connection.
    pub channel: u32,
    /// How many.
    pub bytes: u32,
}

impl Credit {
    /// Writes its frame.
    pub fn put(&self, out: &mut Vec<u8>) {
        let body = |out: &mut Vec<u8>| out.extend_from_slice(&self.bytes.to_le_bytes());
        frame(out, (self.channel, Kind::Credit), |_| {}, body);
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(of: &Frame) -> Result<Self, Malformed> {
        let mut from = Cursor::new(&of.body);
        let bytes = from.u32()?;
        end(&from)?;
        Ok(Self {
            channel: of.channel,
            bytes,
        })
    }
}

/// The server begins no further calls on this connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoAway {
    /// The last call that was begun; 0: none.
    pub last: u32,
    /// Why.
    pub why: CallError,
}

impl GoAway {
    /// Writes its frame.
    pub fn put(&self, out: &mut Vec<u8>) {
        frame(
            out,
            (0, Kind::GoAway),
            |_| {},
            |out| {
                out.extend_from_slice(&self.last.to_le_bytes());
                self.why.put(out);
            },
        );
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(of: &Frame) -> Result<Self, Malformed> {
        let mut from = Cursor::new(&of.body);
        let last = from.u32()?;
        let why = CallError::decode(&of.body.slice(from.at()..))?;
        Ok(Self { last, why })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Class, Code};
    use super::*;

    fn came(put: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let mut out = Vec::new();
        put(&mut out);
        Frame::take(&mut Bytes::from(out)).unwrap().unwrap()
    }

    fn hello() -> Hello {
        Hello {
            frame_bytes: 1,
            channels: 2,
            credit: 3,
            features: vec!["zstd".into(), "!later".into()],
        }
    }

    #[test]
    fn what_is_of_the_connection_comes_out_as_it_was_put_in() {
        assert_eq!(Hello::decode(&came(|out| hello().put(out))), Ok(hello()));
        let credit = Credit { channel: 5, bytes: 6 };
        assert_eq!(Credit::decode(&came(|out| credit.put(out))), Ok(credit));
        let goaway = GoAway {
            last: 7,
            why: CallError::new(Code::ShuttingDown, Class::Transient, "the server stops"),
        };
        assert_eq!(GoAway::decode(&came(|out| goaway.put(out))), Ok(goaway));
    }

    #[test]
    fn a_required_feature_that_nobody_knows_is_named() {
        assert_eq!(hello().unknown(&["zstd"]), Some("later"));
        assert_eq!(hello().unknown(&["later"]), None);
        assert!(hello().has("zstd") && hello().has("later") && !hello().has("!later"));
    }

    #[test]
    fn a_hello_that_is_cut_or_has_more_is_malformed() {
        let whole = came(|out| hello().put(out));
        for end in 0..whole.body.len() {
            let cut = Frame {
                body: whole.body.slice(..end),
                ..whole.clone()
            };
            assert!(Hello::decode(&cut).is_err(), "{end}");
        }
        let more = Frame {
            body: [&whole.body[..], b"x"].concat().into(),
            ..whole
        };
        assert!(Hello::decode(&more).is_err());
    }
}
