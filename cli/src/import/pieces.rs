//! A range of a segment, read in pieces: a server may bound how many entries one read has.

use futures_util::StreamExt as _;
use streamkit_client::{ConsumeSegment, Entries, Entry, Error, StoreClient};

/// Entries of one read.
const ENTRIES: u64 = 50_000;

/// The entries of a range, in order and without a hole.
pub(crate) struct Pieces<'a> {
    store: &'a StoreClient,
    path: (&'a str, &'a str),
    next: u64,
    last: u64,
    piece: Option<Entries>,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(store: &'a StoreClient, path: (&'a str, &'a str), first: u64, last: u64) -> Self {
        Self {
            store,
            path,
            next: first,
            last,
            piece: None,
        }
    }

    /// The next one; `None` behind the last of the range.
    ///
    /// # Errors
    /// The read failed, or an entry that was there is not any more.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        if self.next > self.last {
            return Ok(None);
        }
        let mut is_fresh = false;
        loop {
            let piece = self.piece.get_or_insert_with(|| {
                is_fresh = true;
                let read = ConsumeSegment {
                    to: self.next.saturating_add(ENTRIES - 1).min(self.last),
                    ..ConsumeSegment::all(self.path.0, self.path.1).from(self.next)
                };
                self.store.consume_segment(read)
            });
            match piece.next().await.transpose()? {
                Some(entry) if entry.sequence == self.next => {
                    self.next += 1;
                    return Ok(Some(entry));
                }
                None if !is_fresh => self.piece = None,
                other => {
                    let got = other.map_or("nothing".to_owned(), |entry| entry.sequence.to_string());
                    let (space, segment) = self.path;
                    return Err(Error::Refused(format!(
                        "entry {} of {space}/{segment} was there and came not, but {got}: it was trimmed or deleted meanwhile",
                        self.next
                    )));
                }
            }
        }
    }
}
