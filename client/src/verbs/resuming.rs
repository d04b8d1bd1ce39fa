//! Streams that go on where they stood when their connection ended: after how many attempts, and for how long.

use std::sync::Arc;

use streamkit_protocol::v2::{Call as Asked, Class};
use streamkit_record::StoreId;

use super::again::{Missed, TIMES_MAX};
use crate::call::Call;
use crate::error::Error;
use crate::retry::RetryPolicy;
use crate::v2::{Channel, Connection, Fault, Patience, WINDOW_BYTES};

/// What became of the connections of a stream so far.
#[derive(Default)]
pub(super) struct Resuming {
    /// Whether something ever came.
    has_begun: bool,
    /// How often it broke off since something came last, and for how long it may be tried again.
    times: u32,
    patience: Option<Patience>,
    was_lost: bool,
}

impl Resuming {
    /// Something came with which the stream is further than before.
    pub(super) fn went_on(&mut self) {
        self.times = 0;
        self.patience = None;
        self.has_begun = true;
    }

    /// Something came, and the stream stands where it stood: a server that cuts it again and again does so ever more slowly.
    pub(super) fn has_begun(&mut self) {
        self.patience = None;
        self.has_begun = true;
    }

    /// A channel for what is asked now.
    pub(super) async fn open(&self, call: &Call, asked: &Asked) -> Result<Channel, Missed> {
        let patience = self.patience.unwrap_or_else(|| Patience::new(call.timeout()));
        let connection: Arc<Connection> = call.v2(patience.left()).await.map_err(Missed::Unmade)?;
        let opened = connection
            .open(StoreId(call.store()), asked, patience, WINDOW_BYTES)
            .await;
        opened.map_err(Missed::Made)
    }

    /// Whether it may go on behind such an end; waits before, from the second time on. Of a stream that has begun all passes that may
    /// pass, for as long as the client waits. One of which nothing came begins again if the server has begun nothing of it, and once if
    /// the connection was lost: the link may have been dead for long, and this call the first to notice.
    ///
    /// # Errors
    /// That of the end, if it may not.
    pub(super) async fn go_on(&mut self, call: &Call, missed: Missed) -> Result<(), Error> {
        let patience = *self.patience.get_or_insert_with(|| Patience::new(call.timeout()));
        self.times += 1;
        let may_pass = match &missed {
            Missed::Made(Fault::NotBegun(_)) => self.has_begun || self.times <= TIMES_MAX,
            Missed::Made(Fault::Lost(_)) => self.has_begun || !std::mem::replace(&mut self.was_lost, true),
            Missed::Made(Fault::Failed(error)) => self.has_begun && error.class == Class::Transient,
            Missed::Unmade(error) => self.has_begun && error.is_transient(),
            Missed::Made(Fault::Silent(_) | Fault::Invalid(_) | Fault::Protocol(_)) => false,
        };
        let error = Error::from(missed);
        if !may_pass {
            return Err(error);
        }
        if self.times > 1 {
            let pause = error.retry_after();
            let pause = pause.unwrap_or_else(|| RetryPolicy::DEFAULT.pause(self.times - 1));
            tokio::time::sleep(pause.min(patience.left())).await;
        }
        match patience.is_over() {
            true => Err(error),
            false => Ok(()),
        }
    }
}
