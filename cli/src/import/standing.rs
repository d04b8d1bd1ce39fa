//! What segments hold of an input already. An entry's metadata says which row of which source it was, and has the digest of all
//! rows up to it. So a segment's last entry tells where to go on, and whether this is the input that the rows came from: it is
//! if its own digest at that row is the same. Names only help to say what is meant.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use streamkit_client::{ConsumeSegment, Entry, Error, StoreClient};

use super::rows::Row;
use crate::failure::Failure;
use crate::input::stem;

/// Segments looked at, or written to, at the same time.
pub(super) const SEGMENTS_AT_ONCE: usize = 512;

/// Where an import goes, and under which name.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) store: StoreClient,
    pub(super) space: String,
    /// The name in every entry's metadata.
    pub(super) source: String,
    /// Whether that name was given on purpose. A file's own name is not: the same file can be written in several ways, and
    /// several files in the same way.
    pub(super) named: bool,
    /// Whether rows are stored that stand there under another name.
    pub(super) again: bool,
}

/// Where a segment stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Standing {
    pub(super) head: u64,
    /// The last row of this source in it.
    pub(super) row: u64,
}

impl Standing {
    /// After this many rows more, up to `row`.
    pub(super) fn advance(&mut self, count: u64, row: u64) {
        self.head += count;
        self.row = self.row.max(row);
    }

    /// The rows that the segment does not hold yet.
    pub(super) fn new_rows<'a>(&self, rows: &'a [Row]) -> &'a [Row] {
        &rows[rows.partition_point(|row| row.number <= self.row)..]
    }
}

/// A row as an entry tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Told {
    row: u64,
    digest: u64,
}

impl Told {
    /// Whether one of these rows is this one, with all rows before it.
    fn is_among(self, rows: &[Row]) -> bool {
        let found = rows.binary_search_by_key(&self.row, |row| row.number);
        found.is_ok_and(|index| rows[index].digest == self.digest)
    }
}

/// What an entry says of where it came from.
enum Origin {
    /// No import, or nothing that can be told.
    Unknown,
    Own(Told),
    Other(Told),
}

impl Target {
    /// Looks through a segment for rows of this source, and for some of these rows under another name alone.
    pub(super) async fn search(&self, segment: &str, rows: &[Row]) -> Result<(Standing, Option<u64>), Failure> {
        let mut standing = Standing::default();
        let (mut digest, mut other) = (None, None);
        let mut entries = self.store.consume_segment(ConsumeSegment::all(&self.space, segment));
        while let Some(entry) = entries.try_next().await? {
            standing.head = entry.sequence;
            match self.origin(&entry)? {
                // An import's rows only go up: an earlier one behind a later one is somebody's copy.
                Origin::Own(told) if told.row < standing.row => {}
                Origin::Own(told) => (standing.row, digest) = (told.row, Some(told.digest)),
                Origin::Other(told) if told.is_among(rows) => {
                    let before = other.as_ref().map_or(0, |(_, row)| *row);
                    other = other.take_if(|_| before > told.row).or(Some((entry, told.row)));
                }
                Origin::Other(_) | Origin::Unknown => {}
            }
        }
        match other {
            // Those that stand here under this name too were stored twice on purpose.
            Some((entry, row)) if row > standing.row => Err(self.under_another_name(&entry, row)),
            _ => Ok((standing, digest)),
        }
    }

    /// Looks again at a segment where somebody else was first. What it holds of this source now and did not before must be among
    /// these rows.
    pub(super) async fn look_again(&self, segment: &str, before: Standing, rows: &[Row]) -> Result<Standing, Failure> {
        let (standing, digest) = match self.store.peek(&self.space, segment).await? {
            None => return Ok(Standing::default()),
            Some(last) => match self.origin(&last)? {
                Origin::Own(Told { row, digest }) if row > before.row => {
                    let head = last.sequence;
                    (Standing { head, row }, Some(digest))
                }
                _ => self.search(segment, rows).await?,
            },
        };
        let row = standing.row;
        match digest {
            Some(digest) if row != before.row && !(Told { row, digest }).is_among(rows) => {
                Err(self.another_input(segment, row))
            }
            _ => Ok(standing),
        }
    }

