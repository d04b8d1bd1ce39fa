//! How hosts that serve the same stores tell each other which workers are there.

use std::collections::BTreeMap;

use streamkit_engine::{StoreId, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// A worker, as its host tells others of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostedWorker {
    /// Its id.
    pub id: Uuid,
    /// What it says of itself.
    pub metadata: BTreeMap<String, String>,
    /// The time of its last sign of life, by its own clock.
    pub last_seen: Timestamp,
    /// Which coming of this worker it is: of two hosts that have it, the one with the greater number has it still.
    pub coming: u64,
    /// When it came; of one at another host, it came then or before.
    pub since: Instant,
}

/// Tells the hosts of a store which workers each of them has.
pub trait WorkerRegister: Send + Sync + 'static {
    /// This host wants to know the workers of a store, and has none of it yet. It takes part until its end of what is returned is dropped. Waits for
    /// nothing, and is called on a runtime of tokio.
    fn join(&self, store: StoreId) -> SharedWorkers;
}

/// What a host tells of a store's workers, and hears.
#[derive(Debug)]
pub struct SharedWorkers {
    /// Those of this host. A change of which receivers are told goes to the other hosts soon; one of which they are not, now and then.
    pub own: watch::Sender<Vec<HostedWorker>>,
    /// Those of all others; of one that two hosts have, both. Its receiver is told once they are known, also if there are none, and of each change. They
    /// may be late, and are empty while nothing can be known.
    pub others: watch::Receiver<Vec<HostedWorker>>,
}
