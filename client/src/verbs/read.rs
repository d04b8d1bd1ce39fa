//! Reads: batches as they come, also over further connections, and the checks that they are what was asked for, in its order.

use streamkit_protocol::v2::{Batches, Call as Asked, Read as Reads, ReadBatch, ReadDone};
use streamkit_record::{Entry, Filter, ReadSource, SegmentPath, Sequence};

use super::again::Missed;
use super::came::{Came, Rest};
use super::lookup::status;
use super::order::{Disorder, Order};
use super::resuming::Resuming;
use crate::asked::Read;
use crate::call::Call;
use crate::error::Error;
use crate::position::Gap;
use crate::v2::{Channel, Heard, Patience, WINDOW_BYTES};

/// Most pairs of metadata that a filter names, and bytes of each text in it.
const FILTER_PAIRS_MAX: usize = 255;
const FILTER_TEXT_BYTES_MAX: usize = 65_535;

/// A read under way.
pub(crate) struct Reading {
    call: Call,
    /// All that was asked for.
    asked: Reads,
    /// `None` before it is opened, and while there is no connection.
    channel: Option<Channel>,
    batches: Batches,
    order: Option<Order>,
    /// How far it has come.
    came: Came,
    /// How many entries came over this channel.
    taken: u64,
    resuming: Resuming,
    /// Whether it goes on over another connection, and nothing came over that yet.
    has_come_back: bool,
    done: Option<ReadDone>,
}

impl Reading {
    /// Of what was asked for; nothing is sent yet.
    pub(crate) fn new(call: Call, read: Read) -> Result<Self, Error> {
        check(&read.filter)?;
        if matches!(&read.source, ReadSource::Log(_, cursor) if cursor.is_of_places()) {
            return Err(Error::UnfitCursor("it is of a follow over v1"));
        }
        let order = Some(Order::of(&read));
        let asked = Reads {
            credit: WINDOW_BYTES,
            is_backwards: read.newest_first,
            source: read.source,
            after: read.after,
            until: read.until,
            entries: read.entries,
            bytes: read.bytes,
            at_least: read.at_least,
            filter: read.filter,
        };
        Ok(Self {
            call,
            asked,
            channel: None,
            batches: Batches::default(),
            order,
            came: Came::default(),
            taken: 0,
            resuming: Resuming::default(),
            has_come_back: false,
            done: None,
        })
    }

    /// The same for who checks the order of its entries by other means.
    pub(crate) fn unchecked(call: Call, read: Read) -> Result<Self, Error> {
        let order = None;
        Ok(Self {
            order,
            ..Self::new(call, read)?
        })
    }

    /// The result, behind the last batch.
    pub(crate) fn done(&self) -> Option<&ReadDone> {
        self.done.as_ref()
    }

