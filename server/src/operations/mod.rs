//! The verbs of the protocol, one file each: what a request means to a store, and what it is answered with.

mod consume;
mod early;
mod list;
mod peek;
mod produce;
mod remove;
mod status;

use std::sync::Arc;

use streamkit_engine::limits::NAME_BYTES_MAX;
use streamkit_engine::{Name, NameError, ReadError, SegmentPath, Store};
use streamkit_protocol::Request;
use tracing::Instrument as _;

use crate::auth::Rights;
use crate::metrics::Metrics;
use crate::session::Channel;

/// Why an operation did not finish.
pub(crate) enum Failure {
    /// The peer is told this text.
    Told(String),
    /// Nothing more can be read: the peer is told why.
    Read(ReadError),
    /// The peer ended the channel; it expects nothing more.
    PeerEnded,
    /// The session or the connection ends.
    Ending,
    /// Others wait for the room of what its peer sent, which does not take what it is told; or there is no room for what the
    /// operation needs.
    Overloaded,
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure::Read(error)
    }
}

/// Whether a session with these rights may ask for it.
pub(crate) fn allowed(request: &Request, rights: Rights) -> bool {
    match request {
        Request::Produce(_)
        | Request::Trim(_)
        | Request::Delete(_)
        | Request::LeaseAcquire(_)
        | Request::LeaseRenew(_)
        | Request::LeaseRelease(_) => rights.write,
        Request::Peek(_)
        | Request::ConsumeSegment(_)
        | Request::ConsumeSpace(_)
        | Request::Consume(_)
        | Request::GetSpaces
        | Request::GetSegments(_)
        | Request::GetStatus(_)
        | Request::SubscribeToSegmentStatus(_)
        | Request::SubscribeWorkers(_) => rights.read,
    }
}

/// Whether a request is answered with what a store holds now: of one that is not there, with nothing.
pub(crate) fn only_reads(request: &Request) -> bool {
    matches!(
        request,
        Request::Peek(_)
            | Request::ConsumeSegment(_)
            | Request::ConsumeSpace(_)
            | Request::Consume(_)
            | Request::GetSpaces
            | Request::GetSegments(_)
            | Request::GetStatus(_)
    )
}

/// Answers a request. Returns when everything is sent but the terminal message.
pub(crate) async fn run(
    request: Request,
    store: &Arc<dyn Store>,
    channel: &mut Channel,
    metrics: &Metrics,
) -> Result<(), Failure> {
    let kind = request.kind();
    let all = store;
    let store = &**store;
    match request {
        Request::Produce(produce) => {
            let span = tracing::debug_span!(
                "streamkit.server.produce",
                space = produce.space,
                segment = produce.segment
            );
            produce::run(produce, store, channel, metrics).instrument(span).await
        }
        Request::Peek(peek) => {
            let span = tracing::debug_span!("streamkit.server.peek", space = peek.space, segment = peek.segment);
            channel
                .until_ended(async |out| peek::run(peek, store, out).await)
                .instrument(span)
                .await
        }
        Request::ConsumeSegment(consume) => {
            let span = tracing::debug_span!(
                "streamkit.server.consume_segment",
                space = consume.space,
                segment = consume.segment
            );
            channel
                .until_ended(async |out| consume::segment(consume, store, out).await)
                .instrument(span)
                .await
        }
        Request::ConsumeSpace(consume) => {
            let span = tracing::debug_span!("streamkit.server.consume_space", space = consume.space);
            channel
                .until_ended(async |out| consume::space(consume, store, out).await)
                .instrument(span)
                .await
        }
        Request::Consume(consume) => {
            let span = tracing::debug_span!("streamkit.server.consume", spaces = consume.offsets.len());
            channel
                .until_ended(async |out| consume::spaces(consume, store, out).await)
                .instrument(span)
                .await
        }
        Request::GetSpaces => {
            let span = tracing::debug_span!("streamkit.server.get_spaces");
            channel
                .until_ended(async |out| list::spaces(all, out).await)
                .instrument(span)
                .await
        }
        Request::GetSegments(list) => {
            let span = tracing::debug_span!("streamkit.server.get_segments", space = list.space);
            channel
                .until_ended(async |out| list::segments(list, all, out).await)
                .instrument(span)
                .await
        }
        Request::GetStatus(status) => {
            let span = tracing::debug_span!(
                "streamkit.server.get_status",
                space = status.space,
                segment = status.segment
            );
            channel
                .until_ended(async |out| status::run(status, all, out).await)
                .instrument(span)
                .await
        }
        Request::Trim(trim) => {
            let span = tracing::debug_span!("streamkit.server.trim", space = trim.space, segment = trim.segment);
            remove::trim(trim, store, channel).instrument(span).await
        }
        Request::Delete(delete) => {
            let span = tracing::debug_span!(
                "streamkit.server.delete",
                space = delete.space,
                segment = delete.segment
            );
            remove::delete(delete, store).instrument(span).await
        }
        Request::SubscribeToSegmentStatus(_)
        | Request::SubscribeWorkers(_)
        | Request::LeaseAcquire(_)
        | Request::LeaseRenew(_)
        | Request::LeaseRelease(_) => Err(Failure::Told(format!("not supported by this server yet: {kind}"))),
    }
}

