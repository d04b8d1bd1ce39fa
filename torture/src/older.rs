//! What a store may hold whose files are an older copy.

use streamkit_engine::Entry;

use crate::model::{Fate, Model};

impl Model {
    /// The files are an older copy: what was lost since may be there, as it was when nobody knew of it.
    pub fn doubt_what_was_lost(&mut self) {
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.fate == Fate::Lost) {
            attempt.fate = Fate::Open;
        }
    }

    /// Whether an entry may be missing in an older copy of the files: by a trim or a delete that was under way then, and that the
    /// present files do not hold.
    pub fn may_be_gone_in_older(&self, entry: &Entry) -> bool {
        let own = self.segment_named(&entry.path).map(|segment| &self.segments[segment]);
        own.is_some_and(|own| {
            let trims = own.open_trims.iter().copied().fold(own.decided.0, u64::max);
            own.open_delete || own.decided.1 || trims > entry.sequence.0
        })
    }
}
