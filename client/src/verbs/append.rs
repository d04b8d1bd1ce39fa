//! Appends. One whose answer is lost is made again under its id, which tells what became of it: the outcome is found out, not guessed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::v2::{self, Appended, Batches, Call as Asked, Class, Code};
use streamkit_record::{Entry, Record, SegmentAppend, SegmentPath, Sequence, StoreId};

use super::again::{Missed, TIMES_MAX};
use crate::asked::Append;
use crate::call::Call;
use crate::error::Error;
use crate::retry::RetryPolicy;
use crate::v2::{Connection, Fault, Heard, Patience, UNBOUNDED};

/// Most bytes that a conflict brings along: 1 MiB of entries, however small, and a last one.
const CONFLICT_ANSWER_BYTES_MAX: usize = 128 << 20;

/// Appends a transaction, over this connection if it serves.
pub(crate) async fn append(call: &Call, connection: Arc<Connection>, append: Append) -> Result<Appended, Error> {
    let asked = checked(append)?;
    let Asked::Append(append) = &asked else {
        return Err(Error::Invalid("no append".to_owned()));
    };
    let mut attempts = Attempts::new(call.timeout());
    let mut at_hand = Some(connection);
    loop {
        let mut entries = Vec::new();
        let connection = match at_hand.take() {
            Some(connection) => Ok(connection),
            None => call.v2(attempts.patience.left()).await,
        };
        let attempt = match connection {
            Ok(connection) => once(
                call,
                &connection,
                &asked,
                append.conflict_bytes,
                attempts.patience,
                &mut entries,
            )
            .await
            .map_err(Missed::Made),
            Err(error) => Err(Missed::Unmade(error)),
        };
        match attempts.next(attempt).await {
            Next::Again => {}
            Next::Stored(result) => return appended(&result, append),
            Next::Failed(Error::Conflicts { heads, .. }) => return Err(Error::Conflicts { heads, entries }),
            Next::Failed(error) => return Err(error),
        }
    }
}

/// The call of an append that a server could take.
fn checked(append: Append) -> Result<Asked, Error> {
    let conflict_bytes = append.conflict_bytes;
    let transaction = append.checked()?;
    Ok(Asked::Append(v2::Append {
        id: transaction.id,
        conflict_bytes,
        fence: transaction.fence,
        conditions: transaction.conditions,
        sections: transaction.segments,
    }))
}

/// The call of an append of records to one segment.
pub(super) fn one_section(
    path: SegmentPath,
    first: streamkit_record::Sequence,
    records: Vec<Record>,
) -> Result<Asked, Error> {
    checked(Append::new(vec![SegmentAppend {
        path,
        first_sequence: first,
        records,
    }]))
}

/// One attempt; what a conflict brings along is in `entries`.
async fn once(
    call: &Call,
    connection: &Arc<Connection>,
    asked: &Asked,
    conflict_bytes: u32,
    patience: Patience,
    entries: &mut Vec<Entry>,
) -> Result<Bytes, Fault> {
    let store = StoreId(call.store());
    if conflict_bytes == 0 {
        return connection
            .ask(store, asked, patience, true)
            .await?
            .result(patience)
            .await;
    }
    let mut channel = connection.open(store, asked, patience, UNBOUNDED).await?.kept();
    let mut batches = Batches::default();
    let mut left = CONFLICT_ANSWER_BYTES_MAX;
    loop {
        match channel.next(patience).await? {
            Heard::End(result) => return Ok(result),
            Heard::Message(batch) => {
                let rest = left.checked_sub(batch.len());
                left = rest.ok_or_else(|| Fault::protocol("a conflict brings more than it may"))?;
                batches.read(&batch, entries).map_err(Fault::protocol)?;
            }
        }
    }
}

