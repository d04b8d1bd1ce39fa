//! What a follower finds when it is told of a commit: nothing new, or a little that is in memory. Many follow one store, and each of them asks
//! at each commit; a change of threads would take longer than to read it.

use super::SpacesScan;
use crate::disk::nonblocking::without_waiting;
use crate::read::Scan;
use crate::read::gather::Gather;
use crate::read::listed::Listed;

/// Bytes of the log that are few.
const FEW_BYTES: u32 = 64 << 10;

impl<G: Gather> SpacesScan<G> {
    /// Goes on behind the end to which it has come, if there is little behind it. `None`: it could not, and stands where it stood.
    pub(super) fn read_few(&mut self) -> Option<Option<G>> {
        if self.starts.is_none() || !self.goes_on() || !self.is_at_end() {
            return None;
        }
        let tail = self.log.shown.end().tail;
        if tail <= self.end {
            return self.newest.is_some().then_some(None);
        }
        let few = tail.extent == self.end.extent && tail.byte - self.end.byte <= FEW_BYTES;
        if !few || !self.log.extents.can_read_without_waiting() {
            return None;
        }
        let before = (self.end, self.newest);
        let left = (self.choice.left, self.choice.bytes);
        if let Some(Ok(batch)) = without_waiting(|| self.next_batch()) {
            return Some(batch);
        }
        (self.end, self.newest) = before;
        (self.choice.left, self.choice.bytes) = left;
        (self.extent, self.next_place) = (self.end.extent + 1, (0, 0));
        (self.listed, self.resume) = (Listed::default(), None);
        self.found.clear();
        None
    }
}
