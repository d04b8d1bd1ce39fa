//! Where a reader of the log is.

use super::codec::{FieldReader, FieldWriter, Malformed};
use crate::medium::{ExtentId, SlotNumber};

/// Behind all slots before it. Places of one store order like its log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Which extent of the log it is, from 1: extents have names and no order of their own.
    pub ordinal: u64,
    /// The next slot.
    pub slot: SlotNumber,
    /// The name of the extent.
    pub extent: ExtentId,
}

impl Place {
    /// The begin of an extent.
    pub fn begin(ordinal: u64, extent: ExtentId) -> Self {
        let slot = SlotNumber::FIRST;
        Self { ordinal, slot, extent }
    }

    /// Behind the next slot, which seals the extent or does not.
    #[must_use]
    pub fn behind(self, seal: Option<ExtentId>) -> Self {
        match seal {
            Some(next) => Self::begin(self.ordinal + 1, next),
            None => Self {
                slot: self.slot.next(),
                ..self
            },
        }
    }
}

impl FieldWriter {
    pub(crate) fn place(&mut self, place: Place) -> &mut Self {
        self.u64(place.ordinal).u64(place.slot.0).uuid(place.extent.0)
    }
}

impl FieldReader<'_> {
    pub(crate) fn place(&mut self) -> Result<Place, Malformed> {
        Ok(Place {
            ordinal: self.u64()?,
            slot: SlotNumber(self.u64()?),
            extent: ExtentId(self.uuid()?),
        })
    }
}
