//! The names of a store's files. One home for the rule and its inverse.

use std::path::{Path, PathBuf};

/// Its file's name.
pub const MANIFEST: &str = "backup.json";

/// A file that says of a backup's folder that an engine opened it.
pub(crate) const OPENED: &str = "opened";

/// A file that says of a data directory that its stores are copies of logs that stand elsewhere.
pub(crate) const COPIES: &str = "holds-copies";

/// What a file in a store's folder is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FileName {
    /// An extent of the log.
    Extent(u64),
    /// The index of a sealed extent.
    Index(u64),
    /// An extent being prepared; not part of the log.
    Spare(u64),
    /// The catalog at a position.
    Checkpoint,
    /// Which sealed extents an archive has, so that their files need not be here.
    Archived,
}

impl FileName {
    /// Its path in a store's folder.
    pub fn in_dir(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            FileName::Extent(number) => format!("{number:020}.extent"),
            FileName::Index(number) => format!("{number:020}.index"),
            FileName::Spare(number) => format!("{number:020}.spare"),
            FileName::Checkpoint => "checkpoint".to_owned(),
            FileName::Archived => "archived".to_owned(),
        })
    }

    /// Reads a name; `None` for files that are none of ours, or left over from an interrupted replacement.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "checkpoint" {
            return Some(FileName::Checkpoint);
        }
        if name == "archived" {
            return Some(FileName::Archived);
        }
        let (number, kind) = name.split_once('.')?;
        if number.len() != 20 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = number.parse().ok()?;
        match kind {
            "extent" => Some(FileName::Extent(number)),
            "index" => Some(FileName::Index(number)),
            "spare" => Some(FileName::Spare(number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for name in [
            FileName::Extent(1),
            FileName::Index(42),
            FileName::Spare(u64::MAX),
            FileName::Checkpoint,
            FileName::Archived,
        ] {
            let path = name.in_dir(Path::new("d"));
            assert_eq!(FileName::parse(path.file_name().unwrap().to_str().unwrap()), Some(name));
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "1.extent",
            "checkpoint.tmp",
            "0000000000000000000x.extent",
            "00000000000000000001.txt",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }
}