    /// The next entries; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        while self.done.is_none() {
            let heard = self.heard().await;
            if heard.is_ok() && std::mem::take(&mut self.has_come_back) {
                match self.is_still_there().await {
                    Ok(()) => {}
                    // Nothing of what was heard counts yet: it is read again.
                    Err(error) if error.is_transient() => {
                        self.channel = None;
                        self.resuming.go_on(&self.call, Missed::Unmade(error)).await?;
                        self.has_come_back = true;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            match heard {
                Ok(Heard::Message(message)) => {
                    let mut entries = Vec::with_capacity(message.len() / 256);
                    let ReadBatch { cursor, batch } = ReadBatch::decode(&message).map_err(Error::malformed)?;
                    self.batches.read(&batch, &mut entries).map_err(Error::malformed)?;
                    self.taken += entries.len() as u64;
                    self.check(&entries).await?;
                    self.came.cursor = cursor;
                    if !entries.is_empty() {
                        self.resuming.went_on();
                        return Ok(Some(entries));
                    }
                }
                Ok(Heard::End(result)) => {
                    let done = ReadDone::decode(&result).map_err(Error::malformed)?;
                    if done.entries != self.taken {
                        let (told, came) = (done.entries, self.taken);
                        return Err(Error::Protocol(format!("a read of {told} entries ended after {came}")));
                    }
                    self.done = Some(done);
                }
                Err(missed) => {
                    self.channel = None;
                    match self.came.rest(&self.asked) {
                        None => return Err(missed.into()),
                        Some(Rest::Read(_)) => self.resuming.go_on(&self.call, missed).await?,
                        Some(Rest::Nothing) => {
                            self.done = Some(ReadDone {
                                entries: self.came.entries,
                                cursor: self.came.cursor.clone(),
                            });
                        }
                    }
                    self.has_come_back = true;
                }
            }
        }
        Ok(None)
    }

    async fn heard(&mut self) -> Result<Heard, Missed> {
        let channel = match &mut self.channel {
            Some(channel) => channel,
            None => {
                let rest = match self.came.rest(&self.asked) {
                    Some(Rest::Read(rest)) => rest,
                    _ => self.asked.clone(),
                };
                let opened = self.resuming.open(&self.call, &Asked::Read(rest)).await?;
                self.taken = 0;
                self.channel.insert(opened)
            }
        };
        let heard = channel.next(Patience::new(self.call.timeout())).await;
        heard.map_err(Missed::Made)
    }

    /// A read of a segment that has gone on over another connection: whether what is left of it is still what it was.
    async fn is_still_there(&self) -> Result<(), Error> {
        let ReadSource::Segment(path, ..) = &self.asked.source else {
            return Ok(());
        };
        let Some(next) = self.came.next(self.asked.is_backwards) else {
            return Ok(());
        };
        let gap = Gap::new(path, next.0, next.0, self.came.last_time);
        let now = status(&self.call, path.space.as_str(), path.segment.as_str()).await?;
        gap.removed(&now).map_or(Ok(()), Err)
    }

    /// Whether entries are those that come next; if not, whether some were removed meanwhile.
    async fn check(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let before = self.came.last_time;
        self.came.take(entries, &self.asked)?;
        let Some(order) = &mut self.order else { return Ok(()) };
        match order.check(entries) {
            Ok(()) => Ok(()),
            Err(Disorder::Wrong(error)) => Err(error),
            Err(Disorder::Missing { path, expected, got }) => {
                Err(explained(&self.call, &path, (expected, got), before).await)
            }
        }
    }
}

/// What an entry says that is not the expected one of its segment, behind an entry of this time: some were removed meanwhile, or the
/// server is wrong.
pub(super) async fn explained(
    call: &Call,
    path: &SegmentPath,
    (expected, got): (Sequence, Sequence),
    last_time: i64,
) -> Error {
    let gap = Gap::new(path, expected.0, got.0, last_time);
    match status(call, path.space.as_str(), path.segment.as_str()).await {
        Ok(now) => gap.removed(&now).unwrap_or_else(|| gap.unexplained()),
        Err(error) => error,
    }
}

/// A filter goes over the wire as a whole, or not at all.
pub(super) fn check(filter: &Filter) -> Result<(), Error> {
    let texts = filter.metadata.iter().flat_map(|(key, value)| [key, value]);
    let fits = texts
        .chain([&filter.prefix])
        .all(|text| text.len() <= FILTER_TEXT_BYTES_MAX);
    if filter.metadata.len() > FILTER_PAIRS_MAX || !fits {
        return Err(Error::Invalid(format!(
            "a filter has at most {FILTER_PAIRS_MAX} pairs of metadata, of texts of at most {FILTER_TEXT_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

/// The entries of a read that has only some.
pub(super) async fn first_batch(call: &Call, read: Read) -> Result<Vec<Entry>, Error> {
    let mut reading = Reading::new(call.clone(), read)?;
    let mut all = Vec::new();
    while let Some(entries) = reading.next().await? {
        all.extend(entries);
    }
    Ok(all)
}
