//! Records whose content depends on what is stored: decided again as often as another producer was first.

use std::time::Duration;

use streamkit_protocol::v2::Appended;
use streamkit_record::{SegmentAppend, SegmentPath, Sequence};

use crate::asked::Append;
use crate::call::Call;
use crate::connected::Connected;
use crate::error::Error;
use crate::model::NewRecord;
use crate::retry::RetryPolicy;
use crate::v2::Patience;
use crate::{over_v1, verbs};

/// Most attempts, however fast they fail.
const TIMES_MAX: u32 = 100;

/// Pauses between them.
const AGAIN: RetryPolicy = RetryPolicy {
    first_pause: Duration::from_millis(2),
    longest_pause: Duration::from_millis(250),
    ..RetryPolicy::DEFAULT
};

/// Appends a transaction, in whichever version the server speaks.
pub(crate) async fn append(call: &Call, append: Append) -> Result<Appended, Error> {
    match call.connection().await? {
        Connected::V2(connection) => verbs::append(call, connection, append).await,
        Connected::V1(_) => over_v1::append(call, append).await,
    }
}

/// Appends what is decided at a head, if that is still the head; decides again if not.
pub(crate) async fn publish_with(
    call: &Call,
    path: SegmentPath,
    mut head: u64,
    mut decide: impl FnMut(u64) -> Vec<NewRecord>,
) -> Result<Option<Appended>, Error> {
    let patience = Patience::new(call.timeout());
    let (space, segment) = path.names();
    let mut alone = None;
    let mut times = 0;
    loop {
        let records = decide(head);
        if records.is_empty() {
            return Ok(None);
        }
        let first = head.checked_add(1);
        let first = first.ok_or_else(|| Error::Invalid("no sequences left".to_owned()))?;
        let section = SegmentAppend {
            path: path.clone(),
            first_sequence: Sequence(first),
            records: records.into_iter().map(NewRecord::into_log).collect(),
        };
        let now = match append(call, Append::new(vec![section])).await {
            Ok(appended) => return Ok(Some(appended)),
            Err(Error::Conflict { head, .. }) => head,
            Err(Error::Conflicts { heads, .. }) => {
                let of_it = heads.iter().find(|(of, _)| *of == path);
                of_it.map_or(0, |(_, head)| head.0)
            }
            Err(error) => return Err(error),
        };
        times += 1;
        if times >= TIMES_MAX || patience.is_over() {
            return Err(Error::Conflict { head: now, got: first });
        }
        head = now;
        tokio::time::sleep(AGAIN.pause(times).min(patience.left())).await;
        if alone.is_none() {
            // From then on this client does not conflict with itself.
            let lane = tokio::time::timeout(patience.left(), call.publishing(space, segment)).await;
            alone = Some(lane.map_err(|_| patience.over())?);
        }
    }
}
