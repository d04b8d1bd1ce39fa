//! How far of a shared log is in its copy on this host. Without it, or with one that is older than the copy, more of the log is read again, and
//! nothing else: so it is written now and then, and never waited for.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use streamkit_engine::{StoreId, Timestamp};

use crate::log::{FieldReader, FieldWriter, GroupId, Malformed, Place};

const BOOKMARK: [u8; 4] = *b"SKb1";

/// A place of the log, behind which the copy holds all transactions up to a number.
pub(crate) struct Bookmark {
    pub place: Place,
    /// The last valid group before it.
    pub last: Option<GroupId>,
    pub time: Timestamp,
    /// The number of the last transaction before it.
    pub applied: u64,
}

impl Bookmark {
    /// The one of a store; `None`: there is none that can be read.
    pub fn read(folder: &Path, store: StoreId) -> Option<Self> {
        let bytes = std::fs::read(path(folder, store)).ok()?;
        Self::decode(&bytes.into(), store).ok()
    }

    /// Replaces that of a store.
    pub fn write(&self, folder: &Path, store: StoreId) -> io::Result<()> {
        let path = path(folder, store);
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, self.encode(store))?;
        std::fs::rename(&temporary, &path)
    }

    fn encode(&self, store: StoreId) -> Bytes {
        let mut fields = FieldWriter::new(BOOKMARK);
        fields.uuid(store.0).place(self.place).predecessor(self.last);
        fields.i64(self.time.0).u64(self.applied);
        fields.done()
    }

    fn decode(bytes: &Bytes, store: StoreId) -> Result<Self, Malformed> {
        let mut taken = FieldReader::new(bytes, BOOKMARK, "bookmark")?;
        let of = taken.uuid()?;
        let bookmark = Self {
            place: taken.place()?,
            last: taken.predecessor()?,
            time: Timestamp(taken.i64()?),
            applied: taken.u64()?,
        };
        taken.end()?;
        match of == store.0 {
            true => Ok(bookmark),
            false => Err(Malformed("bookmark of this store")),
        }
    }
}

fn path(folder: &Path, store: StoreId) -> PathBuf {
    folder.join(store.0.to_string())
}
