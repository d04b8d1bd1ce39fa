//! A projection that runs, as its owner sees it.

use streamkit_record::SegmentPath;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::command::Command;
use super::error::ProjectionError;
use super::guard::Stop;
use super::keeper::Keeper;
use super::progress::Progress;
use super::run::Run;
use super::settings::Settings;
use crate::asked::Follow;
use crate::store::StoreClient;

/// Replays that wait. More wait where they are asked for.
const COMMANDS_MAX: usize = 16;

/// A projection that runs in a task of its own. Dropping it stops the projection as [`Running::stop`] does, but waits for nothing.
#[must_use = "dropping it stops the projection"]
pub struct Running {
    stop: watch::Sender<bool>,
    commands: mpsc::Sender<Command>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<Result<(), ProjectionError>>,
    /// How it ended, once that is known.
    ended: Option<Result<(), ProjectionError>>,
}

impl Running {
    pub(super) fn start(keeper: impl Keeper, store: StoreClient, follow: Follow, settings: Settings) -> Self {
        let (stop, is_asked) = watch::channel(false);
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let (tells, progress) = watch::channel(Progress::default());
        let run = Run::new(keeper, (store, follow, settings), Stop(is_asked), asked, tells);
        Self {
            stop,
            commands,
            progress,
            task: tokio::spawn(run.run()),
            ended: None,
        }
    }

    /// How it fares now; behind its end, how it fared then.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until its progress is such, and returns it. Cancel safe.
    ///
    /// # Errors
    /// [`ProjectionError::Stopped`]: it has ended, and its progress is not such. [`Running::ended`] says why.
    pub async fn until(&self, is_such: impl FnMut(&Progress) -> bool) -> Result<Progress, ProjectionError> {
        let mut progress = self.progress.clone();
        let such = progress.wait_for(is_such).await;
        such.map(|such| such.clone()).map_err(|_| ProjectionError::Stopped)
    }

    /// Handles the entries of a parked segment from its first unhandled one on, read from the log, and lets the segment go on with the others. Returns how
    /// many there were. The others wait meanwhile. It is retried like any entry; one that fails again leaves the segment parked at it.
    ///
    /// Dropping the future gives the answer up, not the replay.
    ///
    /// # Errors
    /// [`ProjectionError::StaysParked`], [`ProjectionError::NotParked`]; [`ProjectionError::Server`] with [`Error::Removed`](crate::Error::Removed) if the first
    /// unhandled entry is not there any more, which [`Running::skip`] passes over; [`ProjectionError::Stopped`].
    pub async fn replay(&self, path: &SegmentPath) -> Result<u64, ProjectionError> {
        self.ask(path, false).await
    }

    /// The same without the first unhandled entry, which is then never handled, and without those behind it that are not there any more.
    ///
    /// # Errors
    /// As [`Running::replay`].
    pub async fn skip(&self, path: &SegmentPath) -> Result<u64, ProjectionError> {
        self.ask(path, true).await
    }

    async fn ask(&self, path: &SegmentPath, skips_first: bool) -> Result<u64, ProjectionError> {
        let (answer, answered) = oneshot::channel();
        let command = Command {
            path: path.clone(),
            skips_first,
            answer,
        };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| ProjectionError::Stopped)?;
        answered.await.unwrap_or(Err(ProjectionError::Stopped))
    }

    /// Waits until it has ended by itself, which it does with an error alone. Cancel safe.
    ///
    /// # Errors
    /// Why it has ended.
    ///
    /// # Panics
    /// If the projection itself did.
    pub async fn ended(&mut self) -> Result<(), ProjectionError> {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let ended = match (&mut self.task).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Its runtime is gone.
                Err(_) => Err(ProjectionError::Stopped),
            },
        };
        self.ended.insert(ended).clone()
    }

    /// Stops it: waits for the handler under way, but not longer than the grace, and saves how far it has come. Dropping the
    /// future waits no longer; it stops all the same.
    ///
    /// # Errors
    /// Why it had ended before, or how far it has come cannot be saved.
    pub async fn stop(mut self) -> Result<Progress, ProjectionError> {
        self.stop.send_replace(true);
        self.ended().await?;
        Ok(self.progress())
    }
}
