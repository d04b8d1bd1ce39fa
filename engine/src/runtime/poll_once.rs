//! One look at a future.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What a future comes to at once, if it does. Else it stands where it waits, and goes on when it is awaited.
pub(crate) async fn poll_once<F: Future>(mut of: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(of.as_mut().poll(context))).await
}
