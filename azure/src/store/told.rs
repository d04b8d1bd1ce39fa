//! What the log says, in the words of the boundary.

use std::time::Duration;

use streamkit_engine::{
    AppendError, Busy, DamagedPlace, Landed, ReadError, Rejection, SegmentsHit, StorageError, StoreId,
};

use crate::ledger::ReplicaLedger;
use crate::log::{Failure, Outcome, Why};

/// How long whoever is refused for a while should wait, if the storage says nothing.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What is told of a host that cannot keep its copy. Not where on it anything is: peers hear this, and `/readyz` needs no token.
const HOST: &str = "this host cannot keep its copy of the store, and what it logs says why; other hosts serve it";

/// The answer to a proposal.
pub(super) fn outcome(store: StoreId, outcome: Outcome<ReplicaLedger>) -> Result<Landed, AppendError> {
    match outcome {
        Outcome::Durable(landed) | Outcome::Refused(Ok(landed)) => Ok(landed),
        Outcome::Refused(Err(why)) => Err(why.into()),
        Outcome::NotStored(why @ Why::Failed(Failure::Host(_))) => Err(Rejection::Busy(busy(&why)).into()),
        Outcome::NotStored(Why::Failed(failure)) => Err(Rejection::Storage(failed(store, &failure)).into()),
        Outcome::NotStored(Why::Closed) => Err(Rejection::Storage(StorageError::Closed).into()),
        Outcome::NotStored(why) => Err(Rejection::Busy(busy(&why)).into()),
        // The log will tell, here or at another host.
        Outcome::Unknown(_, Why::Failed(Failure::Host(_))) => {
            Err(AppendError::Indeterminate(StorageError::Unanswered(HOST.to_owned())))
        }
        Outcome::Unknown(_, Why::Failed(failure)) => Err(AppendError::Indeterminate(failed(store, &failure))),
        Outcome::Unknown(_, Why::Closed) => Err(AppendError::Indeterminate(StorageError::Closed)),
        Outcome::Unknown(_, why) => Err(AppendError::Indeterminate(StorageError::Unanswered(why.to_string()))),
    }
}

/// Why a read does not begin.
pub(super) fn not_read(store: StoreId, why: &Why) -> ReadError {
    match why {
        // This host may be able to later, and others are now.
        Why::Failed(Failure::Host(_)) => ReadError::Busy(busy(why)),
        Why::Failed(failure) => failed(store, failure).into(),
        Why::Closed => StorageError::Closed.into(),
        why => ReadError::Busy(busy(why)),
    }
}

/// Whether what stands before it can be read.
pub(super) fn is_damage(failure: &Failure) -> bool {
    matches!(failure, Failure::Damaged(_) | Failure::WentBack)
}

/// Why a log cannot go on.
pub(super) fn failed(store: StoreId, failure: &Failure) -> StorageError {
    match failure {
        Failure::Damaged(_) | Failure::WentBack => StorageError::Corrupt {
            store,
            place: DamagedPlace::Named("its log in the storage account".to_owned()),
            found: failure.to_string(),
            segments: SegmentsHit::InAccount,
        },
        Failure::Deleted => StorageError::StoreDeleted(store),
        Failure::Host(_) => StorageError::Halted {
            store,
            cause: HOST.to_owned(),
        },
        Failure::Refused(_) | Failure::NoStore => StorageError::Halted {
            store,
            cause: failure.to_string(),
        },
    }
}

fn busy(why: &Why) -> Busy {
    let retry_after = match why {
        Why::Full { after: Some(after) } => *after,
        _ => RETRY_AFTER,
    };
    let why = match why {
        Why::Failed(Failure::Host(_)) => HOST.to_owned(),
        why => why.to_string(),
    };
    Busy { why, retry_after }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn where_a_host_keeps_its_copy_is_told_to_nobody() {
        let store = StoreId(Uuid::nil());
        let failure = || Failure::Host("data/copies/1.extent cannot be written".to_owned());
        let told = [
            outcome(store, Outcome::NotStored(Why::Failed(failure())))
                .unwrap_err()
                .to_string(),
            outcome(store, Outcome::Unknown(Uuid::nil(), Why::Failed(failure())))
                .unwrap_err()
                .to_string(),
            not_read(store, &Why::Failed(failure())).to_string(),
            failed(store, &failure()).to_string(),
        ];
        for said in told {
            assert!(
                said.contains("what it logs says why") && !said.contains("extent"),
                "{said}"
            );
        }
    }

    #[test]
    fn damage_in_an_account_names_the_tool_that_looks_there() {
        let said = failed(StoreId(Uuid::nil()), &Failure::WentBack).to_string();
        assert!(
            said.ends_with("; `streamkit azure verify` tells what is lost"),
            "{said}"
        );
        assert!(!said.contains("data directory"), "{said}");
    }
}
