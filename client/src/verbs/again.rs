//! Calls that are asked again over another connection, when nothing of them was begun, or when that changes nothing.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use streamkit_protocol::v2::Call as Asked;
use streamkit_record::StoreId;

use crate::call::Call;
use crate::error::Error;
use crate::v2::{Connection, Fault, Heard, Patience, UNBOUNDED};

/// A call whose connections end under it this often fails.
pub(super) const TIMES_MAX: u32 = 5;

/// Why an attempt has no result.
pub(super) enum Missed {
    /// It was not made.
    Unmade(Error),
    Made(Fault),
}

impl From<Missed> for Error {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Unmade(error) => error,
            Missed::Made(fault) => fault.into(),
        }
    }
}

/// Makes a call, and makes it again over another connection if the server has begun nothing of it; once more if its connection is
/// lost, and it `changes_nothing`: the link may have been dead for long, and this call the first to notice.
pub(super) async fn until_begun<T, Attempt>(
    call: &Call,
    changes_nothing: bool,
    attempt: impl Fn(Arc<Connection>, Patience) -> Attempt,
) -> Result<T, Error>
where
    Attempt: Future<Output = Result<T, Fault>>,
{
    let patience = Patience::new(call.timeout());
    let (mut times, mut was_lost) = (0, !changes_nothing);
    loop {
        let connection = call.v2(patience.left()).await?;
        match attempt(connection, patience).await {
            Err(Fault::NotBegun(_)) if times < TIMES_MAX && !patience.is_over() => times += 1,
            Err(Fault::Lost(_)) if !was_lost => was_lost = true,
            done => return Ok(done?),
        }
    }
}

/// The messages and the result of a call that changes nothing, and whose answer its caller holds in memory as a whole.
pub(super) async fn ask(call: &Call, asked: &Asked) -> Result<(Vec<Bytes>, Bytes), Error> {
    let store = StoreId(call.store());
    until_begun(call, true, async |connection: Arc<Connection>, patience: Patience| {
        let mut channel = connection.open(store, asked, patience, UNBOUNDED).await?;
        let mut messages = Vec::new();
        loop {
            match channel.next(Patience::new(call.timeout())).await? {
                Heard::Message(message) => messages.push(message),
                Heard::End(result) => return Ok((messages, result)),
            }
        }
    })
    .await
}

/// The result of a call that has no messages. One that is not `kept` is cancelled when nobody waits for it any more.
pub(super) async fn result(call: &Call, asked: &Asked, changes_nothing: bool, is_kept: bool) -> Result<Bytes, Error> {
    let store = StoreId(call.store());
    until_begun(
        call,
        changes_nothing,
        async |connection: Arc<Connection>, patience: Patience| {
            let mut pending = connection.ask(store, asked, patience, is_kept).await?;
            pending.result(patience).await
        },
    )
    .await
}
