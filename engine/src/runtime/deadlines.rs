//! Deadlines of waiting callers. A caller may use any runtime or none, so the engine has its own timer: one thread,
//! asleep unless somebody waits.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::sync::thread::{self, JoinHandle};
use super::sync::{Condvar, Instant, Mutex, MutexGuard};

/// Which waiting caller: when it is to be woken, and a number of its own.
type Alarm = (Instant, u64);

#[derive(Default)]
struct State {
    waiting: BTreeMap<Alarm, Waker>,
    last_number: u64,
    ending: bool,
}

#[derive(Default)]
struct Timer {
    state: Mutex<State>,
    /// There is an earlier deadline than before, or the thread is to end.
    changed: Condvar,
}

/// The timer. Dropping it ends its thread; nobody waits by then.
pub(crate) struct Deadlines {
    timer: Arc<Timer>,
    thread: Option<JoinHandle<()>>,
}

impl Deadlines {
    /// Without a thread of its own nobody's deadline ever comes.
    pub(crate) fn new(threaded: bool) -> std::io::Result<Self> {
        let timer = Arc::new(Timer::default());
        if !threaded {
            return Ok(Self { timer, thread: None });
        }
        let own = Arc::clone(&timer);
        let thread = thread::Builder::new().name("sk-timer".to_owned());
        let thread = Some(thread.spawn(move || own.run())?);
        Ok(Self { timer, thread })
    }

    /// Waits for a future, at most for so long from when it first made its caller wait. What is ready at once costs nothing
    /// more.
    ///
    /// # Errors
    /// How long it was waited for in vain.
    pub(crate) async fn within<T>(&self, longest: Duration, future: impl Future<Output = T>) -> Result<T, Duration> {
        let mut future = pin!(future);
        let mut waiting: Option<Waiting<'_>> = None;
        poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            match &waiting {
                None => waiting = Some(self.timer.wait(longest, context.waker())),
                Some(waiting) if waiting.since.elapsed() >= longest => {
                    return Poll::Ready(Err(waiting.since.elapsed()));
                }
                Some(waiting) => waiting.wake(context.waker()),
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.timer.state().ending = true;
        self.timer.changed.notify_all();
        if let Some(thread) = self.thread.take()
            // A caller that was woken may have held the last handle to the engine.
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Timer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, longest: Duration, waker: &Waker) -> Waiting<'_> {
        let since = Instant::now();
        let mut state = self.state();
        state.last_number += 1;
        let place = (since + longest, state.last_number);
        state.waiting.insert(place, waker.clone());
        let is_first = state
            .waiting
            .first_key_value()
            .is_some_and(|(first, _)| *first == place);
        drop(state);
        if is_first {
            self.changed.notify_one();
        }
        Waiting {
            timer: self,
            place,
            since,
        }
    }