fn name(what: &str, text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|error| bad_name(what, error))
}

fn path(space: &str, segment: &str) -> Result<SegmentPath, Failure> {
    Ok(SegmentPath {
        space: name("space", space)?,
        segment: name("segment", segment)?,
    })
}

fn bad_name(what: &str, error: NameError) -> Failure {
    Failure::Told(format!("invalid {what}: {error}"))
}

/// The engine's status as the protocol spells it.
fn segment_status(status: &streamkit_engine::SegmentStatus) -> streamkit_protocol::SegmentStatus {
    streamkit_protocol::SegmentStatus {
        space: status.path.space.to_string(),
        segment: status.path.segment.to_string(),
        first_sequence: status.first_sequence.0,
        first_timestamp: status.first_timestamp.0,
        last_sequence: status.last_sequence.0,
        last_timestamp: status.last_timestamp.0,
        heartbeat: false,
    }
}

/// Most bytes that an entry's message has beyond its record's: numbers and ids at their longest, names of which each byte
/// is written as an escape.
const ENTRY_OVERHEAD_BYTES_MAX: usize = 512 + 2 * 6 * NAME_BYTES_MAX;

/// Bytes that a record may take as an entry, whatever sequence and transaction it gets.
fn entry_bytes_max(path: &SegmentPath, record: &streamkit_engine::Record) -> usize {
    let entry = streamkit_protocol::EntryRef {
        sequence: u64::MAX,
        timestamp: i64::MIN,
        trx: streamkit_protocol::Trx {
            number: u64::MAX,
            ..Default::default()
        },
        payload: Some(&record.payload),
        metadata: record.metadata.iter(),
        space: path.space.as_str(),
        segment: path.segment.as_str(),
    };
    let mut message = Vec::new();
    entry.encode_into(&mut message);
    message.len()
}

/// An entry that no peer could receive. Produce takes none; a store filled by other means may hold one.
fn does_not_fit(entry: &streamkit_engine::Entry) -> Failure {
    let what = format!("entry {}/{} does not fit in a frame", entry.path, entry.sequence);
    Failure::Told(what)
}

/// Appends an entry's message to `out`.
fn encode_entry(entry: &streamkit_engine::Entry, out: &mut Vec<u8>) {
    streamkit_protocol::EntryRef {
        sequence: entry.sequence.0,
        timestamp: entry.timestamp.0,
        trx: streamkit_protocol::Trx {
            id: entry.trx.id,
            node: entry.trx.node,
            number: entry.trx.number,
        },
        // Empty payloads are "" and never null: Go clients refuse an entry without payload.
        payload: Some(&entry.payload),
        metadata: entry.metadata.iter(),
        space: entry.path.space.as_str(),
        segment: entry.path.segment.as_str(),
    }
    .encode_into(out);
}
