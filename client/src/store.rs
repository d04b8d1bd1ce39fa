//! The calls on one store.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use streamkit_protocol::v2::Appended;
use streamkit_protocol::{Delete, GetSegments, Request, SegmentStatus, Status, Trim};
use uuid::Uuid;

use crate::asked::{Append, Read};
use crate::batches::Batches;
use crate::call::Call;
use crate::consume::Entries;
use crate::error::Error;
use crate::model::{Consume, ConsumeSegment, ConsumeSpace, Entry, NewRecord};
use crate::producer::Producer;
use crate::{lookup, over_v1, publish, verbs};

/// One store of a server.
#[derive(Clone)]
pub struct StoreClient {
    call: Call,
}

impl StoreClient {
    pub(crate) fn new(call: Call) -> Self {
        Self { call }
    }

    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Its identity.
    pub fn id(&self) -> Uuid {
        self.call.store()
    }

    /// The names of all spaces, sorted by bytes.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn spaces(&self) -> Result<Vec<String>, Error> {
        if self.call.is_v2().await? {
            return verbs::spaces(&self.call).await;
        }
        self.call.list(&Request::GetSpaces, name).await
    }

    /// The names of a space's segments, sorted by bytes.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn segments(&self, space: &str) -> Result<Vec<String>, Error> {
        if self.call.is_v2().await? {
            return verbs::segments(&self.call, space).await;
        }
        let request = GetSegments {
            space: space.to_owned(),
            ..GetSegments::default()
        };
        self.call.list(&Request::GetSegments(request), name).await
    }

    /// The ranges of a space's segments after `after` (empty: from the first), at most `limit` (0: all). A Go server
    /// answers with the names of all segments; then the client reads the first and the last entry of each.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn segment_statuses(&self, space: &str, after: &str, limit: u64) -> Result<Vec<SegmentStatus>, Error> {
        if self.call.is_v2().await? {
            return verbs::statuses(&self.call, space, after, limit).await;
        }
        let request = GetSegments {
            space: space.to_owned(),
            with_status: true,
            after: after.to_owned(),
            limit,
        };
        let listed = self.call.list(&Request::GetSegments(request), Listed::decode).await?;
        let most = match limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let wanted = listed.into_iter().filter(|listed| listed.segment() > after).take(most);
        let found: Vec<Option<SegmentStatus>> = stream::iter(wanted)
            .map(async |listed| match listed {
                Listed::Status(status) => Ok(Some(status)),
                Listed::Name(segment) => self.range(space, segment).await,
            })
            .buffered(RANGES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// A segment's range, read from its entries; `None` if it was deleted meanwhile.
    async fn range(&self, space: &str, segment: String) -> Result<Option<SegmentStatus>, Error> {
        let Some(last) = self.peek(space, &segment).await? else {
            return Ok(None);
        };
        let first = ConsumeSegment {
            limit: 1,
            ..ConsumeSegment::all(space, &segment)
        };
        let first = self.consume_segment(first).try_next().await?;
        let first = first.map_or((last.sequence, last.timestamp), |entry| {
            (entry.sequence, entry.timestamp)
        });
        Ok(Some(SegmentStatus {
            space: space.to_owned(),
            segment,
            first_sequence: first.0,
            first_timestamp: first.1,
            last_sequence: last.sequence,
            last_timestamp: last.timestamp,
            heartbeat: false,
        }))
    }

    /// The last entry of a segment; `None` if it is empty.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn peek(&self, space: &str, segment: &str) -> Result<Option<Entry>, Error> {
        if self.call.is_v2().await? {
            return verbs::peek(&self.call, space, segment).await;
        }
        self.call.ask(|channel| lookup::peek(channel, space, segment)).await
    }

    /// Counts of the store, of a space (`segment` empty), or of a segment.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Refused`] by a Go server, which does not know this call.
    pub async fn status(&self, space: &str, segment: &str) -> Result<Status, Error> {
        if self.call.is_v2().await? {
            return verbs::status(&self.call, space, segment).await;
        }
        self.call.ask(|channel| lookup::status(channel, space, segment)).await
    }

    /// Reads a segment in sequence order, up to its head at the moment of the request.
    pub fn consume_segment(&self, read: ConsumeSegment) -> Entries {
        let request = streamkit_protocol::ConsumeSegment {
            space: read.space,
            segment: read.segment,
            min_sequence: read.from,
            min_timestamp: read.after_time,
            max_sequence: read.to,
            max_timestamp: read.until_time,
            limit: read.limit,
        };
        Entries::new(self.call.clone(), Request::ConsumeSegment(request))
    }

    /// Reads a space in log order, up to its tail at the moment of the request. The client checks the first 65 536
    /// segments it meets for holes.
    pub fn consume_space(&self, read: ConsumeSpace) -> Entries {
        let request = streamkit_protocol::ConsumeSpace {
            space: read.space,
            min_timestamp: read.after_time,
            max_timestamp: read.until_time,
            offset: read.after,
            limit: read.limit,
        };
        Entries::new(self.call.clone(), Request::ConsumeSpace(request))
    }

    /// Reads several spaces, merged by commit time, up to their tail at the moment of the request. The client checks
    /// the first 65 536 segments it meets for holes.
    pub fn consume(&self, read: Consume) -> Entries {
        let request = streamkit_protocol::Consume {
            min_timestamp: read.after_time,
            max_timestamp: read.until_time,
            offsets: read.spaces,
            limit: read.limit,
        };
        Entries::new(self.call.clone(), Request::Consume(request))
    }

    /// Appends one transaction, and waits until it is durable. If the connection is lost before the answer, the client asks
    /// again under the same id until its timeout, so that the answer says what became of it. Dropping the future
    /// gives the answer up, not the append.
    ///
    /// A server that speaks v1 alone takes records of one segment, without conditions, lease or place in the log: the position is 0 then. It knows no ids: if
    /// an answer is lost, the client looks whether the same records stand at their sequences, and sends them again if nothing does.
    ///
    /// # Errors
    /// [`Error::Conflicts`], [`Error::OtherRecords`], [`Error::FencedOff`], [`Error::Invalid`]: nothing is stored.
    /// [`Error::Unknown`]: there was no answer in time, and the same append, with its id, finds out. [`Error::NotInV1`].
    pub async fn append(&self, append: Append) -> Result<Appended, Error> {
        publish::append(&self.call, append).await
    }

    /// Reads batches of entries: of a segment, or of any parts of the store in the order of the log. Nothing is sent before the stream is
    /// polled; no entry is lost if one waits for the next batch again and again, such as within `select!`.
    ///
    /// # Errors
    /// In the stream: [`Error`]; [`Error::NotInV1`] if the server speaks v1 alone.
    pub fn read(&self, read: Read) -> Batches {
        Batches::new(self.call.clone(), read)
    }

    /// Opens a stream of records to a segment. The first gets `first_sequence`, which must be the head + 1.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn produce(&self, space: &str, segment: &str, first_sequence: u64) -> Result<Producer, Error> {
        Producer::open(&self.call, space, segment, first_sequence).await
    }

    /// Appends records, the first at `first_sequence`, and waits until all are durable. Up to 10 000 records of at
    /// most 16 MiB in all are stored together or not at all; more are stored in such chunks, in order.
    ///
    /// # Errors
    /// [`Error::Conflict`]: another producer was first. [`Error::ConnectionLost`], [`Error::Timeout`],
    /// [`Error::Unknown`]: the outcome is unknown; peek.
    pub async fn produce_all(
        &self,
        space: &str,
        segment: &str,
        first_sequence: u64,
        records: impl IntoIterator<Item = NewRecord>,
    ) -> Result<SegmentStatus, Error> {
        let mut producer = self.produce(space, segment, first_sequence).await?;
        for record in records {
            producer.send(&record).await?;
        }
        let last = producer.finish().await?;
        last.ok_or_else(|| Error::Invalid("nothing to produce: there were no records".to_owned()))
    }

    /// Appends one record after the current head, and waits until it is durable. Other producers may append to the
    /// segment meanwhile: a conflict stores nothing, and the client tries again after the head it names. A client and
    /// its clones publish to one segment one at a time, so they do not conflict with each other.
    ///
    /// # Errors
    /// [`Error::Conflict`] only if others were first for as long as the client's timeout; otherwise as [`StoreClient::append`], which also says how a lost answer
    /// is found out. Dropping the future gives the answer up, not the append.
    pub async fn publish(&self, space: &str, segment: &str, record: NewRecord) -> Result<SegmentStatus, Error> {
        if self.call.is_v2().await? {
            return verbs::publish(&self.call, space, segment, record).await;
        }
        over_v1::behind_the_head(&self.call, (space, segment), &[record]).await
    }

    /// Appends what `decide` makes of the head of a segment (0 while it is empty), if that is still the head when it is stored: such as an event that only
    /// follows those up to the head. If another producer was first, nothing is stored, and `decide` is asked again with the head of then: at most 100 times,
    /// after pauses that grow, and not once the client's timeout is over. Each append has that timeout, too, and finds out what became of it as
    /// [`StoreClient::append`] does. `None`: it decided for no records.
    ///
    /// Dropping the future gives the answer up, not an append that is under way.
    ///
    /// # Errors
    /// [`Error::Conflict`] with the head of then: others were always first. Otherwise as [`StoreClient::append`].
    pub async fn publish_with(
        &self,
        space: &str,
        segment: &str,
        decide: impl FnMut(u64) -> Vec<NewRecord>,
    ) -> Result<Option<Appended>, Error> {
        let path = verbs::segment_path(space, segment)?;
        let head = self.peek(space, segment).await?.map_or(0, |last| last.sequence);
        publish::publish_with(&self.call, path, head, decide).await
    }

    /// Removes the entries of a segment before sequence `first`, for good; the last entry always stays. Returns the
    /// remaining range. Repeating it changes nothing and succeeds.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Refused`] if the segment has no such sequence, or from a Go server, which does not know
    /// this call. After [`Error::ConnectionLost`] and [`Error::Timeout`], and if the future is dropped, the outcome is unknown; repeat the
    /// call.
    pub async fn trim(&self, space: &str, segment: &str, first: u64) -> Result<SegmentStatus, Error> {
        if self.call.is_v2().await? {
            return verbs::trim(&self.call, space, segment, first).await;
        }
        let request = Request::Trim(Trim {
            space: space.to_owned(),
            segment: segment.to_owned(),
            first_sequence: first,
        });
        let mut channel = self.call.open(&request).await?;
        let message = channel.receive().await?;
        let message = message.ok_or_else(|| Error::Protocol("a trim ended without a status".to_owned()))?;
        SegmentStatus::decode(&message).map_err(Error::malformed)
    }

    /// Deletes a segment with all its entries, for good. Later appends begin at sequence 1 again.
    ///
    /// # Errors
    /// As [`StoreClient::trim`]; [`Error::Refused`] if there is no such segment, which may also be the answer to a
    /// repeated call.
    pub async fn delete(&self, space: &str, segment: &str) -> Result<(), Error> {
        if self.call.is_v2().await? {
            return verbs::delete(&self.call, space, segment).await;
        }
        let request = Request::Delete(Delete {
            space: space.to_owned(),
            segment: segment.to_owned(),
        });
        let mut channel = self.call.open(&request).await?;
        match channel.receive().await? {
            None => Ok(()),
            Some(_) => Err(Error::Protocol("a delete was answered with a message".to_owned())),
        }
    }
}

/// Segments of a Go server whose ranges the client reads at the same time.
const RANGES_AT_ONCE: usize = 64;

/// An item in the answer to a list of segments with ranges.
enum Listed {
    Status(SegmentStatus),
    /// By a Go server.
    Name(String),
}

impl Listed {
    fn decode(message: &[u8]) -> Result<Self, Error> {
        match message.first() {
            Some(b'"') => name(message).map(Self::Name),
            _ => SegmentStatus::decode(message)
                .map(Self::Status)
                .map_err(Error::malformed),
        }
    }

    fn segment(&self) -> &str {
        match self {
            Self::Status(status) => &status.segment,
            Self::Name(name) => name,
        }
    }
}

fn name(message: &[u8]) -> Result<String, Error> {
    serde_json::from_slice(message).map_err(Error::malformed)
}