    fn origin(&self, entry: &Entry) -> Result<Origin, Failure> {
        let row = entry.metadata.get("row").and_then(|row| row.parse().ok());
        let (Some(row), Some(source)) = (row, entry.metadata.get("source")) else {
            return Ok(Origin::Unknown);
        };
        let (space, segment, own) = (&entry.space, &entry.segment, &self.source);
        let digest = entry.metadata.get("digest");
        let digest = digest.and_then(|digest| u64::from_str_radix(digest, 16).ok());
        if source == own {
            let Some(digest) = digest else {
                return Err(Failure::new(format!(
                    "{space}/{segment} holds rows of {source} without the digests that tell whether this is the same input"
                ))
                .hint("import into another space, or under a name of its own with --source"));
            };
            return Ok(Origin::Own(Told { row, digest }));
        }
        if !self.named && stem(source) == stem(own) {
            return Err(Failure::new(format!(
                "{space}/{segment} holds rows of {source}, which may be the same file"
            ))
            .hint(format!(
                "go on with it by --source {source}, or tell this one apart by --source {own}"
            )));
        }
        Ok(match digest {
            Some(digest) if !self.again => Origin::Other(Told { row, digest }),
            _ => Origin::Unknown,
        })
    }

    fn under_another_name(&self, entry: &Entry, row: u64) -> Failure {
        let Entry { space, segment, .. } = entry;
        let source = entry.metadata.get("source").map_or("", String::as_str);
        let rows = match row {
            1 => "the first row of this input stands".to_owned(),
            _ => format!("the first {row} rows of this input stand"),
        };
        Failure::new(format!(
            "{rows} in the space {space} already (the last of them in {segment}), under the name {source}"
        ))
        .hint(format!(
            "go on with them by --source {source}, or store them once more with --again"
        ))
    }

    /// Rows are new that stand before one that is stored.
    fn rows_before_are_gone(&self, segment: &str, row: u64) -> Failure {
        let (space, source) = (&self.space, &self.source);
        Failure::new(format!(
            "{space}/{segment} holds row {row} of {source}, but the space does not hold all rows of this input that stand long \
             before it: this is not what was imported under that name, was changed since, --segment-by is another, or a segment of \
             it was deleted or trimmed"
        ))
        .hint("what is stored stays as it is: import this into another space, or all of it once more under another name, with --source and --again")
    }

    fn another_input(&self, segment: &str, row: u64) -> Failure {
        let (space, source) = (&self.space, &self.source);
        Failure::new(format!(
            "{space}/{segment} holds row {row} of {source}, and this input's row {row}, or one before it, is another or goes \
             elsewhere: it is not what was imported under that name, was changed since, --segment-by is another, or a segment of \
             it was deleted or trimmed"
        ))
        .hint(
            "what is stored stays as it is: give another file a name of its own with --source, and import one that was mended into \
             another space",
        )
    }
}

/// What is known of a segment that was there when the import began.
enum Known {
    /// Its last entry is no row of this source: it is searched when the input comes upon it.
    Unsearched,
    /// Its last entry says that it is a row of this source; a copy of one says so too.
    Said(Standing),
    Standing(Standing),
}

impl Known {
    fn standing(&self) -> Standing {
        match self {
            Self::Said(standing) | Self::Standing(standing) => *standing,
            Self::Unsearched => Standing::default(),
        }
    }
}

/// The sequence of a row in a segment to which nobody else appends.
fn place(before: &HashMap<String, u64>, segment: &str, rows: &[Row], row: u64) -> u64 {
    before.get(segment).unwrap_or(&0) + rows.partition_point(|other| other.number <= row) as u64
}

/// Where the segments of a space stand.
pub(super) struct Standings {
    target: Target,
    all: HashMap<String, Known>,
    /// Rows of each segment in the parts of the input before.
    before: HashMap<String, u64>,
    /// Rows of this source that stand there, with their segments, of which the input was not seen yet to have the same.
    unproven: BTreeMap<(u64, String), u64>,
    /// The last entries that are rows of other sources.
    others: HashMap<Told, Entry>,
}

impl Standings {
    /// Looks at the last entry of every segment of the space.
    pub(super) async fn of(target: Target) -> Result<Self, Failure> {
        let known = match target.store.segments(&target.space).await {
            Err(Error::AccessDenied) => {
                return Err(Failure::token(
                    "access denied: the token does not allow reading this store, and an import reads which rows are stored",
                )
                .hint("check STREAMKIT_STORE, or get a token that may read and write"));
            }
            known => known?,
        };
        let mut standings = Self {
            target,
            all: HashMap::new(),
            before: HashMap::new(),
            unproven: BTreeMap::new(),
            others: HashMap::new(),
        };
        let target = standings.target.clone();
        let mut lasts = stream::iter(known)
            .map(async |segment| target.store.peek(&target.space, &segment).await)
            .buffer_unordered(SEGMENTS_AT_ONCE);
        while let Some(last) = lasts.try_next().await? {
            let Some(mut last) = last else { continue };
            let known = match target.origin(&last)? {
                Origin::Own(Told { row, digest }) => {
                    standings.unproven.insert((row, last.segment.clone()), digest);
                    let head = last.sequence;
                    Known::Said(Standing { head, row })
                }
                Origin::Other(told) => {
                    last.payload = Default::default();
                    standings.others.insert(told, last.clone());
                    Known::Unsearched
                }
                Origin::Unknown => Known::Unsearched,
            };
            standings.all.insert(last.segment, known);
        }
        Ok(standings)
    }

