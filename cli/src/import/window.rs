//! Rows that are gathered before they are sent.

use std::collections::HashMap;

use super::rows::Row;

/// Rows gathered before they are sent, by segment: large enough that most segments get several rows per transaction. An
/// import that was interrupted is resumed with the same windows: with others, it may be taken for another file's.
const WINDOW_ROWS: usize = 65_536;

/// Bytes of payload after which a window is sent even with fewer rows.
const WINDOW_BYTES: usize = 64 << 20;

/// Rows of one pass, by segment in the file's order.
#[derive(Default)]
pub(super) struct Window {
    pub(super) rows: u64,
    bytes: usize,
    /// Number of the last row.
    pub(super) last: u64,
    /// Bytes of the input that were read for it and those before.
    pub(super) read: u64,
    pub(super) segments: HashMap<String, Vec<Row>>,
}

impl Window {
    pub(super) fn push(&mut self, segment: &str, row: Row) {
        self.rows += 1;
        self.last = row.number;
        self.bytes += row.record.payload.len();
        match self.segments.get_mut(segment) {
            Some(rows) => rows.push(row),
            None => {
                self.segments.insert(segment.to_owned(), vec![row]);
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows as usize >= WINDOW_ROWS || self.bytes >= WINDOW_BYTES
    }

    /// Its rows as they follow each other in the file: from row to row of each segment, as long as no row of another one stands
    /// between.
    pub(super) fn runs(&self) -> Vec<(&str, &[Row])> {
        let mut starts: Vec<(u64, &str, usize)> = Vec::with_capacity(self.rows as usize);
        for (segment, rows) in &self.segments {
            let placed = rows.iter().enumerate();
            starts.extend(placed.map(|(index, row)| (row.number, segment.as_str(), index)));
        }
        starts.sort_unstable();
        let runs = starts.chunk_by(|(_, one, _), (_, next, _)| one == next);
        runs.map(|run| {
            let (_, segment, first) = run[0];
            (segment, &self.segments[segment][first..first + run.len()])
        })
        .collect()
    }
}
