//! Calls that remove entries for good.

use std::sync::Arc;

use bytes::Bytes;
use streamkit_protocol::SegmentStatus;
use streamkit_protocol::v2::{Call as Asked, statuses};
use streamkit_record::{Sequence, StoreId};

use super::again::until_begun;
use super::lookup::range;
use super::names::segment_path;
use crate::call::Call;
use crate::error::Error;
use crate::v2::{Connection, Heard, Patience, UNBOUNDED};

/// Removes the entries of a segment before a sequence; returns what remains.
pub(crate) async fn trim(call: &Call, space: &str, segment: &str, first: u64) -> Result<SegmentStatus, Error> {
    let asked = Asked::Trim(segment_path(space, segment)?, Sequence(first));
    let answer = removed(call, &asked).await?;
    match &statuses(&answer).map_err(Error::malformed)?[..] {
        [status] => Ok(range(status)),
        _ => Err(Error::Protocol("a trim ended without a status".to_owned())),
    }
}

/// Deletes a segment.
pub(crate) async fn delete(call: &Call, space: &str, segment: &str) -> Result<(), Error> {
    let asked = Asked::Delete(segment_path(space, segment)?);
    removed(call, &asked).await.map(drop)
}

/// Messages and result of the call, one behind the other.
async fn removed(call: &Call, asked: &Asked) -> Result<Bytes, Error> {
    let store = StoreId(call.store());
    until_begun(call, false, async |connection: Arc<Connection>, patience: Patience| {
        let mut channel = connection.open(store, asked, patience, UNBOUNDED).await?;
        let mut answer = Vec::new();
        loop {
            match channel.next(patience).await? {
                Heard::Message(message) => answer.extend_from_slice(&message),
                Heard::End(result) => {
                    answer.extend_from_slice(&result);
                    return Ok(answer.into());
                }
            }
        }
    })
    .await
}
