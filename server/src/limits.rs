//! What one peer may cost, each number named once with its default.

use std::time::Duration;

use streamkit_engine::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX};
use streamkit_protocol::limits::{MESSAGE_BYTES_MAX, PEER_FRAME_BYTES_MAX};

/// Bounds of a server. The defaults suit a process with a few GB of memory.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions at a time; more are answered 503. Those of tokens for one store may take half, those for all stores all of them.
    /// Default 10 000.
    pub connections: usize,
    /// Connections that are not upgraded yet; when one more comes, the oldest gives way whose request is not being decided. Default 1024.
    /// [`crate::Server::serve`] alone knows it, not the router.
    pub handshakes: usize,
    /// The same of one address, or of one /64 of IPv6. Default 128. [`crate::Server::serve`] alone knows it, not the router.
    pub handshakes_per_address: usize,
    /// How long a connection may take to send a request's head, so also how long it may idle before it is upgraded.
    /// Default 10 s. [`crate::Server::serve`] alone knows it, not the router.
    pub handshake: Duration,
    /// Connections of one address, or of one /64 of IPv6, accepted in a second, on average over ten seconds. More are answered 429, or
    /// closed where TLS would have to be spoken first. Default 100. [`crate::Server::serve`] alone knows it, not the router.
    pub handshake_rate: u32,
    /// Origins that a handshake may come from, as `https://app.example`; others, and a handshake without one, are answered 403.
    /// Default none: any may come, and the token alone decides.
    pub origins: Vec<String>,
    /// Whether frames of protocol v2 may be compressed, if a client asks for it. It takes a core some 1 s for each GiB. Default false.
    pub compression: bool,
    /// Open channels of one connection; more get the error `too many active streams`. Default 4096.
    pub channels: usize,
    /// Open channels of all connections together, each with some 11 KiB; more get the same error. Those of one store may take half.
    /// Default 50 000.
    pub all_channels: usize,
    /// Those among them that stay open until somebody ends them: subscriptions, and workers. More get the same error. Those of one
    /// store may take half. Default 25 000.
    pub subscriptions: usize,
    /// Entries that one read may have; it ends with an error behind the last of them, never as if it were complete. Default any number.
    pub consume_entries: u64,
    /// Finished channels a connection remembers so that late frames are dropped silently. Default 4096.
    pub finished_channels: usize,
    /// For how long. Default 60 s, as Go peers do.
    pub finished_age: Duration,
    /// How long calls under way may go on once the token of their session has expired. From then on the session begins no further
    /// ones, and it ends with the last of them; subscriptions do not keep it. Default 30 s.
    pub token_grace: Duration,
    /// A peer of which nothing was heard for so long is gone. It is pinged at least twice meanwhile. Default 90 s.
    pub silence: Duration,
    /// Bytes of frames waiting to be sent to one peer; verbs wait for room. Default 2 MiB, at least 1 MiB.
    pub outbound_bytes: usize,
    /// Bytes of messages one channel may hold unread and uncommitted; the connection stops reading until there is room.
    /// Default 32 MiB; less counts as that, because a whole transaction must fit.
    pub channel_inbound_bytes: usize,
    /// The same over all channels of one connection. When they are used up, its largest open chunks are committed early
    /// and the connection stops reading until there is room; requests at work may take half as much again, and those of all
    /// connections half of [`Limits::inbound_bytes`], of which those of one store may take half. A message larger
    /// than all of it ends its channel at once. Smaller: bulk producers that share a connection get smaller transactions.
    /// Default 128 MiB, at most half of [`Limits::inbound_bytes`].
    pub connection_inbound_bytes: usize,
    /// The same over all connections, but for 16 KiB that each may always hold. When they are used up, the largest open
    /// chunks of all are committed early, and connections wait in turn. Default 256 MiB, which suits a small host.
    pub inbound_bytes: usize,
    /// How long a connection waits for room for a message before it ends the channel with the error
    /// `stream receive buffer overloaded`: the disk does not move, or the peer does not read. Default 25 s: a store
    /// whose disk is slow says so itself before (`queue_deadline`, 20 s).
    pub inbound_wait: Duration,
    /// Reads of one connection at work at a time, each with a few hundred KiB of entries, at most some 15 MiB. Others wait
    /// for their turn, batch by batch. Default 4: what they read goes through one queue anyway.
    pub reads: usize,
    /// Bytes that all connections together may hold of what was read for their peers, until the sockets have taken it; beside
    /// it each may have 16 KiB of small answers and 16 KiB of refusals queued. Reads wait in turn, but for small answers.
    /// Default 256 MiB; what one batch may cost at most, 19 MiB, if it is less.
    pub outgoing_bytes: usize,
    /// Bytes of frames that all connections together may have begun to send, and of those for which inboxes have no room, but
    /// for 16 KiB that each may always have. Larger frames wait in turn, unread; those of one tenant have half of it. Default 128 MiB, at least the largest frame (9 MiB).
    pub frames_bytes: usize,
    /// How long a peer may take less than 64 KiB of what waits for it, or send less of a frame, while others wait for the room
    /// of that: then its connection is closed. Default 5 s.
    pub give_way: Duration,
    /// How long a peer may take no byte of what waits for it before its connection is closed. Default 30 s.
    pub write_deadline: Duration,
    /// How long [`crate::Server::shutdown`] waits for sessions to end. Default 10 s.
    pub shutdown_deadline: Duration,
    /// Failed openings of a store in a row after which it is not tried again for [`Limits::store_open_pause`]. Default 3.
    pub store_open_failures: u32,
    /// How long. Default 30 s.
    pub store_open_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshakes: 1024,
            handshakes_per_address: 128,
            handshake: Duration::from_secs(10),
            handshake_rate: 100,
            origins: Vec::new(),
            compression: false,
            channels: 4096,
            all_channels: 50_000,
            subscriptions: 25_000,
            consume_entries: u64::MAX,
            finished_channels: 4096,
            finished_age: Duration::from_secs(60),
            token_grace: Duration::from_secs(30),
            silence: streamkit_protocol::limits::DEAD_AFTER,
            outbound_bytes: 2 << 20,
            channel_inbound_bytes: CHANNEL_INBOUND_BYTES_MIN,
            connection_inbound_bytes: 128 << 20,
            inbound_bytes: 256 << 20,
            inbound_wait: Duration::from_secs(25),
            reads: 4,
            outgoing_bytes: 256 << 20,
            frames_bytes: 128 << 20,
            give_way: Duration::from_secs(5),
            write_deadline: Duration::from_secs(30),
            shutdown_deadline: Duration::from_secs(10),
            store_open_failures: 3,
            store_open_pause: Duration::from_secs(30),
        }
    }
}