/// What a server's result says, if it is one of this append.
pub(super) fn appended(result: &[u8], append: &v2::Append) -> Result<Appended, Error> {
    let appended = Appended::decode(result).map_err(Error::malformed)?;
    let fits = |(section, (first, last)): (&SegmentAppend, &(Sequence, Sequence))| {
        let is_asked = section.first_sequence == SegmentAppend::NEXT || section.first_sequence == *first;
        is_asked && first.0 > 0 && last.0.checked_sub(first.0) == Some(section.records.len() as u64 - 1)
    };
    let same = appended.sections.len() == append.sections.len();
    match same && append.sections.iter().zip(&appended.sections).all(fits) {
        true => Ok(appended),
        false => Err(Error::Protocol(
            "an append was answered with other sequences than its own".to_owned(),
        )),
    }
}

/// What comes behind an attempt.
pub(super) enum Next {
    Again,
    Stored(Bytes),
    Failed(Error),
}

/// The attempts of one append, all under its id.
pub(super) struct Attempts {
    pub(super) patience: Patience,
    times: u32,
    /// Why nobody knows what became of one of them, if that is so.
    open: Option<String>,
}

impl Attempts {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            patience: Patience::new(timeout),
            times: 0,
            open: None,
        }
    }

    /// What to do behind an attempt. Waits before the next one, if the last was in vain.
    pub(super) async fn next(&mut self, attempt: Result<Bytes, Missed>) -> Next {
        let fault = match attempt {
            Ok(result) => return Next::Stored(result),
            Err(Missed::Made(Fault::NotBegun(why))) => {
                if self.open.is_none() && self.times >= TIMES_MAX {
                    return Next::Failed(Error::NotBegun(why));
                }
                return self.again(Error::NotBegun(why)).await;
            }
            Err(Missed::Made(Fault::Lost(why))) => {
                self.open = Some(why);
                return self.again(Error::NotBegun("no connection in time".to_owned())).await;
            }
            Err(Missed::Made(Fault::Silent(error))) => {
                let why = self.open.take();
                return Next::Failed(Error::Unknown(why.unwrap_or_else(|| error.to_string())));
            }
            Err(Missed::Made(fault)) => fault,
            Err(Missed::Unmade(error)) => {
                // The server was there: it is, for example, restarted.
                return match (self.open.is_some() || self.times > 0) && error.is_transient() {
                    true => self.again(error).await,
                    false => Next::Failed(self.unless_open(error)),
                };
            }
        };
        let is_verdict = match &fault {
            Fault::Failed(error) => self.open.is_none() || is_verdict(error.code),
            _ => false,
        };
        let passes = matches!(&fault, Fault::Failed(error) if error.class == Class::Transient);
        let error = fault.of_append();
        match is_verdict {
            true => Next::Failed(error),
            // It speaks of the last attempt alone.
            false if passes && self.open.is_some() => self.again(error).await,
            false => Next::Failed(self.unless_open(error)),
        }
    }

    async fn again(&mut self, last: Error) -> Next {
        self.times += 1;
        // The first time there is nothing to wait for: the connection was at its end.
        if self.times > 1 {
            let pause = last
                .retry_after()
                .unwrap_or_else(|| RetryPolicy::DEFAULT.pause(self.times - 1));
            tokio::time::sleep(pause.min(self.patience.left())).await;
        }
        match self.patience.is_over() {
            true => Next::Failed(self.unless_open(last)),
            false => Next::Again,
        }
    }

    /// An error that says that nothing is stored holds only if that is known of every attempt.
    fn unless_open(&mut self, error: Error) -> Error {
        match self.open.take() {
            Some(why) => Error::Unknown(why),
            None => error,
        }
    }
}

/// Whether a code says of the transaction itself, whichever attempt it came with, that it is not stored: before a server says so, it
/// looks for it in its log.
fn is_verdict(code: Code) -> bool {
    matches!(code, Code::Conflict | Code::OtherRecords | Code::FencedOff)
}

#[cfg(test)]
mod tests {
    use streamkit_protocol::v2::CallError;

    use super::*;

    fn failed(code: Code, class: Class) -> Result<Bytes, Missed> {
        Err(Missed::Made(Fault::Failed(CallError::new(code, class, "why"))))
    }

