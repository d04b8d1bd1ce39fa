//! What a channel receives: its request, its records and its end. Frames of a peer may overtake each other, which no other version
//! has to know: a record that is early is kept until it is next, a request may come behind a record, and the end comes when
//! nothing can follow it any more (`ends.rs`).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use streamkit_engine::limits::RECORD_BYTES_MAX;
use streamkit_engine::{Metadata, Record, SegmentPath, Sequence, Timestamp};
use streamkit_protocol::limits::{MESSAGE_BYTES_MAX, PEER_MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX};
use streamkit_protocol::{Request, Terminal, WorkerMessage};
use tokio_util::sync::CancellationToken;

use super::answers::{ENTRY_OVERHEAD_BYTES_MAX, entry_bytes_max};
use super::early::Early;
use super::inbox::{FromInbox, InboxReader, Received};
use super::refused::Refused;
use crate::budgets::{Ended, Room};
use crate::shared::Shared;
use crate::verbs::{Awaited, Failure, Next, ReceivedRecord, Records, SignOfLife};

/// Messages of a channel kept until its request is here, which they have overtaken.
const EARLY_MESSAGES_MAX: usize = 64;

/// The receiving half of a channel.
pub(super) struct Incoming {
    inbox: InboxReader,
    early: Early,
    /// Whether the peer says that none of its frames overtakes another.
    in_order: bool,
    /// Cancelled when the channel has to end.
    ending: CancellationToken,
    shared: Arc<Shared>,
}

impl Incoming {
    pub(super) fn new(inbox: InboxReader, in_order: bool, ending: CancellationToken, shared: Arc<Shared>) -> Self {
        Self {
            inbox,
            early: Early::default(),
            in_order,
            ending,
            shared,
        }
    }

    /// The channel's request: its first message, or one that a record has overtaken.
    pub(super) async fn request(&mut self, message: Bytes) -> Result<Request, Refused> {
        if message.len() > REQUEST_BYTES_MAX {
            return Err(Refused::RequestTooLarge(message.len()));
        }
        let error = match Request::decode(&message) {
            Ok(request) => return Ok(request),
            Err(error) => Refused::Request(error),
        };
        if self.in_order || streamkit_protocol::Record::decode(&message).map_or(0, |record| record.sequence) == 0 {
            return Err(error);
        }
        self.inbox.ask_for_mark();
        let mut early = VecDeque::from([Received {
            message,
            terminal: None,
            mark: false,
            room: Room::default(),
        }]);
        while early.len() < EARLY_MESSAGES_MAX {
            let Some(received) = self.receive(0).await? else {
                return Err(error);
            };
            if received.mark || received.terminal.is_some() {
                return Err(error);
            }
            match Request::decode(&received.message) {
                Ok(request) => {
                    self.inbox.overtaken();
                    self.inbox.put_back(early);
                    return Ok(request);
                }
                Err(_) => early.push_back(received),
            }
        }
        Err(error)
    }

    /// Ready when the channel has to end.
    pub(super) async fn ending(&self) {
        self.ending.cancelled().await;
    }

    /// Whether the channel was ended for what it did not take.
    pub(super) fn is_overloaded(&self) -> bool {
        self.inbox.pressure().overloaded().is_cancelled()
    }

    /// The peer's next message or end. `None` if the connection is short of room, nothing is waiting to be received, and
    /// `held` bytes are too much to keep.
    ///
    /// # Errors
    /// [`Ended`]: the channel or the connection ends.
    async fn receive(&mut self, held: usize) -> Result<Option<Received>, Ended> {
        let overloaded = self.inbox.pressure().overloaded().clone();
        tokio::select! {
            biased;
            () = self.ending.cancelled() => Err(Ended),
            () = overloaded.cancelled() => Err(Ended),
            next = self.inbox.next(held) => match next {
                FromInbox::Received(received) => Ok(Some(received)),
                FromInbox::TooLarge => Ok(None),
                FromInbox::Over => Err(Ended),
            },
        }
    }

    /// The gap before what came early.
    fn missing(&self, expected: Sequence) -> Refused {
        let got = self.early.first().unwrap_or(expected);
        Failure::Conflict { expected, got }.into()
    }
}

impl Records for Incoming {
    type Error = Refused;

