//! Turns of work that grows with what a store holds: its lists, the status of a space. It runs on threads for blocking work,
//! so that those which serve connections stay free, and in parts. At a time, of each connection one verb has its turn,
//! and as many parts are at work as there are processors but one. All others wait, first in first out: so long as `N` other
//! connections ask for such work without end, a part waits for `N` parts of theirs, however many each of them asked for.
//!
//! **Nobody waits for ever.** Who has a turn waits for parts alone, never for a peer, a disk or a budget.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ended::Ended;

/// The turns of a process.
pub(crate) struct Heavy {
    at_work: Arc<Semaphore>,
}

/// The turns of a connection.
#[derive(Clone)]
pub(crate) struct Turns {
    own: Arc<Semaphore>,
    heavy: Arc<Heavy>,
}

/// A verb's turn. What is at work when it is dropped keeps it to its end.
pub(crate) struct HeavyTurn {
    own: Arc<OwnedSemaphorePermit>,
    heavy: Arc<Heavy>,
}

impl Heavy {
    pub(crate) fn new() -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::of(processors.saturating_sub(1).max(1))
    }

    fn of(at_work: usize) -> Arc<Self> {
        let at_work = Arc::new(Semaphore::new(at_work));
        Arc::new(Self { at_work })
    }
}

impl Turns {
    pub(crate) fn new(heavy: Arc<Heavy>) -> Self {
        let own = Arc::new(Semaphore::new(1));
        Self { own, heavy }
    }

    /// Waits for the verbs of this connection that came before.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// None but of a bug.
    pub(crate) async fn turn(&self) -> Result<HeavyTurn, Ended> {
        let own = self.own.clone().acquire_owned().await.map_err(|_| Ended)?;
        Ok(HeavyTurn {
            own: Arc::new(own),
            heavy: self.heavy.clone(),
        })
    }
}

impl HeavyTurn {
    /// Does a part of the work, after those of others that came before.
    ///
    /// Cancel safe: dropped before its turn comes, it is not begun; later, it goes on for nobody, and still counts.
    ///
    /// # Panics
    /// If `part` does.
    ///
    /// # Errors
    /// [`Ended`]: the runtime ends.
    pub(crate) async fn run<T, F>(&self, part: F) -> Result<T, Ended>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let at_work = self.heavy.at_work.clone().acquire_owned().await;
        let held = (at_work.map_err(|_| Ended)?, self.own.clone());
        let runtime = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            let done = runtime.block_on(part);
            drop(held);
            done
        });
        done.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_asks_for_much_lets_another_in_after_one_part() {
        let heavy = Heavy::of(1);
        let [hostile, healthy] = [(); 2].map(|()| Turns::new(heavy.clone()));
        // What counts is when a part is done, not when whoever asked hears of it.
        let done = Arc::new(Mutex::new(Vec::new()));
        let verb = async |turns: &Turns, who: &'static str, parts: usize| {
            let turn = turns.turn().await.ok().unwrap();
            for _ in 0..parts {
                let done = done.clone();
                let part = async move { done.lock().unwrap().push(who) };
                turn.run(part).await.ok().unwrap();
            }
        };
        let mut hostile = Box::pin(join_all((0..100).map(|_| verb(&hostile, "hostile", 10))));
        assert!(hostile.as_mut().now_or_never().is_none(), "all are queued");
        let mut healthy = Box::pin(verb(&healthy, "healthy", 1));
        // It waits for its turn from here on, and gets it behind those that wait already.
        assert!(healthy.as_mut().now_or_never().is_none());
        futures_util::future::join(hostile, healthy).await;
        let done = done.lock().unwrap();
        let before = done.iter().position(|who| *who == "healthy").unwrap();
        assert!(before <= 1, "{before} parts came before it");
        assert_eq!(done.len(), 1001);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_nothing_behind_and_what_is_at_work_counts_to_its_end() {
        let heavy = Heavy::of(1);
        let turns = Turns::new(heavy.clone());
        let (go_on, waits) = tokio::sync::oneshot::channel::<()>();
        let turn = turns.turn().await.ok().unwrap();
        assert!(turns.turn().now_or_never().is_none(), "one at a time");
        assert!(turn.run(waits).now_or_never().is_none());
        drop(turn);
        assert!(turns.turn().now_or_never().is_none(), "it is at work still");
        assert_eq!(heavy.at_work.available_permits(), 0);
        drop(go_on);
        let turn = turns.turn().await.ok().unwrap();
        turn.run(async {}).await.ok().unwrap();
        assert_eq!(heavy.at_work.available_permits(), 1);
    }

    #[tokio::test]
    #[should_panic(expected = "a bug")]
    async fn a_part_that_panics_is_a_panic_of_whoever_asked() {
        let turn = Turns::new(Heavy::of(1)).turn().await.ok().unwrap();
        let _ = turn.run(async { panic!("a bug") }).await;
    }
}
