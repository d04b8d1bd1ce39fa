//! The root of a store: where its history is, and where its log goes on.

use bytes::Bytes;
use uuid::Uuid;

use super::codec::{FieldReader, FieldWriter, Malformed};
use super::group::GroupId;
use super::place::Place;
use crate::medium::{BlobKind, BlobName, ExtentId};

const ROOT: [u8; 4] = *b"SKr1";
const MANIFEST: [u8; 4] = *b"SKm1";

/// What stands in the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreRoot {
    /// Which change made it. Whoever changes the root knows its own change again by it.
    pub change: Uuid,
    /// The first extent that is not history.
    pub live: LiveExtent,
    /// The last checkpoint.
    pub checkpoint: Option<CheckpointAt>,
    /// The youngest extents of the history, oldest first, without a hole.
    pub history: Vec<HistoryExtent>,
    /// Where the older ones are.
    pub older: Option<OlderHistory>,
    /// Extents of the history that may not be retired yet.
    pub retiring: Vec<ExtentId>,
}

/// The first extent that is not history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveExtent {
    /// Its number in the log, from 1.
    pub ordinal: u64,
    /// Its name.
    pub extent: ExtentId,
    /// The seal that named it; `None` for the first of a store.
    pub predecessor: Option<GroupId>,
}

/// Where a checkpoint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointAt {
    /// The name of its blob, without the kind.
    pub blob: Uuid,
    /// Which place of the log it is of.
    pub place: Place,
}

/// A sealed extent in a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryExtent {
    /// Its number in the log, from 1.
    pub ordinal: u64,
    /// Its name while it was live.
    pub extent: ExtentId,
    /// The name of its blob, without the kind.
    pub blob: Uuid,
    /// The checksum of the blob.
    pub checksum: u32,
}

/// A page of the manifest: extents of the history that the root lists no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OlderHistory {
    /// The name of the page's blob, without the kind.
    pub blob: Uuid,
    /// The last extent that is in it.
    pub last: u64,
}

/// What stands in a page of the manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestPage {
    /// Its extents, oldest first, without a hole.
    pub history: Vec<HistoryExtent>,
    /// Where older ones are.
    pub older: Option<OlderHistory>,
}

/// Where an extent of the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    /// On the medium, as an extent.
    Live,
    /// In this blob.
    History(HistoryExtent),
    /// This page of the manifest tells.
    Older(OlderHistory),
    /// Nowhere: the root is damaged.
    Nowhere,
}

impl StoreRoot {
    /// That of a store whose log begins in this extent.
    pub fn first(change: Uuid, extent: ExtentId) -> Self {
        Self {
            change,
            live: LiveExtent {
                ordinal: 1,
                extent,
                predecessor: None,
            },
            checkpoint: None,
            history: Vec::new(),
            older: None,
            retiring: Vec::new(),
        }
    }

    /// Where the extent of this number is.
    pub fn whereabouts(&self, ordinal: u64) -> Whereabouts {
        match ordinal >= self.live.ordinal {
            true => Whereabouts::Live,
            false => find(&self.history, self.older, ordinal),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut fields = FieldWriter::new(ROOT);
        fields.uuid(self.change).u64(self.live.ordinal).uuid(self.live.extent.0);
        fields.predecessor(self.live.predecessor);
        fields.option(self.checkpoint, |fields, checkpoint| {
            fields.uuid(checkpoint.blob).place(checkpoint.place);
        });
        fields.history(&self.history, self.older);
        fields.list(&self.retiring, |fields, extent| _ = fields.uuid(extent.0));
        fields.done()
    }

    /// The root that these bytes say.
    ///
    /// # Errors
    /// They are none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut taken = FieldReader::new(bytes, ROOT, "root")?;
        let change = taken.uuid()?;
        let live = LiveExtent {
            ordinal: taken.u64()?,
            extent: ExtentId(taken.uuid()?),
            predecessor: taken.predecessor()?,
        };
        let checkpoint = taken.option(|taken| {
            Ok(CheckpointAt {
                blob: taken.uuid()?,
                place: taken.place()?,
            })
        })?;
        let (history, older) = taken.history()?;
        let retiring = taken.list(|taken| Ok(ExtentId(taken.uuid()?)))?;
        taken.end()?;
        Ok(Self {
            change,
            live,
            checkpoint,
            history,
            older,
            retiring,
        })
    }
}

