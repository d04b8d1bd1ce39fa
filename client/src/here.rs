//! What is in a queue already.

use futures_util::FutureExt as _;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::coop::unconstrained;

/// The next of a queue, if it is here.
///
/// [`UnboundedReceiver::try_recv`] parks the thread while somebody is just putting something there. On a thread that drives a future by itself, as
/// `#[tokio::main]` does, that takes away a wake which was for the future: nobody would ever poll it again.
pub(crate) fn here<T>(queue: &mut UnboundedReceiver<T>) -> Result<T, TryRecvError> {
    // Whoever waits for more registers himself anew, also behind this look, which registers nobody.
    match unconstrained(queue.recv()).now_or_never() {
        Some(Some(came)) => Ok(came),
        Some(None) => Err(TryRecvError::Disconnected),
        None => Err(TryRecvError::Empty),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Poll;
    use std::time::Duration;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[test]
    fn whoever_looks_into_a_queue_that_is_being_filled_loses_no_wake() {
        const ROUNDS: usize = 2_000;
        const LOOKS: usize = 200;
        const SENDERS: usize = 4;
        /// Where few wait, one is being put there more often than not.
        const QUEUED: usize = 4;
        let (send, mut queue) = mpsc::unbounded_channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let queued = Arc::new(AtomicUsize::new(0));
        // Nothing is sent while nobody looks: that would wake him, too.
        let is_looked_at = Arc::new(AtomicBool::new(false));
        for _ in 0..SENDERS {
            let (send, is_over, queued) = (send.clone(), is_over.clone(), queued.clone());
            let is_looked_at = is_looked_at.clone();
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if queued.fetch_add(1, Ordering::SeqCst) < QUEUED && is_looked_at.load(Ordering::SeqCst) {
                        let _ = send.send([0_u8; 16 << 10]);
                    } else {
                        queued.fetch_sub(1, Ordering::SeqCst);
                        std::thread::yield_now();
                    }
                }
            });
        }
        let (done, all_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
            runtime.unwrap().block_on(async {
                for _ in 0..ROUNDS {
                    let (tell, mut told) = oneshot::channel();
                    // Tells it while it looks.
                    let begun = Arc::new(AtomicBool::new(false));
                    let begins = begun.clone();
                    tokio::spawn(async move {
                        while !begun.load(Ordering::SeqCst) {
                            tokio::task::yield_now().await;
                        }
                        tell.send(())
                    });
                    poll_fn(|cx| match told.poll_unpin(cx) {
                        Poll::Ready(told) => Poll::Ready(told),
                        Poll::Pending => {
                            is_looked_at.store(true, Ordering::SeqCst);
                            begins.store(true, Ordering::SeqCst);
                            let mut looks = 0;
                            while looks < LOOKS || queued.load(Ordering::SeqCst) > 0 {
                                looks += 1;
                                is_looked_at.store(looks < LOOKS, Ordering::SeqCst);
                                if here(&mut queue).is_ok() {
                                    queued.fetch_sub(1, Ordering::SeqCst);
                                }
                            }
                            Poll::Pending
                        }
                    })
                    .await
                    .unwrap();
                }
            });
            let _ = done.send(());
        });
        let ended = all_done.recv_timeout(Duration::from_secs(60));
        is_over.store(true, Ordering::Relaxed);
        ended.expect("the future was woken, and nobody polls it");
    }
}
