//! The inbox of the I/O thread, and the state of its sleep: a sender wakes the thread only if it sleeps, and where it
//! sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::disk::Waker;
use crate::runtime::pace::Pace;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Condvar, Instant, Mutex, MutexGuard};

/// What the thread is doing, for senders.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum ThreadAt {
    /// It checks the inbox before it waits.
    #[default]
    Work,
    /// It waits for the inbox.
    Mailbox,
    /// It waits for a write to end.
    Queue,
}

struct State<T> {
    ready: VecDeque<T>,
    at: ThreadAt,
    ending: bool,
    /// The thread takes nothing from now on.
    ended: bool,
}

/// Items for the thread, in order of arrival.
pub(super) struct Mailbox<T> {
    state: Mutex<State<T>>,
    /// Whether there is something, readable without the lock.
    filled: AtomicBool,
    arrived: Condvar,
    /// Ends the thread's wait for a write.
    waker: Arc<dyn Waker>,
    look: Duration,
}

impl<T> Mailbox<T> {
    pub(super) fn new(waker: Arc<dyn Waker>, look: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                at: ThreadAt::Work,
                ending: false,
                ended: false,
            }),
            filled: AtomicBool::new(false),
            arrived: Condvar::new(),
            waker,
            look,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the item back if the thread takes nothing any more.
    pub(super) fn push(&self, thing: T) -> Option<T> {
        let mut state = self.lock();
        if state.ended {
            return Some(thing);
        }
        state.ready.push_back(thing);
        self.filled.store(true, Ordering::Release);
        self.notify(state);
        None
    }

    /// Ends the thread once nothing is left.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ending = true;
        self.filled.store(true, Ordering::Release);
        self.notify(state);
    }

    fn notify(&self, mut state: MutexGuard<'_, State<T>>) {
        // One wake-up suffices until the thread has looked.
        let at = std::mem::take(&mut state.at);
        drop(state);
        match at {
            ThreadAt::Work => {}
            ThreadAt::Mailbox => self.arrived.notify_one(),
            ThreadAt::Queue => self.waker.wake(),
        }
    }

    /// A hint that something may be there, or the end.
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Whether the thread takes nothing any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().ended
    }

    /// Whether anything is there.
    pub(super) fn holds_any(&self) -> bool {
        self.is_filled() && !self.lock().ready.is_empty()
    }

    /// Moves all items to `ready`.
    pub(super) fn take(&self, ready: &mut VecDeque<T>) {
        if self.is_filled() {
            let mut state = self.lock();
            ready.append(&mut state.ready);
            self.filled.store(false, Ordering::Release);
        }
    }

    /// Waits until something is there; `false` at the end. First looks for it for a moment, if that has paid off
    /// lately.
    pub(super) fn wait(&self, pace: &Pace, ready: &mut VecDeque<T>) -> bool {
        let since = Instant::now();
        if pace.is_worth_looking(self.look) {
            crate::runtime::pace::look(since, self.look, || self.is_filled());
        }
        let mut state = self.lock();
        loop {
            ready.append(&mut state.ready);
            self.filled.store(false, Ordering::Release);
            if !ready.is_empty() {
                state.at = ThreadAt::Work;
                return true;
            }
            if state.ending {
                // Under the same lock, so that later items are given back.
                state.ended = true;
                return false;
            }
            state.at = ThreadAt::Mailbox;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that the thread is about to wait for a write; `false` if it must not, since something is there.
    pub(super) fn may_wait_for_write(&self) -> bool {
        let mut state = self.lock();
        let may = state.ready.is_empty();
        if may {
            state.at = ThreadAt::Queue;
        }
        may
    }

    /// Notes that the thread no longer waits for a write.
    pub(super) fn works(&self) {
        self.lock().at = ThreadAt::Work;
    }

    /// Takes nothing any more, since the thread has ended. Returns the remaining items.
    pub(super) fn close(&self) -> VecDeque<T> {
        let mut state = self.lock();
        state.ended = true;
        std::mem::take(&mut state.ready)
    }
}

#[cfg(all(test, feature = "schedules"))]
mod schedules {
    use super::*;
    use crate::runtime::pace::LOOK_MAX;
    use crate::runtime::sync::thread;
    use crate::schedules::explore;

    /// A device whose waits only a wake-up ends.
    #[derive(Default)]
    struct Device(Mutex<bool>, Condvar);

    impl Waker for Device {
        fn wake(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_all();
        }
    }

    impl Device {
        fn wait(&self) {
            let mut woken = self.0.lock().unwrap();
            while !std::mem::take(&mut *woken) {
                woken = self.1.wait(woken).unwrap();
            }
        }
    }

    type Brought = (u32, u32);

    /// Behaves like the I/O thread: looks, waits for items or for a write, until the end. Has a write under way until
    /// it has seen `writing` items.
    fn go(inbox: &Mailbox<Brought>, device: &Device, writing: usize) -> Vec<Brought> {
        let (mut pace, mut ready, mut seen) = (Pace::default(), VecDeque::new(), Vec::new());
        loop {
            inbox.take(&mut ready);
            if ready.is_empty() && seen.len() >= writing {
                pace.ended(Instant::now());
                if !inbox.wait(&pace, &mut ready) {
                    return seen;
                }
                pace.began(Instant::now());
            }
            if ready.is_empty() && inbox.may_wait_for_write() {
                device.wait();
                inbox.works();
            }
            seen.extend(ready.drain(..));
        }
    }

    fn in_order(seen: &[Brought], bringer: u32, count: u32) {
        let of_one = seen.iter().filter(|(who, _)| *who == bringer).map(|(_, which)| *which);
        assert!(of_one.eq(0..count), "{seen:?}");
    }

    #[test]
    fn nothing_is_lost_between_the_last_look_and_the_sleep_and_all_comes_in_order() {
        explore(8000, || {
            let device = Arc::new(Device::default());
            let inbox = Arc::new(Mailbox::new(Arc::clone(&device) as Arc<dyn Waker>, LOOK_MAX));
            let own = Arc::clone(&inbox);
            let io = thread::spawn(move || go(&own, &device, 3));
            let bringers = (0..2).map(|who| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || (0..3).for_each(|which| assert_eq!(inbox.push((who, which)), None)))
            });
            for bringer in bringers.collect::<Vec<_>>() {
                bringer.join().unwrap();
            }
            inbox.end();
            let seen = io.join().unwrap();
            in_order(&seen, 0, 3);
            in_order(&seen, 1, 3);
        });
    }

    #[test]
    fn what_comes_at_the_end_is_taken_or_given_back() {
        explore(4000, || {
            let device = Arc::new(Device::default());
            let inbox = Arc::new(Mailbox::new(Arc::clone(&device) as Arc<dyn Waker>, LOOK_MAX));
            let own = Arc::clone(&inbox);
            let io = thread::spawn(move || {
                let seen = go(&own, &device, 0);
                assert!(own.close().is_empty(), "it was taken, and nobody does it");
                seen
            });
            let own = Arc::clone(&inbox);
            let bringer = thread::spawn(move || (0..3).filter(|&which| own.push((0, which)).is_none()).count());
            inbox.end();
            let taken = bringer.join().unwrap();
            in_order(&io.join().unwrap(), 0, taken as u32);
        });
    }
}