    fn run(&self) {
        let mut state = self.state();
        while !state.ending {
            let Some(first) = state.waiting.first_entry() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = first.key().0.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let waker = first.remove();
                // Whoever is woken may be done with, and give up its place here.
                drop(state);
                if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
                    tracing::error!("waking a caller whose deadline passed panicked");
                }
                state = self.state();
            } else {
                let waited = self.changed.wait_timeout(state, left);
                (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// A caller's place, given up when it is dropped.
struct Waiting<'a> {
    timer: &'a Timer,
    place: Alarm,
    since: Instant,
}

impl Waiting<'_> {
    /// Names who is to be woken: a future may move to another task.
    fn wake(&self, waker: &Waker) {
        let mut state = self.timer.state();
        let before = state
            .waiting
            .get_mut(&self.place)
            .map(|named| std::mem::replace(named, waker.clone()));
        drop(state);
        match before {
            Some(before) => drop(before), // not under the lock: it may be the last handle to a task
            // The deadline has just come, and whoever was named before was woken.
            None => waker.wake_by_ref(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waker = self.timer.state().waiting.remove(&self.place);
        drop(waker);
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "schedules"))]
mod schedules {
    use std::future::pending;
    use std::task::{Context, Wake};

    use tokio::sync::oneshot;

    use super::*;
    use crate::runtime::blocking;
    use crate::schedules::explore;
    use crate::schedules::time::FOR_EVER;

    const SHORT: Duration = Duration::from_millis(5);

    fn all_given_up(deadlines: &Deadlines) {
        assert!(deadlines.timer.state().waiting.is_empty());
    }

    #[test]
    fn whoever_waits_gets_it_or_is_told_at_the_deadline() {
        explore(6000, || {
            let deadlines = Arc::new(Deadlines::new(true).unwrap());
            let waiters = (1..=2).map(|times| {
                let deadlines = Arc::clone(&deadlines);
                let (send, receive) = oneshot::channel();
                let waiter =
                    thread::spawn(
                        move || match blocking::wait(None, deadlines.within(times * SHORT, receive)) {
                            Ok(sent) => assert_eq!(sent, Ok(7)),
                            Err(waited) => assert!(waited >= times * SHORT),
                        },
                    );
                (waiter, send)
            });
            for (waiter, send) in waiters.collect::<Vec<_>>() {
                let _ = send.send(7);
                waiter.join().unwrap();
            }
            all_given_up(&deadlines);
        });
    }

    #[test]
    fn a_later_deadline_keeps_no_earlier_one_waiting() {
        explore(6000, || {
            let deadlines = Arc::new(Deadlines::new(true).unwrap());
            let (send, receive) = oneshot::channel();
            let later = thread::spawn({
                let deadlines = Arc::clone(&deadlines);
                move || blocking::wait(None, deadlines.within(FOR_EVER, receive))
            });
            let earlier = thread::spawn({
                let deadlines = Arc::clone(&deadlines);
                move || blocking::wait(None, deadlines.within(SHORT, pending::<()>()))
            });
            assert!(earlier.join().unwrap().is_err());
            send.send(7).unwrap();
            assert_eq!(later.join().unwrap(), Ok(Ok(7)));
            all_given_up(&deadlines);
        });
    }

    #[test]
    fn a_wait_is_dropped_while_its_deadline_comes() {
        explore(4000, || {
            let deadlines = Deadlines::new(true).unwrap();
            {
                let mut waits = pin!(deadlines.within(SHORT, pending::<()>()));
                let waker = Waker::noop();
                assert!(waits.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
                thread::yield_now();
                let _ = waits.as_mut().poll(&mut Context::from_waker(waker));
            }
            all_given_up(&deadlines);
        });
    }

    #[test]
    fn a_wait_that_moved_wakes_who_asked_last() {
        explore(4000, || {
            let deadlines = Arc::new(Deadlines::new(true).unwrap());
            let own = Arc::clone(&deadlines);
            let mut waits: std::pin::Pin<Box<dyn Future<Output = Result<(), Duration>> + Send>> =
                Box::pin(async move { own.within(SHORT, pending::<()>()).await });
            let first = waits.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(first.is_pending());
            let moved = thread::spawn(move || blocking::wait(None, waits));
            assert!(moved.join().unwrap().is_err());
            all_given_up(&deadlines);
        });
    }

    /// Holds the timer of the very wait it is woken for.
    struct Last(Mutex<Option<Arc<Deadlines>>>);

    impl Wake for Last {
        fn wake(self: Arc<Self>) {
            let last = self.0.lock().unwrap().take();
            drop(last);
        }
    }

    #[test]
    fn its_own_thread_may_drop_the_last_handle() {
        explore(4000, || {
            let deadlines = Arc::new(Deadlines::new(true).unwrap());
            let timer = Arc::clone(&deadlines.timer);
            let last = Arc::new(Last(Mutex::new(Some(Arc::clone(&deadlines)))));
            let waits = deadlines.timer.wait(SHORT, &Waker::from(last));
            std::mem::forget(waits);
            let other = thread::spawn(move || drop(deadlines));
            other.join().unwrap();
            while !timer.state().ending {
                thread::yield_now();
            }
        });
    }
}
