//! Statuses that came and were not told yet: the newest of each segment, in the order in which the segments changed.

use std::collections::{HashMap, VecDeque};

use streamkit_protocol::SegmentStatus;

/// Segments that are held. What comes beyond waits where it came from.
const SEGMENTS_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Pending {
    order: VecDeque<String>,
    newest: HashMap<String, SegmentStatus>,
}

impl Pending {
    /// Whether more is taken.
    pub(super) fn has_room(&self) -> bool {
        self.newest.len() < SEGMENTS_MAX
    }

    /// Takes a status; whether it takes the place of another, which is not told any more.
    pub(super) fn put(&mut self, status: SegmentStatus) -> bool {
        if let Some(known) = self.newest.get_mut(&status.segment) {
            // Statuses of a Go server overtake each other. Times never go back, as sequences do where a segment begins anew.
            if status.last_timestamp >= known.last_timestamp {
                *known = status;
            }
            return true;
        }
        self.order.push_back(status.segment.clone());
        self.newest.insert(status.segment.clone(), status);
        false
    }

    /// That of the segment that waits for the longest time.
    pub(super) fn pop(&mut self) -> Option<SegmentStatus> {
        self.newest.remove(&self.order.pop_front()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(segment: &str, last_sequence: u64, last_timestamp: i64) -> SegmentStatus {
        SegmentStatus {
            segment: segment.to_owned(),
            last_sequence,
            last_timestamp,
            ..SegmentStatus::default()
        }
    }

    #[test]
    fn of_each_segment_the_newest_status_is_told_in_the_order_in_which_they_changed() {
        let mut pending = Pending::default();
        assert!(!pending.put(status("b", 1, 5)) && !pending.put(status("a", 1, 5)));
        assert!(
            pending.put(status("b", 9, 7)) && pending.put(status("b", 8, 6)),
            "overtaken"
        );
        assert!(pending.put(status("a", 1, 8)), "begun anew");
        assert_eq!(pending.pop(), Some(status("b", 9, 7)));
        assert!(!pending.put(status("b", 10, 9)));
        assert_eq!(pending.pop(), Some(status("a", 1, 8)));
        assert_eq!(pending.pop(), Some(status("b", 10, 9)));
        assert_eq!(pending.pop(), None);
    }

    #[test]
    fn only_so_many_segments_are_held() {
        let mut pending = Pending::default();
        for n in 0..SEGMENTS_MAX {
            assert!(pending.has_room());
            pending.put(status(&n.to_string(), 1, 1));
        }
        assert!(!pending.has_room());
        pending.pop();
        assert!(pending.has_room());
    }
}
