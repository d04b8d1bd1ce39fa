//! The task of a projection: what comes next, and how far it has come.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::command::Command;
use super::cursors::CursorError;
use super::error::ProjectionError;
use super::guard::{Done, Halt, Stop, guarded};
use super::handler::Step;
use super::keeper::Keeper;
use super::progress::Progress;
use super::settings::{Settings, checksum};
use super::standing::Standing;
use crate::asked::{Follow, Followed};
use crate::class::ErrorClass;
use crate::error::Error;
use crate::follows::Follows;
use crate::retry::RetryPolicy;
use crate::store::StoreClient;

/// So often in a row a token may be refused: a source of tokens may be late, and clocks differ.
const TOKENS_REFUSED_MAX: u32 = 10;

/// A server that asks to wait for longer is asked again all the same.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A projection at work.
pub(super) struct Run<K> {
    pub(super) keeper: K,
    pub(super) store: StoreClient,
    pub(super) follow: Follow,
    pub(super) settings: Settings,
    /// How far it has come, and what of that is stored.
    pub(super) standing: Standing,
    pub(super) stored: Option<Standing>,
    /// Whether they differ, and entries that were handled since they did not.
    pub(super) is_changed: bool,
    pub(super) unsaved: u64,
    saved_at: Instant,
    pub(super) stop: Stop,
    commands: mpsc::Receiver<Command>,
    progress: watch::Sender<Progress>,
}

/// What comes next.
enum Event {
    Told(Followed),
    Broke(Error),
    Command(Command),
    SaveIsDue,
}

/// How often in a row the follow broke.
#[derive(Default)]
struct Breaks {
    times: u32,
    tokens_refused: u32,
}

