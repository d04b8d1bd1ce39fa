//! A command in a process group of its own, so that what it starts is ended with it.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use crate::signals::forwarded::Forwarded;

/// How often is looked whether the group is still there.
const LOOKED_EVERY: Duration = Duration::from_millis(20);

/// A command, and what it started in its group.
pub(super) struct Group {
    leader: Child,
    /// Its number, that of the leader.
    id: Pid,
}

impl Group {
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
        let leader = command.process_group(0).spawn()?;
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let id = id.ok_or_else(|| io::Error::other("it has no number"))?;
        Ok(Self { leader, id })
    }

    /// Waits until the command has ended.
    ///
    /// Cancel safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.leader.wait().await
    }

    /// Sends it a signal. A group that is gone needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }

    /// Asks all of it to end, and kills what is there after the grace; says whether the command was. Signals go on meanwhile.
    pub(super) async fn end_within(&mut self, grace: Duration, signals: &mut Forwarded) -> io::Result<bool> {
        // No clock reaches farther than it can.
        let over = Instant::now().checked_add(grace);
        self.signal(Signal::TERM);
        // One that was stopped hears nothing.
        self.signal(Signal::CONT);
        let gone = async {
            loop {
                tokio::select! {
                    biased;
                    gone = self.gone() => return gone,
                    signal = signals.next() => self.signal(signal),
                }
            }
        };
        let Some(over) = over else {
            return gone.await.map(|()| false);
        };
        if let Ok(gone) = timeout_at(over, gone).await {
            return gone.map(|()| false);
        }
        let is_there = self.leader.try_wait()?.is_none();
        self.signal(Signal::KILL);
        self.ended().await?;
        Ok(is_there)
    }

    /// Waits until neither the command nor anything else of its group is there.
    async fn gone(&mut self) -> io::Result<()> {
        self.ended().await?;
        while test_kill_process_group(self.id).is_ok() {
            sleep(LOOKED_EVERY).await;
        }
        Ok(())
    }
}
