//! The threads of an engine.

use std::sync::Arc;

use crate::commit::drive::Drivers;
use crate::directory::folder::Folder;
use crate::runtime::openers::Openers;
use crate::runtime::pools::Pools;
use crate::runtime::stepper::Stepper;

/// What an engine and every handle to one of its stores keep alive. Fields are dropped in their order: the threads finish
/// what is queued and end before another process may take the folder.
pub(crate) struct Threads {
    pub(crate) commit: Drivers,
    pub(crate) pools: Arc<Pools>,
    /// Threads that open stores: one may take long, and neither another's commit nor its preparation may wait for that.
    pub(crate) opening: Openers,
    pub(crate) folder: Arc<Folder>,
    /// There are none of these threads: whoever waits for them does their work.
    pub(crate) stepper: Option<Stepper>,
}
