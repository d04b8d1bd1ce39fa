//! What reads and follows tell: the messages of a follow, the result of a read.

use bytes::Bytes;
use streamkit_record::{Cursor, LogCursor};

use super::malformed::Malformed;
use super::parts::end;
use super::read::{cursor, put_cursor};

/// A message of a follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Entries, and the place behind them.
    Batch(LogCursor, Bytes),
    /// All that was there has been told. It comes once.
    CaughtUp(LogCursor),
    /// Nothing new up to here.
    At(LogCursor),
}

/// A message of a read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadBatch {
    /// The place behind the last entry, from which a read that is cut off goes on; of a segment, and newest first, empty.
    pub cursor: LogCursor,
    /// The entries.
    pub batch: Bytes,
}

/// The result of a read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadDone {
    /// How many entries came.
    pub entries: u64,
    /// The place behind the last of them in the log; of a segment, none.
    pub cursor: LogCursor,
}

impl Told {
    const BATCH: u8 = 1;
    const CAUGHT_UP: u8 = 2;
    const AT: u8 = 3;

    /// Writes what stands before a batch; its pieces come next.
    pub fn put_batch(out: &mut Vec<u8>, behind: &LogCursor) {
        out.push(Self::BATCH);
        put_cursor(out, behind);
    }

    /// Writes it.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Batch(behind, batch) => {
                Self::put_batch(out, behind);
                out.extend_from_slice(batch);
            }
            Self::CaughtUp(at) => {
                out.push(Self::CAUGHT_UP);
                put_cursor(out, at);
            }
            Self::At(at) => {
                out.push(Self::AT);
                put_cursor(out, at);
            }
        }
    }

    /// Reads it; a batch shares the bytes of `message`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(message: &Bytes) -> Result<Self, Malformed> {
        let mut from = Cursor::new(message);
        let kind = from.u8()?;
        let at = cursor(&mut from)?;
        if kind == Self::BATCH {
            return Ok(Self::Batch(at, message.slice(from.at()..)));
        }
        end(&from)?;
        match kind {
            Self::CAUGHT_UP => Ok(Self::CaughtUp(at)),
            Self::AT => Ok(Self::At(at)),
            _ => Err(Malformed("a message of a follow of an unknown kind")),
        }
    }
}

impl ReadBatch {
    /// Writes what stands before the batch; its pieces come next.
    pub fn put_head(out: &mut Vec<u8>, behind: &LogCursor) {
        put_cursor(out, behind);
    }

    /// Reads it; the batch shares the bytes of `message`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(message: &Bytes) -> Result<Self, Malformed> {
        let mut from = Cursor::new(message);
        let cursor = cursor(&mut from)?;
        let batch = message.slice(from.at()..);
        Ok(Self { cursor, batch })
    }
}

impl ReadDone {
    /// Writes it.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.entries.to_le_bytes());
        put_cursor(out, &self.cursor);
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let entries = from.u64()?;
        let cursor = cursor(&mut from)?;
        end(&from)?;
        Ok(Self { entries, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_comes_out_as_it_was_put_in_and_cut_is_malformed() {
        let at = LogCursor::new(Bytes::from_static(&[7; 29])).unwrap();
        for told in [
            Told::Batch(at.clone(), Bytes::new()),
            Told::CaughtUp(at.clone()),
            Told::At(LogCursor::default()),
        ] {
            let mut out = Vec::new();
            told.put(&mut out);
            let out = Bytes::from(out);
            assert_eq!(Told::decode(&out), Ok(told));
            for end in 0..out.len() {
                assert!(Told::decode(&out.slice(..end)).is_err(), "{end}");
            }
        }
        let done = ReadDone { entries: 5, cursor: at };
        let mut out = Vec::new();
        done.put(&mut out);
        assert_eq!(ReadDone::decode(&out), Ok(done));
        assert!(ReadDone::decode(&out[..out.len() - 1]).is_err());
    }

    #[test]
    fn a_message_of_a_read_is_a_cursor_and_what_stands_behind_it() {
        for cursor in [
            LogCursor::default(),
            LogCursor::new(Bytes::from_static(&[7; 29])).unwrap(),
        ] {
            let mut out = Vec::new();
            ReadBatch::put_head(&mut out, &cursor);
            let head = out.len();
            out.extend_from_slice(b"pieces");
            let out = Bytes::from(out);
            let batch = Bytes::from_static(b"pieces");
            assert_eq!(ReadBatch::decode(&out), Ok(ReadBatch { cursor, batch }));
            for end in 0..head {
                assert!(ReadBatch::decode(&out.slice(..end)).is_err(), "{end}");
            }
        }
    }

    #[test]
    fn a_batch_is_what_stands_behind_its_cursor() {
        let told = Told::Batch(LogCursor::default(), Bytes::from_static(b"pieces"));
        let mut out = Vec::new();
        told.put(&mut out);
        assert_eq!(Told::decode(&out.into()), Ok(told));
    }
}