    async fn after_loss(attempt: Result<Bytes, Missed>) -> Next {
        let mut attempts = Attempts::new(Duration::from_secs(60));
        let lost = attempts.next(Err(Missed::Made(Fault::Lost("cut".to_owned())))).await;
        assert!(matches!(lost, Next::Again));
        attempts.next(attempt).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_lost_is_asked_for_again_and_only_the_log_says_that_nothing_is_stored() {
        let stored = after_loss(Ok(Bytes::new())).await;
        assert!(matches!(stored, Next::Stored(_)));
        // The server looked for it before it said so.
        let refused = after_loss(failed(Code::FencedOff, Class::Permanent)).await;
        assert!(matches!(refused, Next::Failed(Error::Refused(_))));
        // It may pass, and says nothing of the first attempt.
        assert!(matches!(
            after_loss(failed(Code::Overloaded, Class::Transient)).await,
            Next::Again
        ));
        let invalid = after_loss(failed(Code::Invalid, Class::Permanent)).await;
        assert!(matches!(invalid, Next::Failed(Error::Unknown(_))));
        let denied = after_loss(failed(Code::AccessDenied, Class::Permanent)).await;
        assert!(matches!(denied, Next::Failed(Error::Unknown(why)) if why == "cut"));
        let unmade = after_loss(Err(Missed::Unmade(Error::Unauthorized))).await;
        assert!(matches!(unmade, Next::Failed(Error::Unknown(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_at_once_is_told_as_it_is() {
        let mut attempts = Attempts::new(Duration::from_secs(60));
        let full = attempts.next(failed(Code::DiskFull, Class::Transient)).await;
        assert!(matches!(full, Next::Failed(error) if error.is_transient() && error.is_not_stored()));
        let invalid = attempts.next(failed(Code::Invalid, Class::Permanent)).await;
        assert!(matches!(invalid, Next::Failed(error) if error.is_not_stored()));
        let denied = attempts.next(failed(Code::AccessDenied, Class::Permanent)).await;
        assert!(matches!(denied, Next::Failed(Error::AccessDenied)));
        let unknown = attempts.next(failed(Code::UnknownOutcome, Class::Unknown)).await;
        assert!(matches!(unknown, Next::Failed(Error::Unknown(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_the_outcome_is_unknown_and_before_it_nothing_is_given_up() {
        let mut attempts = Attempts::new(Duration::from_secs(60));
        let mut times = 0;
        let error = loop {
            match attempts.next(Err(Missed::Made(Fault::Lost("cut".to_owned())))).await {
                Next::Again => times += 1,
                Next::Stored(_) => panic!("stored"),
                Next::Failed(error) => break error,
            }
        };
        assert!(matches!(error, Error::Unknown(why) if why == "cut"));
        assert!(times > 5, "{times}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_that_leaves_has_not_begun_waits_for_the_next_one() {
        let connect = || {
            let (url, cause) = (String::new(), String::new());
            Err(Missed::Unmade(Error::Connect { url, cause }))
        };
        let mut attempts = Attempts::new(Duration::from_secs(60));
        assert!(matches!(
            attempts.next(connect()).await,
            Next::Failed(Error::Connect { .. })
        ));
        let left = Err(Missed::Made(Fault::NotBegun("leaves".to_owned())));
        assert!(matches!(attempts.next(left).await, Next::Again));
        let error = loop {
            match attempts.next(connect()).await {
                Next::Again => {}
                Next::Stored(_) => panic!("stored"),
                Next::Failed(error) => break error,
            }
        };
        assert!(attempts.patience.is_over() && error.is_not_stored(), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_begun_is_not_begun() {
        let mut attempts = Attempts::new(Duration::from_secs(60));
        let error = loop {
            match attempts
                .next(Err(Missed::Made(Fault::NotBegun("leaves".to_owned()))))
                .await
            {
                Next::Again => {}
                Next::Stored(_) => panic!("stored"),
                Next::Failed(error) => break error,
            }
        };
        assert!(error.is_not_stored() && error.is_transient());
    }
}