impl ManifestPage {
    /// Where the extent of this number is, which the root says is not live.
    pub fn whereabouts(&self, ordinal: u64) -> Whereabouts {
        find(&self.history, self.older, ordinal)
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut fields = FieldWriter::new(MANIFEST);
        fields.history(&self.history, self.older);
        fields.done()
    }

    /// The page that these bytes say.
    ///
    /// # Errors
    /// They are none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut taken = FieldReader::new(bytes, MANIFEST, "page of the manifest")?;
        let (history, older) = taken.history()?;
        taken.end()?;
        Ok(Self { history, older })
    }
}

impl CheckpointAt {
    /// The name of its blob.
    pub fn blob_name(&self) -> BlobName {
        let kind = BlobKind::Checkpoint;
        BlobName { kind, id: self.blob }
    }
}

impl HistoryExtent {
    /// The name of its blob.
    pub fn blob_name(&self) -> BlobName {
        let kind = BlobKind::History;
        BlobName { kind, id: self.blob }
    }
}

impl OlderHistory {
    /// The name of its blob.
    pub fn blob_name(&self) -> BlobName {
        let kind = BlobKind::Manifest;
        BlobName { kind, id: self.blob }
    }
}

fn find(history: &[HistoryExtent], older: Option<OlderHistory>, ordinal: u64) -> Whereabouts {
    if let Some(extent) = history.iter().find(|extent| extent.ordinal == ordinal) {
        return Whereabouts::History(*extent);
    }
    match older.filter(|older| ordinal <= older.last) {
        Some(older) => Whereabouts::Older(older),
        None => Whereabouts::Nowhere,
    }
}

impl FieldWriter {
    fn history(&mut self, history: &[HistoryExtent], older: Option<OlderHistory>) {
        self.list(history, |fields, extent| {
            fields.u64(extent.ordinal).uuid(extent.extent.0);
            fields.uuid(extent.blob).u32(extent.checksum);
        });
        self.option(older, |fields, older| _ = fields.uuid(older.blob).u64(older.last));
    }
}

impl FieldReader<'_> {
    fn history(&mut self) -> Result<(Vec<HistoryExtent>, Option<OlderHistory>), Malformed> {
        let history = self.list(|taken| {
            Ok(HistoryExtent {
                ordinal: taken.u64()?,
                extent: ExtentId(taken.uuid()?),
                blob: taken.uuid()?,
                checksum: taken.u32()?,
            })
        })?;
        let older = self.option(|taken| {
            Ok(OlderHistory {
                blob: taken.uuid()?,
                last: taken.u64()?,
            })
        })?;
        Ok((history, older))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::SlotNumber;

    fn extent(ordinal: u64) -> HistoryExtent {
        HistoryExtent {
            ordinal,
            extent: ExtentId(Uuid::from_u128(ordinal.into())),
            blob: Uuid::from_u128(100),
            checksum: 7,
        }
    }

    #[test]
    fn a_root_is_what_its_bytes_say_and_tells_where_each_extent_is() {
        let older = OlderHistory {
            blob: Uuid::from_u128(9),
            last: 2,
        };
        let mut root = StoreRoot::first(Uuid::from_u128(1), ExtentId(Uuid::from_u128(5)));
        root.live.ordinal = 5;
        root.history = vec![extent(3), extent(4)];
        root.older = Some(older);
        root.retiring = vec![extent(4).extent];
        root.checkpoint = Some(CheckpointAt {
            blob: Uuid::from_u128(8),
            place: Place {
                ordinal: 5,
                slot: SlotNumber(3),
                extent: root.live.extent,
            },
        });
        assert_eq!(StoreRoot::decode(&root.encode()), Ok(root.clone()));
        assert_eq!(root.whereabouts(5), Whereabouts::Live);
        assert_eq!(root.whereabouts(4), Whereabouts::History(extent(4)));
        assert_eq!(root.whereabouts(1), Whereabouts::Older(older));
        let page = ManifestPage {
            history: vec![extent(1), extent(2)],
            older: None,
        };
        assert_eq!(ManifestPage::decode(&page.encode()), Ok(page.clone()));
        assert_eq!(page.whereabouts(1), Whereabouts::History(extent(1)));
        assert_eq!(page.whereabouts(0), Whereabouts::Nowhere);
    }
}
