//! Keeps a host's own row, and knows who else is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::register::Register;
use super::roster::{HOSTS_MAX, Roster};
use crate::host::Host;

/// How often a host writes its row and reads those of others.
const BEAT: Duration = Duration::from_secs(2);

/// How long a call of the register may take. What comes later would say little of who is there.
const CALL: Duration = Duration::from_secs(4);

/// A host among others. Dropped, it goes without a word, and is taken for gone a little later.
pub struct Presence {
    others: watch::Receiver<Arc<[Host]>>,
    leaving: CancellationToken,
    left: watch::Receiver<bool>,
}

impl Presence {
    /// Begins to be there.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn begin(register: Arc<dyn Register>, own: Host) -> Self {
        let (tells, others) = watch::channel(Arc::from([]));
        let (tells_left, left) = watch::channel(false);
        let leaving = CancellationToken::new();
        let keeper = Keeper {
            roster: Roster::new(own.id),
            register,
            own,
            sequence: 0,
            begun: Instant::now(),
            is_read: true,
            is_written: true,
            tells,
        };
        let stops = leaving.clone();
        tokio::spawn(async move {
            keeper.run(stops).await;
            tells_left.send_replace(true);
        });
        Self { others, leaving, left }
    }

    /// The other hosts that are there, in the order of their ids.
    pub fn others(&self) -> watch::Receiver<Arc<[Host]>> {
        self.others.clone()
    }

    /// Leaves: removes the own row, so that others know within seconds. Returns when that is done, or has failed. Until they know, which takes two
    /// beats, four seconds, they send what this host is to write: it had better serve its link for so long.
    ///
    /// Cancel safe.
    pub async fn leave(&self) {
        self.leaving.cancel();
        let mut left = self.left.clone();
        // Its other end is dropped with the task.
        let _ = left.wait_for(|left| *left).await;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.leaving.cancel();
    }
}

struct Keeper {
    register: Arc<dyn Register>,
    own: Host,
    sequence: u64,
    roster: Roster,
    begun: Instant,
    /// Whether the last read, and the last write, succeeded: what is so is said once.
    is_read: bool,
    is_written: bool,
    tells: watch::Sender<Arc<[Host]>>,
}

impl Keeper {
    async fn run(mut self, leaving: CancellationToken) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = leaving.cancelled() => break,
                _ = beats.tick() => {}
            }
            // A call that was sent is waited for: a row that came behind the removal would stay.
            self.beat().await;
        }
        if let Err(error) = within(self.register.remove(self.own.id, None)).await {
            tracing::warn!(%error, "this host leaves, and others will notice some seconds later");
        }
    }

    async fn beat(&mut self) {
        self.sequence += 1;
        let (written, read) = tokio::join!(
            within(self.register.write(&self.own, self.sequence)),
            within(self.register.read(HOSTS_MAX + 1)),
        );
        told(
            &mut self.is_written,
            "write its row among the hosts",
            written.as_ref().err(),
        );
        told(&mut self.is_read, "read which hosts are there", read.as_ref().err());
        if let Ok(rows) = read {
            let own = rows.iter().find(|row| row.host.id == self.own.id);
            // At the first beat it may be that of the last start.
            if let Some(other) = own.filter(|row| row.host.boot != self.own.boot && self.sequence > 1) {
                tracing::warn!(
                    address = other.host.address(),
                    "another process says that it is this host"
                );
            }
            self.roster.read(self.begun.elapsed(), rows);
        }
        for row in self.roster.stale() {
            // Whoever has changed it meanwhile is there.
            if within(self.register.remove(row.host.id, Some(&row.version)))
                .await
                .is_ok()
            {
                tracing::info!(host = %row.host.id, "the row of a host that is gone was removed");
            }
        }
        let present: Arc<[Host]> = self.roster.present(self.begun.elapsed()).into();
        self.tells.send_if_modified(|known| {
            let is_new = *known != present;
            if is_new {
                tracing::info!(others = present.len(), "other hosts that are there");
                *known = present;
            }
            is_new
        });
    }
}

/// A call of the register, or that it took too long.
async fn within<T>(call: impl Future<Output = Result<T, super::RegisterError>>) -> Result<T, super::RegisterError> {
    match timeout(CALL, call).await {
        Ok(done) => done,
        Err(_) => Err(super::RegisterError(format!("no answer within {CALL:?}"))),
    }
}

/// Says once that something cannot be done, and once that it can again.
fn told(was_done: &mut bool, what: &str, error: Option<&super::RegisterError>) {
    let is_done = error.is_none();
    match error {
        Some(error) if *was_done => tracing::warn!(%error, "this host cannot {what}: it writes alone until it can"),
        None if !*was_done => tracing::info!("this host can {what} again"),
        _ => {}
    }
    *was_done = is_done;
}
