//! What segments hold of a source already. An entry's metadata says which row of which source it was, so a segment's head
//! tells where to go on; and its payload must be that row of this file, or this is another file of the same name.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use streamkit_client::{ConsumeSegment, Entry, NewRecord, StoreClient};

use super::failure::Failure;

/// Segments looked at, or written to, at the same time.
pub(crate) const SEGMENTS_AT_ONCE: usize = 512;

/// Rows of one segment with their numbers, in the file's order.
pub(crate) type Numbered = Vec<(u64, NewRecord)>;

/// Where an import goes, and under which name.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) store: StoreClient,
    pub(crate) space: String,
    /// The name in every entry's metadata.
    pub(crate) source: String,
    /// Whether that name was given on purpose. A file's own name is not: the same file can be written in several ways, and
    /// several files in the same way.
    pub(crate) named: bool,
}

/// Where a segment stands.
#[derive(Clone, Copy, Default)]
pub(crate) struct Standing {
    pub(crate) head: u64,
    /// The last row of this source in it.
    pub(crate) row: u64,
    /// Digest of that row as it is stored, until the file was seen to have the same.
    unproven: Option<u64>,
}

impl Standing {
    /// After this many rows more, up to `row`.
    pub(crate) fn advance(&mut self, count: u64, row: u64) {
        self.head += count;
        self.row = self.row.max(row);
    }

    /// The rows that the segment does not hold yet.
    pub(crate) fn new_rows<'a>(&self, rows: &'a [(u64, NewRecord)]) -> &'a [(u64, NewRecord)] {
        &rows[rows.partition_point(|(number, _)| *number <= self.row)..]
    }

    /// Compares the stored row with the file's, if the file has been read so far: up to row `read`, in which these are the
    /// segment's.
    fn prove(&mut self, rows: &[(u64, NewRecord)], read: u64) -> bool {
        let Some(stored) = self.unproven else {
            return true;
        };
        if self.row > read {
            return true;
        }
        let same = rows
            .binary_search_by_key(&self.row, |(number, _)| *number)
            .is_ok_and(|index| digest(&rows[index].1.payload) == stored);
        if same {
            self.unproven = None;
        }
        same
    }
}

fn digest(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

impl Target {
    /// Looks at a segment. Its head says what it holds, unless something else was appended after the import: then the whole
    /// segment is read.
    pub(crate) async fn find(&self, segment: &str) -> Result<Standing, Failure> {
        let Some(last) = self.store.peek(&self.space, segment).await? else {
            return Ok(Standing::default());
        };
        let head = last.sequence;
        if let Some((row, unproven)) = self.row_of(&last)? {
            return Ok(Standing { head, row, unproven });
        }
        let mut entries = self.store.consume_segment(ConsumeSegment::all(&self.space, segment));
        let (mut row, mut unproven) = (0, None);
        while let Some(entry) = entries.try_next().await? {
            if let Some(found) = self.row_of(&entry)? {
                (row, unproven) = found;
            }
        }
        Ok(Standing { head, row, unproven })
    }

    /// Which row of this source an entry is, with its digest.
    fn row_of(&self, entry: &Entry) -> Result<Option<(u64, Option<u64>)>, Failure> {
        let row = entry.metadata.get("row").and_then(|row| row.parse().ok());
        let (Some(row), Some(source)) = (row, entry.metadata.get("source")) else {
            return Ok(None);
        };
        if *source == self.source {
            return Ok(Some((row, Some(digest(&entry.payload)))));
        }
        let file = |name| Path::new(name).file_name();
        if !self.named && file(source) == file(&self.source) {
            let (space, segment, own) = (&entry.space, &entry.segment, &self.source);
            return Err(Failure::new(format!(
                "{space}/{segment} holds rows of {source}, which may be the same file"
            ))
            .hint(format!(
                "go on with it by --source {source}, or tell this one apart by --source {own}"
            )));
        }
        Ok(None)
    }

    /// As [`Standing::prove`].
    pub(crate) fn prove(
        &self,
        segment: &str,
        standing: &mut Standing,
        rows: &[(u64, NewRecord)],
        read: u64,
    ) -> Result<(), Failure> {
        match standing.prove(rows, read) {
            true => Ok(()),
            false => Err(self.another_file(segment, standing.row)),
        }
    }

    fn another_file(&self, segment: &str, row: u64) -> Failure {
        let (space, source) = (&self.space, &self.source);
        Failure::new(format!(
            "{space}/{segment} holds row {row} of {source}, and this input's row {row} is another or missing: it is not \
             what was imported under that name, or was changed since"
        ))
        .hint("give another file a name of its own with --source")
    }
}

/// Where the segments of a space stand that an import comes upon.
pub(crate) struct Standings {
    target: Target,
    /// `None`: it existed when the import began, and was not looked at yet.
    all: HashMap<String, Option<Standing>>,
}

impl Standings {
    pub(crate) async fn of(target: Target) -> Result<Self, Failure> {
        let known = target.store.segment_statuses(&target.space, "", 0).await?;
        let all = known.into_iter().map(|s| (s.segment, None)).collect();
        Ok(Self { target, all })
    }

    /// A segment that was looked at, or that did not exist.
    pub(crate) fn get(&self, segment: &str) -> Standing {
        self.all.get(segment).copied().flatten().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, segment: String, standing: Standing) {
        self.all.insert(segment, Some(standing));
    }

    /// Looks at the segments of the next rows, the last of them `read`, before any of these rows is stored.
    ///
    /// # Errors
    /// The input is not the one whose rows are stored.
    pub(crate) async fn examine(&mut self, segments: &HashMap<String, Numbered>, read: u64) -> Result<(), Failure> {
        let fresh: Vec<String> = segments
            .keys()
            .filter(|segment| matches!(self.all.get(*segment), Some(None)))
            .cloned()
            .collect();
        let target = &self.target;
        let found: Vec<_> = stream::iter(fresh)
            .map(async |segment| target.find(&segment).await.map(|standing| (segment, standing)))
            .buffer_unordered(SEGMENTS_AT_ONCE)
            .try_collect()
            .await?;
        for (segment, standing) in found {
            self.all.insert(segment, Some(standing));
        }
        let mut ahead = None;
        let mut gap = false;
        for (segment, rows) in segments {
            let standing = self.all.entry(segment.clone()).or_insert(None).get_or_insert_default();
            self.target.prove(segment, standing, rows, read)?;
            if standing.unproven.is_some() {
                ahead = Some((segment, standing.row));
            }
            gap |= !standing.new_rows(rows).is_empty();
        }
        // An import stores all rows of a window before any of the next.
        match ahead {
            Some((segment, row)) if gap => Err(self.target.another_file(segment, row)),
            _ => Ok(()),
        }
    }

    /// At the end of the input: every row that is said to be stored was in it.
    pub(crate) fn prove_all(&self) -> Result<(), Failure> {
        let mut seen = self.all.iter().filter_map(|(segment, s)| Some((segment, (*s)?)));
        match seen.find(|(_, standing)| standing.unproven.is_some()) {
            Some((segment, standing)) => Err(self.target.another_file(segment, standing.row)),
            None => Ok(()),
        }
    }
}
