//! Many concurrent writes, each durable when it ends.

use std::io;
use std::sync::Arc;

use super::blocks::Blocks;
use super::traits::LogFile;

/// A write that [`WriteQueue::start`] started, at its end.
pub struct EndedWrite {
    /// As given.
    pub ticket: u64,
    /// How it ended.
    pub outcome: WriteOutcome,
    /// As given; empty if the device may still read them.
    pub blocks: Blocks,
}

/// How a write of a [`WriteQueue`] ended.
#[derive(Debug)]
pub enum WriteOutcome {
    /// As [`LogFile::write`] returns it.
    Made(io::Result<()>),
    /// It was never begun, nor will it be: the queue broke before.
    NotBegun,
}

/// A [`WriteQueue`] failed for good: it takes nothing more.
#[derive(Debug)]
pub struct BrokenQueue {
    /// Why.
    pub cause: io::Error,
    /// Writes are under way of which nobody will hear: they may still reach the device, as long as this process lives.
    pub leaves_writes: bool,
}

/// Many durable writes at a time, of one thread: whoever made it uses it. What was started ends, each once, or the queue
/// breaks.
pub trait WriteQueue: Send {
    /// Starts what [`LogFile::write`] does. `ticket` is not that of another write under way. The device may get it only with
    /// the next [`WriteQueue::submit`] or [`WriteQueue::reap`].
    fn start(&mut self, ticket: u64, file: Arc<dyn LogFile>, offset: u64, blocks: Blocks);
    /// Gives the device what was started.
    fn submit(&mut self) {}
    /// Adds the writes that have ended, in any order; if it `may_wait`, waits until one has or somebody wakes it.
    ///
    /// # Errors
    /// It broke: all that was under way is among `ended`.
    fn reap(&mut self, may_wait: bool, ended: &mut Vec<EndedWrite>) -> Result<(), BrokenQueue>;
    /// What ends a wait, from any thread.
    fn waker(&self) -> Arc<dyn Waker>;
    /// Waits until nothing is under way any more, and forgets how that ended.
    ///
    /// # Errors
    /// It broke.
    fn finish(&mut self) -> Result<(), BrokenQueue>;
}

/// Ends the wait of a [`WriteQueue`], this or the next one.
pub trait Waker: Send + Sync {
    /// Does it.
    fn wake(&self);
}
