//! What an error has beside its code and text.

use bytes::Bytes;
use streamkit_record::{Cursor, FencingToken, SegmentPath, Sequence};

use super::error::Code;
use super::malformed::Malformed;
use super::parts::{end, path, put_path, put_text16, text16};

/// What an error has beside its code and text, by its code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Details {
    /// Nothing.
    None,
    /// The feature or field that is not known.
    Name(String),
    /// The verb that is not known.
    Verb(u8),
    /// Each segment that is not as it was demanded, and its head.
    Conflict(Vec<(SegmentPath, Sequence)>),
    /// The position of the transaction that has the id, or the one that the store has come to.
    Position(u64),
    /// The token that counts no longer.
    Token(FencingToken),
    /// Segments that can no longer be read in full, as far as they are known.
    Damaged(Vec<SegmentPath>),
    /// What is not there any more.
    Removed(SegmentPath),
    /// The most that there may be.
    Most(u64),
}

impl Details {
    /// Writes them.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Name(name) => put_text16(out, name),
            Self::Verb(verb) => out.push(*verb),
            Self::Conflict(heads) => put_heads(out, heads),
            Self::Position(number) | Self::Token(FencingToken(number)) | Self::Most(number) => {
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Damaged(segments) => {
                let segments = &segments[..segments.len().min(usize::from(u16::MAX))];
                out.extend_from_slice(&(segments.len() as u16).to_le_bytes());
                segments.iter().for_each(|path| put_path(out, path));
            }
            Self::Removed(path) => put_path(out, path),
        }
    }

    /// Their bytes.
    pub fn bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.put(&mut out);
        out.into()
    }

    /// Reads those of an error with this code; of one that is not known, none.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(code: Code, bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Cursor::new(bytes);
        let details = match code {
            Code::UnknownFeature | Code::UnknownField => Self::Name(text16(&mut from)?.to_owned()),
            Code::UnknownVerb => Self::Verb(from.u8()?),
            Code::Conflict => {
                let heads = (0..from.u16()?).map(|_| Ok((path(&mut from)?, Sequence(from.u64()?))));
                Self::Conflict(heads.collect::<Result<_, Malformed>>()?)
            }
            Code::OtherRecords | Code::NotThereYet => Self::Position(from.u64()?),
            Code::FencedOff => Self::Token(FencingToken(from.u64()?)),
            Code::Damaged => {
                let segments = (0..from.u16()?).map(|_| path(&mut from));
                Self::Damaged(segments.collect::<Result<_, _>>()?)
            }
            Code::Removed => Self::Removed(path(&mut from)?),
            Code::TooManyEntries => Self::Most(from.u64()?),
            Code::Unknown(_) => return Ok(Self::None),
            Code::Protocol
            | Code::TokenExpired
            | Code::ShuttingDown
            | Code::TooSlow
            | Code::AccessDenied
            | Code::StoreUnavailable
            | Code::StoreDeleted
            | Code::Overloaded
            | Code::TooManyChannels
            | Code::Invalid
            | Code::DiskFull
            | Code::NotWritable
            | Code::UnknownOutcome
            | Code::OtherLog
            | Code::TooManyLeases => Self::None,
        };
        end(&from)?;
        Ok(details)
    }
}

fn put_heads(out: &mut Vec<u8>, heads: &[(SegmentPath, Sequence)]) {
    let heads = &heads[..heads.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(heads.len() as u16).to_le_bytes());
    for (path, head) in heads {
        put_path(out, path);
        out.extend_from_slice(&head.0.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_come_out_as_they_were_put_in_and_cut_are_malformed() {
        let path = SegmentPath::new("orders", "order-1").unwrap();
        for (code, details) in [
            (Code::UnknownField, Details::Name("later".into())),
            (Code::UnknownVerb, Details::Verb(99)),
            (Code::Conflict, Details::Conflict(vec![(path.clone(), Sequence(7))])),
            (Code::OtherRecords, Details::Position(8)),
            (Code::FencedOff, Details::Token(FencingToken(9))),
            (Code::Damaged, Details::Damaged(vec![path.clone(), path.clone()])),
            (Code::Removed, Details::Removed(path)),
            (Code::TooManyEntries, Details::Most(10)),
        ] {
            let bytes = details.bytes();
            assert_eq!(Details::decode(code, &bytes), Ok(details));
            for end in 0..bytes.len() {
                assert!(Details::decode(code, &bytes.slice(..end)).is_err(), "{code:?} {end}");
            }
        }
    }

    #[test]
    fn what_has_none_has_none() {
        for &code in Code::ALL {
            let more = Bytes::from(vec![0; 1000]);
            let read = Details::decode(code, &Bytes::new());
            assert!(
                read != Ok(Details::None) || Details::decode(code, &more).is_err(),
                "{code:?}"
            );
        }
        assert_eq!(
            Details::decode(Code::Unknown(9), &Bytes::from_static(b"x")),
            Ok(Details::None)
        );
    }
}
