//! Tests of [`super`].

use std::future::{pending, ready};

use super::*;
use crate::runtime::blocking;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn what_is_ready_is_returned_and_what_is_not_is_given_up_in_time_without_a_runtime() {
    let deadlines = Deadlines::new(true).unwrap();
    assert_eq!(blocking::wait(None, deadlines.within(SHORT, ready(7))), Ok(7));
    let waited = blocking::wait(None, deadlines.within(SHORT, pending::<()>())).unwrap_err();
    assert!(waited >= SHORT);
    assert!(deadlines.timer.state().waiting.is_empty());
}

#[test]
fn a_later_deadline_keeps_no_earlier_one_waiting() {
    let deadlines = Arc::new(Deadlines::new(true).unwrap());
    let (send, receive) = tokio::sync::oneshot::channel();
    let later = thread::spawn({
        let deadlines = Arc::clone(&deadlines);
        move || blocking::wait(None, deadlines.within(LONG, receive))
    });
    while deadlines.timer.state().waiting.is_empty() {
        thread::yield_now();
    }
    assert!(blocking::wait(None, deadlines.within(SHORT, pending::<()>())).is_err());
    send.send(7).unwrap();
    assert_eq!(later.join().unwrap(), Ok(Ok(7)));
}

#[tokio::test]
async fn a_wait_that_is_dropped_gives_up_its_place() {
    let deadlines = Deadlines::new(true).unwrap();
    let dropped = tokio::time::timeout(SHORT, deadlines.within(LONG, pending::<()>())).await;
    assert!(dropped.is_err());
    assert!(deadlines.timer.state().waiting.is_empty());
}

#[test]
fn its_own_thread_may_drop_the_last_handle() {
    struct Last(Mutex<Option<Arc<Deadlines>>>);
    impl std::task::Wake for Last {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let deadlines = Arc::new(Deadlines::new(true).unwrap());
    let timer = Arc::clone(&deadlines.timer);
    let last = Arc::new(Last(Mutex::new(None)));
    let mut state = timer.state();
    state
        .waiting
        .insert((Instant::now(), 0), Waker::from(Arc::clone(&last)));
    *last.0.lock().unwrap() = Some(deadlines);
    drop(state);
    timer.changed.notify_all();
    while !timer.state().ending {
        thread::yield_now();
    }
}
