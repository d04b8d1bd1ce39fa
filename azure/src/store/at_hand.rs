//! The log of one store at this host, begun when somebody needs it, and begun anew after it failed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamkit_engine::clock::Clock;
use streamkit_engine::{AppendError, Landed, Proposal, ReadError, Store as _, StoreId};
use uuid::Uuid;

use super::told;
use crate::driver::Driver;
use crate::ledger::{CopyHome, ReplicaLedger};
use crate::log::{Boot, Failure, LogMeter, Outcome, Settings, Why};
use crate::medium::Medium;

/// A log that failed is begun anew after so long.
const PAUSE: Duration = Duration::from_secs(1);

/// The log of a store.
pub(super) struct AtHand {
    pub store: StoreId,
    pub host: Uuid,
    pub medium: Arc<dyn Medium>,
    pub settings: Settings,
    pub home: CopyHome,
    pub clock: Arc<dyn Clock>,
    /// How long whoever appends, and whoever reads, waits.
    pub patience: (Duration, Duration),
    meter: Arc<LogMeter>,
    at_work: Mutex<State>,
    /// One log takes the place of another at a time.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    driver: Option<Arc<Driver<ReplicaLedger>>>,
    /// Whether it makes a store that is not there.
    creates: bool,
    failed: Option<(Duration, Failure)>,
    is_closed: bool,
}

impl AtHand {
    pub(super) fn new(
        host: Uuid,
        medium: Arc<dyn Medium>,
        settings: Settings,
        home: CopyHome,
        clock: Arc<dyn Clock>,
        patience: (Duration, Duration),
        meter: Arc<LogMeter>,
    ) -> Self {
        Self {
            store: home.copy.id(),
            host,
            medium,
            settings,
            home,
            clock,
            patience,
            meter,
            at_work: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// The log at work. `creates`: it makes the store if it is not there.
    async fn driver(&self, creates: bool) -> Result<Arc<Driver<ReplicaLedger>>, Why> {
        if let Some(driver) = self.at_work(creates)? {
            return Ok(driver);
        }
        let _one = self.changing.lock().await;
        if let Some(driver) = self.at_work(creates)? {
            return Ok(driver);
        }
        let before = {
            let mut state = self.state();
            state.failed = None;
            state.creates |= creates;
            state.driver.take()
        };
        if let Some(before) = before {
            // It failed, or has nothing but looks under way, which begin again here.
            before.leave().await;
        }
        let mut state = self.state();
        if state.is_closed {
            return Err(Why::Closed);
        }
        let settings = Settings {
            creates: state.creates,
            slot_bytes: self.medium.slot_bytes_max(),
            ..self.settings
        };
        let boot = Boot {
            host: self.host,
            boot: Uuid::new_v4(),
        };
        let seed = boot.boot.as_u64_pair().0;
        let (medium, home, clock) = (self.medium.clone(), self.home.clone(), self.clock.clone());
        let meter = self.meter.clone();
        let driver = Arc::new(Driver::start(medium, settings, home, boot, seed, clock, meter));
        state.driver = Some(driver.clone());
        Ok(driver)
    }

    /// The log that is at work; `None`: another one has to take its place.
    fn at_work(&self, creates: bool) -> Result<Option<Arc<Driver<ReplicaLedger>>>, Why> {
        let state = self.state();
        if state.is_closed {
            return Err(Why::Closed);
        }
        if let Some((since, failure)) = &state.failed {
            // That nobody had made the store is over as soon as somebody does.
            let is_over = *failure == Failure::NoStore || self.clock.uptime() >= *since + PAUSE;
            return match is_over {
                true => Ok(None),
                false => Err(Why::Failed(failure.clone())),
            };
        }
        Ok(state.driver.clone().filter(|_| state.creates || !creates))
    }

    /// Stores what a proposal wants.
    pub(super) async fn ask(&self, proposal: Proposal) -> Result<Landed, AppendError> {
        let began = self.clock.uptime();
        let outcome = match self.driver(true).await {
            Ok(driver) => {
                let outcome = driver.ask(proposal, self.patience.0).await;
                if let Outcome::NotStored(Why::Failed(failure)) | Outcome::Unknown(_, Why::Failed(failure)) = &outcome {
                    self.has_failed(&driver, failure);
                }
                outcome
            }
            Err(why) => Outcome::NotStored(why),
        };
        if let Outcome::Durable(_) = outcome {
            self.meter.committed(self.clock.uptime().saturating_sub(began));
        }
        told::outcome(self.store, outcome)
    }

    /// Waits until the copy has everything that was durable when this was called.
    pub(super) async fn look(&self) -> Result<(), ReadError> {
        let looked = self.try_look().await;
        looked.map_err(|why| told::not_read(self.store, &why))
    }

    /// The same for a read that begins before damage, too: it reads what the copy has of this log, and where its end would be stands what is returned.
    pub(super) async fn look_until_damage(&self) -> Result<Option<Failure>, ReadError> {
        match self.try_look().await {
            Ok(()) => Ok(None),
            Err(Why::Failed(failure)) if told::is_damage(&failure) && self.home.is_of_log.load(Ordering::Acquire) => {
                Ok(Some(failure))
            }
            Err(why) => Err(told::not_read(self.store, &why)),
        }
    }

    async fn try_look(&self) -> Result<(), Why> {
        let creates = self.state().creates;
        let driver = self.driver(creates).await?;
        match driver.look(self.patience.1).await {
            // Nobody ever wrote to it.
            Err(Why::Failed(Failure::NoStore)) if self.home.copy.is_new() => {
                self.has_failed(&driver, &Failure::NoStore);
                Ok(())
            }
            Err(Why::Failed(failure)) => {
                self.has_failed(&driver, &failure);
                Err(Why::Failed(failure))
            }
            Ok(()) => {
                self.home.is_of_log.store(true, Ordering::Release);
                Ok(())
            }
            // Another log took its place meanwhile.
            Err(Why::Closed) if !self.state().is_closed && !self.is_at_work(&driver) => Box::pin(self.try_look()).await,
            looked => looked,
        }
    }

    fn is_at_work(&self, driver: &Arc<Driver<ReplicaLedger>>) -> bool {
        let state = self.state();
        state.driver.as_ref().is_some_and(|own| Arc::ptr_eq(own, driver))
    }

    fn has_failed(&self, driver: &Arc<Driver<ReplicaLedger>>, failure: &Failure) {
        let mut state = self.state();
        if state.driver.as_ref().is_some_and(|own| Arc::ptr_eq(own, driver)) && state.failed.is_none() {
            self.meter.failed(failure);
            match failure {
                Failure::NoStore => {}
                Failure::Deleted => tracing::warn!(store = %self.store, "a store was deleted from the account"),
                failure => {
                    tracing::error!(store = %self.store, %failure, "the shared log of a store cannot go on");
                }
            }
            state.failed = Some((self.clock.uptime(), failure.clone()));
        }
    }

    /// Why it takes no writes now, if something is wrong.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failed = self.state().failed.as_ref().map(|(_, failure)| failure.clone());
        failed.filter(|failure| !matches!(failure, Failure::NoStore | Failure::Deleted))
    }

    /// Why this host cannot keep the copy, if it cannot: others can.
    pub(super) fn host_failure(&self) -> Option<Failure> {
        self.failure().filter(|failure| matches!(failure, Failure::Host(_)))
    }

    /// Leaves the log: what is pinned is resolved, and nothing else is taken.
    pub(super) async fn close(&self) {
        self.state().is_closed = true;
        let _one = self.changing.lock().await;
        let driver = self.state().driver.clone();
        if let Some(driver) = driver {
            driver.leave().await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
