//! Waits for a future on a thread without a runtime.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::stepper::Stepper;
use super::sync::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks this thread until the future is done; where there are no threads to wait for, does their work.
///
/// # Panics
/// When there is no work left and it is not done.
pub(crate) fn wait<T>(stepper: Option<&Stepper>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => match stepper {
                Some(stepper) => stepper.must_run_one(),
                None => thread::park(),
            },
        }
    }
}
