//! Reads: batches as they come, and the checks that they are what was asked for, in its order.

use std::sync::Arc;

use streamkit_protocol::v2::{Batches, Call as Asked, Read as Reads, ReadDone};
use streamkit_record::{Entry, Filter, StoreId};

use super::again::{TIMES_MAX, until_begun};
use super::lookup::status;
use super::order::{Disorder, Order};
use crate::asked::Read;
use crate::call::Call;
use crate::error::Error;
use crate::position::Gap;
use crate::v2::{Channel, Connection, Fault, Heard, Patience, WINDOW_BYTES};

/// Most pairs of metadata that a filter names, and bytes of each text in it.
const FILTER_PAIRS_MAX: usize = 255;
const FILTER_TEXT_BYTES_MAX: usize = 65_535;

/// A read under way.
pub(crate) struct Reading {
    call: Call,
    asked: Asked,
    /// `None` before it is opened.
    channel: Option<Channel>,
    batches: Batches,
    order: Option<Order>,
    /// The commit time of the last entry.
    last_time: i64,
    taken: u64,
    /// How often a connection ended before the server began it.
    times: u32,
    /// Whether it was opened a second time because the first connection was lost before its first entry.
    was_lost: bool,
    done: Option<ReadDone>,
}

impl Reading {
    /// Of what was asked for; nothing is sent yet.
    pub(crate) fn new(call: Call, read: Read) -> Result<Self, Error> {
        check(&read.filter)?;
        let order = Some(Order::of(&read));
        let reads = Reads {
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
            asked: Asked::Read(reads),
            channel: None,
            batches: Batches::default(),
            order,
            last_time: i64::MAX,
            taken: 0,
            times: 0,
            was_lost: false,
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
        if self.done.is_some() {
            return Ok(None);
        }
        loop {
            if self.channel.is_none() {
                self.channel = Some(open(&self.call, &self.asked).await?);
            }
            let Some(channel) = &mut self.channel else { continue };
            match channel.next(Patience::new(self.call.timeout())).await {
                Ok(Heard::Message(message)) => {
                    let mut entries = Vec::with_capacity(message.len() / 512);
                    self.batches.read(&message, &mut entries).map_err(Error::malformed)?;
                    self.taken += entries.len() as u64;
                    self.check(&entries).await?;
                    if !entries.is_empty() {
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
                    return Ok(None);
                }
                // The link may have been dead for long, and this call the first to notice.
                Err(Fault::Lost(_)) if self.taken == 0 && !self.was_lost => {
                    self.was_lost = true;
                    self.channel = None;
                }
                Err(Fault::NotBegun(_)) if self.taken == 0 && self.times < TIMES_MAX => {
                    self.times += 1;
                    self.channel = None;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Whether entries are those that come next; if not, whether some were removed meanwhile.
    async fn check(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let Some(order) = &mut self.order else { return Ok(()) };
        let checked = order.check(entries);
        let before = self.last_time;
        self.last_time = entries.last().map_or(before, |entry| entry.timestamp.0);
        match checked {
            Ok(()) => Ok(()),
            Err(Disorder::Wrong(error)) => Err(error),
            Err(Disorder::Missing { path, expected, got }) => {
                let gap = Gap::new(&path, expected.0, got.0, before);
                let now = status(&self.call, path.space.as_str(), path.segment.as_str()).await?;
                Err(gap.removed(&now).unwrap_or_else(|| gap.unexplained()))
            }
        }
    }
}

/// A channel opened with a read, or a follow.
pub(super) async fn open(call: &Call, asked: &Asked) -> Result<Channel, Error> {
    let store = StoreId(call.store());
    let open = |connection: Arc<Connection>, patience: Patience| async move {
        connection.open(store, asked, patience, WINDOW_BYTES).await
    };
    until_begun(call, false, open).await
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