    /// A segment that was looked at, or that did not exist.
    pub(super) fn get(&self, segment: &str) -> Standing {
        self.all.get(segment).map(Known::standing).unwrap_or_default()
    }

    pub(super) fn set(&mut self, segment: String, standing: Standing) {
        self.all.insert(segment, Known::Standing(standing));
    }

    /// Looks at the next rows, the last of them `read`, and at what their segments hold, before any of these rows is stored.
    ///
    /// # Errors
    /// The input is not the one whose rows are stored, or is stored under another name.
    pub(super) async fn examine(&mut self, segments: &HashMap<String, Vec<Row>>, read: u64) -> Result<(), Failure> {
        self.doubt(segments, read);
        self.search(segments).await?;
        let target = &self.target;
        while let Some(first) = self.unproven.first_entry() {
            let ((row, segment), digest) = (first.key(), *first.get());
            let row = *row;
            if row > read {
                break;
            }
            let rows = segments.get(segment).map_or(&[][..], Vec::as_slice);
            if !(Told { row, digest }).is_among(rows) {
                return Err(target.another_input(segment, row));
            }
            let head = self.all.get(segment).map_or(0, |known| known.standing().head);
            if head < place(&self.before, segment, rows, row) {
                return Err(target.rows_before_are_gone(segment, row));
            }
            first.remove();
        }
        let mut new = false;
        for (segment, rows) in segments {
            let standing = self.all.get(segment).map(Known::standing).unwrap_or_default();
            let new_rows = standing.new_rows(rows);
            new |= !new_rows.is_empty();
            for row in new_rows.iter().filter(|_| !self.others.is_empty()) {
                let (row, digest) = (row.number, row.digest);
                if let Some(entry) = self.others.get(&Told { row, digest }) {
                    return Err(target.under_another_name(entry, row));
                }
            }
        }
        // An import stores all rows of a window before any of the next.
        match self.unproven.last_key_value() {
            Some(((row, segment), _)) if new => return Err(target.rows_before_are_gone(segment, *row)),
            _ => {}
        }
        for (segment, rows) in segments {
            *self.before.entry(segment.clone()).or_default() += rows.len() as u64;
        }
        Ok(())
    }

    /// Has those segments searched where the last entry, a row of this source, does not stand where the import put it unless
    /// others append too: it may be somebody's copy of an earlier row.
    fn doubt(&mut self, segments: &HashMap<String, Vec<Row>>, read: u64) {
        let said = self.unproven.keys().take_while(|(row, _)| *row <= read);
        let doubtful = said.filter(|(row, segment)| {
            let standing = match self.all.get(segment) {
                Some(Known::Said(standing)) => standing,
                _ => return false,
            };
            let rows = segments.get(segment);
            rows.is_some_and(|rows| place(&self.before, segment, rows, *row) != standing.head)
        });
        let doubtful: Vec<_> = doubtful.cloned().collect();
        for said in doubtful {
            self.unproven.remove(&said);
            self.all.insert(said.1, Known::Unsearched);
        }
    }

    /// Searches those of the segments that were not.
    async fn search(&mut self, segments: &HashMap<String, Vec<Row>>) -> Result<(), Failure> {
        let target = &self.target;
        let fresh = segments
            .iter()
            .filter(|(segment, _)| matches!(self.all.get(*segment), Some(Known::Unsearched)));
        let found: Vec<_> = stream::iter(fresh)
            .map(async |(segment, rows)| Ok::<_, Failure>((segment.clone(), target.search(segment, rows).await?)))
            .buffer_unordered(SEGMENTS_AT_ONCE)
            .try_collect()
            .await?;
        for (segment, (standing, digest)) in found {
            if let Some(digest) = digest {
                self.unproven.insert((standing.row, segment.clone()), digest);
            }
            self.set(segment, standing);
        }
        Ok(())
    }

    /// At the end of the input: every row that is said to be stored was in it.
    pub(super) fn prove_all(&self) -> Result<(), Failure> {
        match self.unproven.first_key_value() {
            Some(((row, segment), _)) => Err(self.target.another_input(segment, *row)),
            None => Ok(()),
        }
    }
}
