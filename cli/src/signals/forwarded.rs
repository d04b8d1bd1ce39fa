//! Signals that are not for this command but for the one that it runs.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// Those that are passed on, as if they had been sent to the other.
const PASSED_ON: [Signal; 6] = [
    Signal::INT,
    Signal::TERM,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
];

/// They, from the moment it is made.
pub(crate) struct Forwarded {
    heard: Vec<(Signal, unix::Signal)>,
    /// Ctrl-Z. Stopped, this command would no longer do what the other relies on.
    _stop: unix::Signal,
}

impl Forwarded {
    pub(crate) fn new() -> io::Result<Self> {
        let listen = |of: Signal| signal(SignalKind::from_raw(of.as_raw()));
        // One that was to be ignored (`nohup`) stays so.
        let passed_on = PASSED_ON
            .into_iter()
            .filter(|of| *of != Signal::HUP || !super::outlives_terminal());
        let heard = passed_on.map(|of| Ok((of, listen(of)?)));
        Ok(Self {
            heard: heard.collect::<io::Result<_>>()?,
            _stop: listen(Signal::TSTP)?,
        })
    }

    /// The next one.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (of, heard) in &mut self.heard {
                if heard.poll_recv(context).is_ready() {
                    return Poll::Ready(*of);
                }
            }
            Poll::Pending
        })
        .await
    }
}
