//! The set of keys that an issuer publishes: fetched by one task, kept while the issuer is away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::config::IssuerConfig;
use super::fetch::{Source, back_off};
use crate::auth::algorithm::Algorithm;
use crate::auth::key::{Key, KeyError};

/// Requests that wait for a fetch at a time; others are told to come again. Each holds a place in the handshake meanwhile.
const WAITING_MAX: usize = 64;

/// What came of the wish for newer keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refresh {
    /// They were fetched meanwhile, or that was tried.
    Done,
    /// They are as new as they may be.
    NotNow,
    /// They cannot be had now.
    Unavailable,
}

pub(super) struct Issuer {
    source: Source,
    config: IssuerConfig,
    unsaid: Vec<Algorithm>,
    state: Mutex<State>,
    /// Fetches that ended.
    ended: watch::Sender<u64>,
    wanted: Notify,
    waiting: Semaphore,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<[Key]>>,
    fetched: Option<Instant>,
    /// When the last fetch began, or was asked for.
    begun: Option<Instant>,
    /// Whether one is under way, or asked for.
    is_under_way: bool,
    /// Whether another one is to follow the one under way.
    is_stale: bool,
    /// Whether the last one failed.
    is_away: bool,
    failures: u64,
}

impl Issuer {
    pub(super) fn new(config: IssuerConfig, unsaid: Vec<Algorithm>) -> Result<Self, KeyError> {
        let state = State {
            // The task begins with it.
            is_under_way: true,
            ..State::default()
        };
        Ok(Self {
            source: Source::new(&config)?,
            config,
            unsaid,
            state: Mutex::new(state),
            ended: watch::Sender::new(0),
            wanted: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last good set; `None` while there was none.
    pub(super) fn keys(&self) -> Option<Arc<[Key]>> {
        self.state().keys.clone()
    }

    /// How long ago it was fetched.
    pub(super) fn age(&self) -> Option<Duration> {
        self.state().fetched.map(|fetched| fetched.elapsed())
    }

    /// Fetches that failed.
    pub(super) fn failures(&self) -> u64 {
        self.state().failures
    }

    /// Fetches the first set, unless that was tried a short time ago.
    pub(super) async fn first(&self) -> Refresh {
        let ended = self.ended.subscribe();
        if self.keys().is_some() {
            return Refresh::Done;
        }
        match self.want(self.config.pause) {
            true if self.wait(ended).await == Refresh::Done && self.keys().is_some() => Refresh::Done,
            _ => Refresh::Unavailable,
        }
    }

    /// Fetches the set because a token names a key that is not in it, unless it was fetched a short time ago. While that fails, such
    /// a key may be a new one.
    pub(super) async fn for_unknown_key(&self) -> Refresh {
        let ended = self.ended.subscribe();
        let refresh = match self.want(self.config.pause) {
            true => self.wait(ended).await,
            false => Refresh::NotNow,
        };
        match self.state().is_away {
            true => Refresh::Unavailable,
            false => refresh,
        }
    }

    /// Fetches the set because somebody says that there is a newer one, which the fetch under way may not bring.
    pub(super) fn fetch_soon(&self) {
        let mut state = self.state();
        state.is_stale = state.is_under_way;
        drop(state);
        self.want(Duration::ZERO);
    }

    /// Whether a fetch is under way, or one was asked for now because the last began so long ago.
    fn want(&self, pause: Duration) -> bool {
        let mut state = self.state();
        if state.is_under_way {
            return true;
        }
        if state.begun.is_some_and(|begun| begun.elapsed() < pause) {
            return false;
        }
        state.is_under_way = true;
        state.begun = Some(Instant::now());
        self.wanted.notify_one();
        true
    }

    async fn wait(&self, mut ended: watch::Receiver<u64>) -> Refresh {
        let Ok(_place) = self.waiting.try_acquire() else {
            return Refresh::Unavailable;
        };
        // A fetch has a deadline of its own.
        let patience = self.config.deadline * 2;
        match tokio::time::timeout(patience, ended.changed()).await {
            Ok(Ok(())) => Refresh::Done,
            _ => Refresh::Unavailable,
        }
    }

    /// Fetches it now and then, and whenever it is wanted. Never ends.
    pub(super) async fn keep_fetching(&self) {
        let mut failed = 0;
        loop {
            self.fetch(&mut failed).await;
            let random = rand::random::<f64>();
            let period = self.config.period;
            let pause = match failed {
                // A tenth earlier at most: servers that start together part.
                0 => period.mul_f64(1.0 - random / 10.0),
                failed => back_off(failed, period, random),
            };
            let next = tokio::time::sleep(pause);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    () = self.wanted.notified() => if self.state().is_under_way { break },
                }
            }
        }
    }

    async fn fetch(&self, failed: &mut u32) {
        {
            let mut state = self.state();
            state.is_under_way = true;
            state.begun = Some(Instant::now());
        }
        let fetched = self.source.fetch(&self.unsaid).await;
        let mut state = self.state();
        state.is_away = fetched.is_err();
        match fetched {
            Ok(keys) => {
                if *failed > 0 || state.keys.is_none() {
                    tracing::info!(keys = keys.len(), "the key set of {} is here", self.source.shown());
                }
                *failed = 0;
                state.keys = Some(keys.into());
                state.fetched = Some(Instant::now());
            }
            Err(why) => {
                *failed = failed.saturating_add(1);
                state.failures += 1;
                let kept = match state.keys {
                    Some(_) => "the keys that it had go on counting",
                    None => "there are no keys of it yet: its tokens are answered 503",
                };
                let place = self.source.shown();
                tracing::warn!(
                    failures = *failed,
                    "the key set of {place} cannot be had: {why}; {kept}"
                );
            }
        }
        state.is_under_way = std::mem::take(&mut state.is_stale);
        if state.is_under_way {
            self.wanted.notify_one();
        }
        drop(state);
        self.ended.send_modify(|ended| *ended += 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// One of which a fetch, just now, failed.
    fn away(pause: Duration) -> Issuer {
        let mut config = IssuerConfig::new("https://issuer.example/");
        config.pause = pause;
        let issuer = Issuer::new(config, Vec::new()).unwrap();
        let state = State {
            begun: Some(Instant::now()),
            is_away: true,
            ..State::default()
        };
        *issuer.state() = state;
        issuer
    }

    /// What a fetch that is under way brings may be older than what somebody says there is.
    #[tokio::test]
    async fn who_says_that_there_is_a_newer_set_is_heard_during_a_fetch() {
        // Nobody listens there.
        let config = IssuerConfig::new("http://127.0.0.1:1/");
        let issuer = Issuer::new(config, Vec::new()).unwrap();
        issuer.fetch_soon();
        issuer.fetch(&mut 0).await;
        assert!(issuer.state().is_under_way, "another is asked for");
        issuer.wanted.notified().await;
        issuer.fetch(&mut 0).await;
        assert!(!issuer.state().is_under_way);
    }

    #[tokio::test]
    async fn a_token_asks_for_the_first_set_no_oftener_than_for_a_newer_one() {
        let issuer = away(Duration::ZERO);
        assert_eq!(issuer.first().now_or_never(), None, "it waits");
        assert!(issuer.state().is_under_way);
        issuer.wanted.notified().await;
        let issuer = away(Duration::from_secs(3600));
        assert_eq!(issuer.first().now_or_never(), Some(Refresh::Unavailable));
        assert!(!issuer.state().is_under_way);
    }
}
