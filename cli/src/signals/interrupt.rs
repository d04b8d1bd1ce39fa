//! Ctrl-C while a command is at work.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Time that work has to notice that it is to end.
const NOTICE: Duration = Duration::from_millis(500);

/// The first Ctrl-C ends the work.
pub(crate) async fn interruptible(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    until(work, CancellationToken::new(), None).await
}

/// The first Ctrl-C asks the work to come to its end, the second ends it.
pub(crate) async fn stoppable<F: Future<Output = Result<(), Failure>>>(
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    until(work(stop.clone()), CancellationToken::new(), Some(stop)).await
}

/// Runs the work until it is done, or until `end`, which Ctrl-C asks for; the first one asks for `stop`, if there is one.
///
/// Ctrl-C is heeded on another thread than the work's: that one may be busy, or wait for whoever reads its output.
async fn until(
    work: impl Future<Output = Result<(), Failure>>,
    end: CancellationToken,
    stop: Option<CancellationToken>,
) -> Result<(), Failure> {
    let ended = end.clone();
    let watching = tokio::spawn(async move {
        if let Some(stop) = stop {
            let _ = tokio::signal::ctrl_c().await;
            stop.cancel();
        }
        let _ = tokio::signal::ctrl_c().await;
        end.cancel();
        tokio::time::sleep(NOTICE).await;
        // Nobody reads what the work has to write, and no future can be dropped on a thread that waits for that.
        Failure::interrupted().exit()
    });
    let done = tokio::select! {
        done = work => done,
        () = ended.cancelled() => Err(Failure::interrupted()),
    };
    watching.abort();
    done
}
