//! Worker presence: the only streams with envelopes around later messages too.

use serde::Serialize;
use uuid::Uuid;

use crate::envelope::{self, EnvelopeError, encode_envelope};
use crate::object::object;
use crate::record::Metadata;

/// One worker of an inventory.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Worker {
    /// Its id.
    pub worker_id: Uuid,
    /// Its description of itself.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Unix milliseconds.
    pub last_seen_at: i64,
}

object!(Worker { "worker_id" => worker_id, "metadata" => metadata, "last_seen_at" => last_seen_at });

/// Everyone present.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct WorkerInventory {
    /// Sorted by id.
    pub workers: Vec<Worker>,
    /// Unix milliseconds.
    pub timestamp: i64,
}

object!(WorkerInventory { "workers" => workers, "timestamp" => timestamp });

/// A sign of life: from the server `heartbeat` is true, from the worker false.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Presence {
    /// The worker.
    pub worker_id: Uuid,
    /// The sender: server (`true`) or worker (`false`).
    pub heartbeat: bool,
    /// Unix milliseconds.
    pub timestamp: i64,
}

object!(Presence { "worker_id" => worker_id, "heartbeat" => heartbeat, "timestamp" => timestamp });

/// A message on a worker stream after its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkerMessage {
    /// From the server.
    Inventory(WorkerInventory),
    /// From either side.
    Presence(Presence),
}

impl WorkerMessage {
    /// Reads one.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(message: &[u8]) -> Result<Self, EnvelopeError> {
        let envelope = envelope::decode(message)?;
        match &*envelope.kind {
            "worker_inventory" => Ok(Self::Inventory(envelope.content()?)),
            "presence" => Ok(Self::Presence(envelope.content()?)),
            _ => Err(envelope.not_expected()),
        }
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inventory(inventory) => encode_envelope("worker_inventory", inventory),
            Self::Presence(presence) => encode_envelope("presence", presence),
        }
    }
}
