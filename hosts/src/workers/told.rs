//! Tells other hosts which workers this one has, and hears which they have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streamkit_azure::account::CallError;
use streamkit_engine::StoreId;
use streamkit_server_core::{HostedWorker, SharedWorkers, WorkerRegister};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::known::Known;
use super::row;
use super::table::TableOfWorkers;

/// How often the rows of others are read, of one store.
const LOOK: Duration = Duration::from_secs(1);

/// Stores that are looked at so often. Of more, each is looked at less often: a host makes that many reads a second, whoever asks for however many stores.
const STORES_A_LOOK: usize = 100;

/// Stores of which a host shares the workers. Those of more are known to their own host alone; with more, a row would not be changed in time.
const STORES_MAX: usize = 500;

/// How often a host changes its row, though its workers are the same.
const RENEW: Duration = Duration::from_secs(5);

/// How long a call of the table may take.
const CALL: Duration = Duration::from_secs(4);

/// The workers of all stores at all hosts.
#[derive(Clone, Debug)]
pub struct Workers {
    table: TableOfWorkers,
    /// How many stores are shared now.
    stores: Arc<AtomicUsize>,
}

impl Workers {
    /// In a table that is there.
    pub fn new(table: TableOfWorkers) -> Self {
        Self {
            table,
            stores: Arc::default(),
        }
    }
}

impl WorkerRegister for Workers {
    fn join(&self, store: StoreId) -> SharedWorkers {
        let ((own, tells), (hears, others)) = (watch::channel(Vec::new()), watch::channel(Vec::new()));
        let place = StorePlace(self.stores.clone());
        let others_shared = place.0.fetch_add(1, Ordering::Relaxed);
        if others_shared >= STORES_MAX {
            // Whoever asks for many more writes no line for each.
            if others_shared == STORES_MAX {
                tracing::warn!(
                    "the workers of more than {STORES_MAX} stores are asked for: those of further ones are known to this host alone"
                );
            }
            // Both ends go: nobody is told, and nothing is heard.
            return SharedWorkers { own, others };
        }
        let teller = Teller {
            place,
            table: self.table.clone(),
            store,
            begun: Instant::now(),
            known: Known::default(),
            is_known: false,
            written: None,
            is_reached: true,
        };
        tokio::spawn(teller.run(tells, hears));
        SharedWorkers { own, others }
    }
}

/// One of the stores that are shared, until it is dropped.
struct StorePlace(Arc<AtomicUsize>);

impl StorePlace {
    /// How often the store is looked at now.
    fn period(&self) -> Duration {
        let stores = self.0.load(Ordering::Relaxed);
        LOOK * u32::try_from(stores.div_ceil(STORES_A_LOOK).max(1)).unwrap_or(u32::MAX)
    }
}

impl Drop for StorePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Teller {
    place: StorePlace,
    table: TableOfWorkers,
    store: StoreId,
    begun: Instant,
    known: Known,
    /// Whether the rows of others were ever read.
    is_known: bool,
    /// When this host's row was written last, if it has one.
    written: Option<Instant>,
    /// Whether the last calls succeeded: what is so is said once.
    is_reached: bool,
}

impl Teller {
    async fn run(mut self, mut own: watch::Receiver<Vec<HostedWorker>>, hears: watch::Sender<Vec<HostedWorker>>) {
        let mut next = Instant::now();
        loop {
            let is_look = tokio::select! {
                changed = own.changed() => match changed {
                    Ok(()) => false,
                    // Nobody looks any more, or is there.
                    Err(_) => break,
                },
                () = sleep_until(next) => true,
            };
            if is_look {
                next = Instant::now() + self.place.period();
            }
            let mut done = self.tell(&mut own, is_look).await;
            let is_read = is_look && done.is_ok();
            if is_read {
                done = self.look().await;
            }
            let is_first = is_read && done.is_ok() && !std::mem::replace(&mut self.is_known, true);
            self.said(done);
            let others = self.known.workers(self.begun.elapsed());
            hears.send_if_modified(|known| {
                let is_new = is_first || *known != others;
                *known = others;
                is_new
            });
        }
        if self.written.is_some() {
            // If it fails, others notice a little later.
            let _ = within(self.table.remove_own(self.store)).await;
        }
    }

    /// Writes this host's row, if something changed or it is time.
    async fn tell(&mut self, own: &mut watch::Receiver<Vec<HostedWorker>>, is_look: bool) -> Result<(), CallError> {
        let workers = own.borrow_and_update().clone();
        match (workers.is_empty(), self.written) {
            (true, None) => Ok(()),
            (true, Some(_)) => {
                within(self.table.remove_own(self.store)).await?;
                self.written = None;
                Ok(())
            }
            (false, Some(written)) if is_look && written.elapsed() < RENEW => Ok(()),
            (false, _) => {
                // A write that fails may have come to pass, and is made again.
                self.written.get_or_insert(Instant::now() - RENEW);
                within(self.table.write(self.store, row::cells(&workers))).await?;
                self.written = Some(Instant::now());
                Ok(())
            }
        }
    }

    async fn look(&mut self) -> Result<(), CallError> {
        let rows = within(self.table.others(self.store)).await?;
        self.known.read(self.begun.elapsed(), rows);
        for stale in self.known.stale() {
            within(self.table.remove(&stale)).await?;
        }
        Ok(())
    }

    fn said(&mut self, done: Result<(), CallError>) {
        let is_reached = done.is_ok();
        match done {
            Err(error) if self.is_reached => {
                tracing::warn!(store = %self.store, %error, "the workers of a store at other hosts cannot be known, nor they of those here");
            }
            Ok(()) if !self.is_reached => {
                tracing::info!(store = %self.store, "the workers of a store at other hosts are known again");
            }
            _ => {}
        }
        self.is_reached = is_reached;
    }
}

/// A call of the table, or that it took too long.
async fn within<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    let done = timeout(CALL, call).await;
    done.unwrap_or_else(|_| Err(CallError::Unknown(format!("no answer within {CALL:?}"))))
}

#[cfg(test)]
mod tests {
    use super::super::known::GONE;
    use super::*;

    #[test]
    fn a_host_reads_no_more_for_many_stores_and_changes_each_row_in_time() {
        let period = |stores| StorePlace(Arc::new(AtomicUsize::new(stores))).period();
        assert_eq!((period(1), period(100), period(101)), (LOOK, LOOK, LOOK * 2));
        // A renewal may miss a look, and a look a renewal.
        assert!(RENEW.max(period(STORES_MAX)) * 2 < GONE);
    }
}