/// Records after which a chunk is committed without waiting for more: what a client may count on.
pub(crate) const CHUNK_RECORDS_MAX: usize = streamkit_protocol::limits::CHUNK_RECORDS_MAX;

/// Largest WebSocket message that a peer of protocol v1 may send.
pub(crate) const FRAME_BYTES_MAX: usize = streamkit_protocol::limits::FRAME_BYTES_MAX;

/// Largest WebSocket message that a peer of protocol v2 may send.
pub(crate) const BINARY_FRAME_BYTES_MAX: usize = streamkit_protocol::v2::FRAME_BYTES_MAX;

/// What a batch of answers may be at most of entries, their messages and frames of them: all but full, and the largest entry on top.
pub(crate) const BATCH_BYTES_MAX: usize = (1 << 20) + RECORD_BYTES_MAX + MESSAGE_BYTES_MAX + PEER_FRAME_BYTES_MAX;

/// Bytes of small answers that a connection may have queued beside everything else: some dozens.
pub(crate) const SMALL_BYTES: usize = 16 << 10;

/// What a record costs in an inbox beside its bytes.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 64;

/// Records of one produce that may wait for others of lower sequences; together they are no larger than the largest record.
/// A Go peer queues so many frames, and one that it writes directly overtakes them.
pub(crate) const EARLY_RECORDS_MAX: usize = 8192;

/// Smallest [`Limits::channel_inbound_bytes`]: a whole open chunk, all early records and one more message fit, so that a producer never waits
/// for a commit that waits for the producer.
pub(crate) const CHANNEL_INBOUND_BYTES_MIN: usize = 32 << 20;

const _: () = assert!(
    TRANSACTION_BYTES_MAX
        + RECORD_BYTES_MAX
        + (CHUNK_RECORDS_MAX + EARLY_RECORDS_MAX + 1) * RECORD_OVERHEAD_BYTES
        + FRAME_BYTES_MAX
        < CHANNEL_INBOUND_BYTES_MIN
);
