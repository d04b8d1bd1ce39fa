//! Follows that begin where somebody who consumed before left off.

use streamkit_protocol::SpaceOffset;

use super::places::{InSpace, OfSegment, Place, Places};
use crate::asked::Follow;
use crate::error::Error;

impl Follow {
    /// The same follow, which has one segment as its only part, from this sequence on; 0: from the first that there is. It is composed by the client, as over
    /// v1, whatever the server speaks, and so are those from its cursors. Its filter is to be set before.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it has other parts.
    pub fn from_sequence(self, sequence: u64) -> Result<Self, Error> {
        self.begin(|place| match place {
            Place::Segment(OfSegment { next, .. }) => {
                *next = sequence;
                true
            }
            Place::Space(_) => false,
        })
    }

    /// The same of a follow that has one space, or parts of one, behind the entry of an offset.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it has other parts, or the offset is one of another space.
    pub fn behind_offset(self, offset: SpaceOffset) -> Result<Self, Error> {
        self.begin(|place| match place {
            Place::Space(InSpace { space, last, .. }) if space.as_str() == offset.space => {
                *last = Some(offset);
                true
            }
            Place::Space(_) | Place::Segment(_) => false,
        })
    }

    fn begin(mut self, begin: impl FnOnce(&mut Place) -> bool) -> Result<Self, Error> {
        let mut places = Places::new(&self.parts, &self.filter)?;
        let fits = match &mut places.all[..] {
            [place] => begin(place),
            _ => false,
        };
        if !fits {
            let why = "invalid follow: where it begins is not a place of its one part".to_owned();
            return Err(Error::Invalid(why));
        }
        self.behind = places.cursor();
        Ok(self)
    }
}