    async fn next(&mut self, awaited: Awaited<'_>) -> Result<Next, Refused> {
        let expected = awaited.sequence.unwrap_or(Sequence::FIRST);
        if let Some(next) = self.early.take(expected) {
            return Ok(Next::Record(next));
        }
        loop {
            let held = awaited.chunk.unwrap_or(0) + self.early.room();
            let Some(received) = self.receive(held).await? else {
                // Others of this connection wait for the room that is held.
                return match awaited.chunk {
                    Some(_) => Ok(Next::Crowded),
                    None => Err(self.missing(expected)),
                };
            };
            if received.mark {
                if self.early.marked(expected) {
                    return Err(self.missing(expected));
                }
                if self.early.asks(expected) {
                    self.inbox.ask_for_mark();
                }
                continue;
            }
            match received.terminal {
                None => {}
                Some(Terminal::Close) if self.early.first().is_some() => return Err(self.missing(expected)),
                Some(Terminal::Close) => return Ok(Next::End),
                Some(aborted) => return Err(Refused::Aborted(aborted.into_error().unwrap_or_default())),
            }
            let (sequence, record) = decode(&received.message, awaited.path)?;
            let mut room = received.room;
            room.shrink(record.len());
            if sequence == expected && self.early.first().is_some() {
                self.inbox.overtaken();
            }
            return Ok(Next::Record(ReceivedRecord { sequence, record, room }));
        }
    }

    fn keep(&mut self, expected: Sequence, early: ReceivedRecord) -> Result<(), Refused> {
        let got = early.sequence;
        if got < expected || self.in_order || !self.early.keep(early) {
            let got = self.early.first().filter(|_| got > expected).unwrap_or(got);
            return Err(Failure::Conflict { expected, got }.into());
        }
        self.shared.metrics.arrivals.record_came_early();
        if self.early.asks(expected) {
            self.inbox.ask_for_mark();
        }
        Ok(())
    }

    async fn sign_of_life(&mut self) -> Result<SignOfLife, Refused> {
        self.inbox.end_at_once();
        loop {
            let Some(received) = self.receive(0).await? else {
                continue;
            };
            if received.terminal.is_some() {
                return Err(Failure::PeerEnded.into());
            }
            if received.mark {
                continue;
            }
            match WorkerMessage::decode(&received.message).map_err(Refused::Worker)? {
                // What only servers send.
                WorkerMessage::Inventory(_) => return Err(Refused::WorkerInventory),
                WorkerMessage::Presence(presence) if presence.heartbeat => {}
                WorkerMessage::Presence(presence) => {
                    return Ok(SignOfLife {
                        worker: presence.worker_id,
                        at: Some(Timestamp(presence.timestamp)),
                    });
                }
            }
        }
    }

    fn ended(&mut self) -> impl Future<Output = Refused> {
        self.inbox.end_at_once();
        async {
            loop {
                match self.receive(0).await {
                    Ok(Some(received)) if received.terminal.is_some() => return Failure::PeerEnded.into(),
                    Ok(_) => {}
                    Err(ended) => return ended.into(),
                }
            }
        }
    }
}

fn decode(message: &[u8], path: &SegmentPath) -> Result<(Sequence, Record), Refused> {
    if message.len() > PEER_MESSAGE_BYTES_MAX {
        return Err(Refused::MessageTooLarge(message.len()));
    }
    let wire = streamkit_protocol::Record::decode(message).map_err(Refused::Record)?;
    let sequence = Sequence(wire.sequence);
    let metadata = Metadata::from_pairs(&wire.metadata);
    let record = Record {
        payload: wire.bytes(),
        metadata,
    };
    if record.len() > RECORD_BYTES_MAX {
        return Err(Refused::RecordTooLarge(sequence, record.len()));
    }
    // What is taken must be able to go out again. A record as we write it is never longer than as it came, so nearly all
    // are known to fit without being written.
    if message.len() + ENTRY_OVERHEAD_BYTES_MAX > MESSAGE_BYTES_MAX {
        let bytes = entry_bytes_max(path, &record);
        if bytes > MESSAGE_BYTES_MAX {
            return Err(Refused::EntryTooLarge(sequence, bytes));
        }
    }
    Ok((sequence, record))
}