impl<K: Keeper> Run<K> {
    pub(super) fn new(
        keeper: K,
        (store, follow, settings): (StoreClient, Follow, Settings),
        stop: Stop,
        commands: mpsc::Receiver<Command>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            keeper,
            store,
            follow,
            settings,
            standing: Standing::default(),
            stored: None,
            is_changed: false,
            unsaved: 0,
            saved_at: Instant::now(),
            stop,
            commands,
            progress,
        }
    }

    /// Runs until it is stopped, or fails. What was handled is stored in either case.
    pub(super) async fn run(mut self) -> Result<(), ProjectionError> {
        match self.begin().await {
            Ok(()) => {}
            Err(Halt::Stopped) => return Ok(()),
            Err(Halt::Failed(error)) => return Err(error),
        }
        let Err(halt) = self.work().await;
        if let Halt::Failed(error @ ProjectionError::Cursor(_)) = halt {
            return Err(error);
        }
        let saved = match self.save().await {
            Ok(()) => Ok(()),
            Err(Halt::Failed(error)) => Err(error),
            Err(Halt::Stopped) => {
                let why = format!("not within the {:?} that a stop has", self.settings.grace);
                Err(CursorError::Storage(why).into())
            }
        };
        match halt {
            Halt::Stopped => saved,
            Halt::Failed(error) => Err(error),
        }
    }

    /// Takes up what is stored.
    async fn begin(&mut self) -> Done<()> {
        let follows = checksum(&self.store, &self.follow);
        self.stored = self.loaded().await?;
        self.standing = match &self.stored {
            Some(stored) if stored.follows() != follows => return Err(ProjectionError::OtherFollow.into()),
            Some(stored) => stored.clone(),
            None => Standing::of(follows),
        };
        self.tell_parked();
        let (cursor, position) = (self.standing.cursor().clone(), self.standing.position());
        self.tell(|progress| (progress.cursor, progress.position) = (cursor, position));
        Ok(())
    }

    async fn work(&mut self) -> Done<Infallible> {
        let mut breaks = Breaks::default();
        loop {
            let behind = self.standing.cursor().clone();
            let mut told = Follows::in_log_order(
                self.store.clone(),
                Follow {
                    from_now: self.follow.from_now && behind.bytes().is_empty(),
                    behind,
                    ..self.follow.clone()
                },
            );
            loop {
                match self.next(&mut told).await? {
                    Event::Told(followed) => {
                        breaks = Breaks::default();
                        self.tell(|progress| progress.trouble = None);
                        self.take(followed).await?;
                    }
                    Event::Broke(error) => {
                        self.go_on(error, &mut breaks).await?;
                        break;
                    }
                    Event::Command(command) => self.answer(command).await?,
                    Event::SaveIsDue => self.save().await?,
                }
            }
        }
    }

    async fn next(&mut self, told: &mut Follows) -> Done<Event> {
        let due = match self.is_changed {
            true => self.saved_at.checked_add(self.settings.save_time),
            false => None,
        };
        let due = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.asked() => Err(Halt::Stopped),
            Some(command) = self.commands.recv() => Ok(Event::Command(command)),
            () = due => Ok(Event::SaveIsDue),
            told = told.next() => Ok(match told {
                Some(Ok(followed)) => Event::Told(followed),
                Some(Err(error)) => Event::Broke(error),
                None => Event::Broke(Error::Protocol("a follow ended without an error".to_owned())),
            }),
        }
    }

    /// Between two entries: whether it is to stop, and what else was asked for.
    pub(super) async fn between(&mut self) -> Done<()> {
        if self.stop.is_asked() {
            return Err(Halt::Stopped);
        }
        while let Some(Some(command)) = self.commands.recv().now_or_never() {
            self.answer(command).await?;
        }
        self.save_if_due().await
    }

    /// The follow broke. Waits before it is begun again, if that error may pass.
    async fn go_on(&mut self, error: Error, breaks: &mut Breaks) -> Done<()> {
        let is_token = matches!(error, Error::Unauthorized) || error.class() == ErrorClass::Expired;
        breaks.times += 1;
        breaks.tokens_refused += u32::from(is_token);
        let may_pass = match is_token {
            true => breaks.tokens_refused <= TOKENS_REFUSED_MAX,
            false => error.is_transient(),
        };
        if !may_pass {
            return Err(error.into());
        }
        let pause = error.retry_after();
        let pause = pause.unwrap_or_else(|| RetryPolicy::DEFAULT.pause(breaks.times));
        self.tell(|progress| {
            progress.begun_again += 1;
            progress.trouble = Some(error.to_string());
        });
        self.save_if_due().await?;
        self.pause(pause.min(PAUSE_MAX)).await
    }

    /// Waits, unless it is to stop.
    pub(super) async fn pause(&mut self, longest: Duration) -> Done<()> {
        tokio::select! {
            () = self.stop.asked() => Err(Halt::Stopped),
            () = sleep(longest) => Ok(()),
        }
    }

    pub(super) async fn save_if_due(&mut self) -> Done<()> {
        let is_due = self.unsaved >= self.settings.save_entries || self.saved_at.elapsed() >= self.settings.save_time;
        match is_due {
            true => self.save().await,
            false => Ok(()),
        }
    }

    /// Stores how far it has come, if that is not stored.
    pub(super) async fn save(&mut self) -> Done<()> {
        if !self.is_changed {
            return Ok(());
        }
        let after = self.standing.clone().behind(self.stored.as_ref());
        let mut times = 0;
        loop {
            let step = Step {
                entries: &[],
                before: self.stored.as_ref(),
                after: &after,
            };
            let saved = guarded(&mut self.stop, &self.settings, self.keeper.save(step)).await?;
            let Err(error) = saved.unwrap_or_else(|why| Err(CursorError::Storage(why))) else {
                break;
            };
            if K::STORES_AS_ONE && self.is_stored(&after).await? {
                break;
            }
            times += 1;
            self.wait_for_storage(error, times).await?;
        }
        self.keeps(after);
        Ok(())
    }

    /// This is stored now.
    pub(super) fn keeps(&mut self, after: Standing) {
        self.standing = after.clone();
        self.stored = Some(after);
        self.is_changed = false;
        self.unsaved = 0;
        self.saved_at = Instant::now();
        self.tell(|progress| progress.saved += 1);
    }

    /// Whether a step that seems to have failed is stored all the same.
    pub(super) async fn is_stored(&mut self, after: &Standing) -> Done<bool> {
        let found = self.loaded().await?;
        match found {
            Some(found) if found == *after => Ok(true),
            found if found == self.stored => Ok(false),
            found => {
                let found = found.map_or(0, |found| found.step());
                Err(CursorError::Moved { found }.into())
            }
        }
    }

    /// What is stored.
    async fn loaded(&mut self) -> Done<Option<Standing>> {
        let mut times = 0;
        loop {
            let loaded = guarded(&mut self.stop, &self.settings, self.keeper.load()).await?;
            match loaded.unwrap_or_else(|why| Err(CursorError::Storage(why))) {
                Ok(found) => return Ok(found),
                Err(error) => {
                    times += 1;
                    self.wait_for_storage(error, times).await?;
                }
            }
        }
    }

    /// The storage failed so often. Waits before it is tried again, if it is; also at a stop, which is not to lose what was handled.
    async fn wait_for_storage(&mut self, error: CursorError, times: u32) -> Done<()> {
        if !error.is_transient() || times >= self.settings.retries.attempts {
            return Err(error.into());
        }
        self.tell(|progress| progress.trouble = Some(error.to_string()));
        sleep(self.settings.retries.pause(times)).await;
        Ok(())
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    pub(super) fn tell_parked(&self) {
        let parked = self.standing.parked();
        let parked = parked.map(|(path, at)| (path.clone(), at.first)).collect();
        self.tell(|progress| progress.parked = parked);
    }
}
