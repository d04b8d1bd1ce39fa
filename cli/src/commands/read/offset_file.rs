//! The file in which `consume` keeps how far a space was read: one line, the offset, its store and a checksum over both. A file of
//! another store or another space, or one that was cut, is told and never read on from.

use std::path::Path;

use streamkit_client::{LexKey, SpaceOffset};
use uuid::Uuid;

use crate::failure::Failure;
use crate::files;

/// An offset as it is kept, or as it was given by hand.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) offset: LexKey,
    /// Unknown of an offset given by hand.
    pub(crate) store: Option<Uuid>,
}

/// What a file says of an offset.
fn line(offset: &LexKey, store: Uuid) -> String {
    let said = format!("{offset} store={store}");
    let sum = crc32fast::hash(said.as_bytes());
    format!("{said} crc32={sum:08x}")
}

/// Reads a line as [`line()`] writes it.
fn parse(text: &str) -> Option<Kept> {
    let mut words = text.split(' ');
    let offset = LexKey::from_hex(words.next()?).ok()?;
    let store: Uuid = words.next()?.strip_prefix("store=")?.parse().ok()?;
    let same = line(&offset, store) == text;
    same.then_some(Kept {
        offset,
        store: Some(store),
    })
}

/// What `--after` takes: an offset, or the line of such a file.
pub(crate) fn after(text: &str) -> Result<Kept, String> {
    if text.contains(' ') {
        return parse(text).ok_or_else(|| "this is no offset, or not a whole line of an offset file".to_owned());
    }
    let offset = LexKey::from_hex(text).map_err(|error| error.to_string())?;
    Ok(Kept { offset, store: None })
}

impl Kept {
    /// The offset, if it is one of this store and space.
    pub(crate) fn of(self, store: Uuid, space: &str) -> Result<LexKey, Failure> {
        if let Some(other) = self.store.filter(|kept| *kept != store) {
            return Err(
                Failure::new(format!("the offset is one of the store {other}, not of {store}"))
                    .hint("read that store with --store, or start from the first entry with another file"),
            );
        }
        match SpaceOffset::decode(&self.offset) {
            Ok(offset) if offset.space == space => Ok(self.offset),
            Ok(offset) => Err(Failure::new(format!(
                "the offset is one of the space {:?}, not of {space:?}",
                offset.space
            ))),
            Err(error) => Err(Failure::new(error.to_string())),
        }
    }
}

/// The offset in a file; none if there is no file yet. The folder is there, and takes files: what is read can be kept.
pub(crate) fn read(file: &Path, store: Uuid, space: &str) -> Result<Option<LexKey>, Failure> {
    let during = |error: std::io::Error| Failure::from(error).during(file.display());
    files::check_place(file).map_err(during)?;
    let text = match files::read_small(file, 4096) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(during)?,
    };
    let text = String::from_utf8(text).unwrap_or_default();
    let Some(kept) = parse(text.trim_end()) else {
        return Err(Failure::new(format!(
            "{} holds no whole line of offset, store and checksum",
            file.display()
        ))
        .hint(match LexKey::from_hex(text.trim()) {
            Ok(_) if !text.trim().is_empty() => {
                "an offset without a checksum may be cut off: if it is whole, give it by --after and name another file next time"
            }
            _ => "remove it to start from the first entry",
        }));
    };
    kept.of(store, space)
        .map(Some)
        .map_err(|failure| failure.during(file.display()))
}

/// Keeps an offset, durable before it returns.
pub(crate) fn write(file: &Path, store: Uuid, offset: &LexKey) -> Result<(), Failure> {
    let kept = files::replace(file, format!("{}\n", line(offset, store)).as_bytes());
    kept.map_err(|error| Failure::from(error).during(file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_offset() -> LexKey {
        let offset = SpaceOffset {
            space: "s".to_owned(),
            timestamp: 5,
            segment: "a".to_owned(),
            sequence: 7,
        };
        offset.encode()
    }

    #[test]
    fn a_line_that_is_cut_or_changed_anywhere_is_no_offset() {
        let (offset, store) = (some_offset(), Uuid::from_u128(7));
        let whole = line(&offset, store);
        let kept = parse(&whole).unwrap();
        assert_eq!((kept.offset, kept.store), (offset, Some(store)));
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_none(), "{end}");
            let mut changed = whole.clone().into_bytes();
            changed[end] ^= 1;
            assert!(parse(&String::from_utf8(changed).unwrap()).is_none(), "{end}");
        }
        assert!(parse(&format!("{whole} ")).is_none());
        assert!(parse(&format!("{whole}{whole}")).is_none());
    }

    #[test]
    fn an_offset_of_another_store_or_space_is_refused() {
        let (offset, store) = (some_offset(), Uuid::from_u128(7));
        let kept = || after(&line(&offset, store)).unwrap();
        assert!(kept().of(store, "s").is_ok());
        assert!(kept().of(Uuid::from_u128(8), "s").is_err());
        assert!(kept().of(store, "t").is_err());
        assert!(after(&offset.to_string()).unwrap().of(Uuid::from_u128(8), "s").is_ok());
        assert!(after(&offset.to_string()).unwrap().of(store, "t").is_err());
    }
}
