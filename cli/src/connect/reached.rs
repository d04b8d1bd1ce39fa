//! An account that a command works with, and what is said where it cannot.

use std::sync::Arc;

use streamkit_azure::account::{Account, AccountSettings, CallError, ProbeError};
use streamkit_azure::medium::Unanswered;
use streamkit_azure::tools::LogUnread;

use crate::failure::Failure;

/// The account that settings name. Nothing is sent yet.
pub(crate) fn account(settings: &AccountSettings) -> Result<Arc<Account>, Failure> {
    let account = Account::new(settings).map_err(|error| Failure::arguments(error.to_string()))?;
    Ok(Arc::new(account))
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let said = error.to_string();
        match error {
            CallError::Denied(_) => Failure::token(said),
            CallError::Refused { status: 404, .. } => {
                Failure::new(said).hint("is the table there? `streamkit azure init` makes it and the container")
            }
            _ if error.is_unknown() => Failure::no_answer(said).hint("is the account's address right? try again"),
            _ => Failure::new(said),
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(error: Unanswered) -> Self {
        let said = error.to_string();
        match error {
            Unanswered::Denied(_) => Failure::token(said),
            Unanswered::Refused(why) if why.contains("404") => {
                Failure::new(said).hint("is the table there? `streamkit azure init` makes it and the container")
            }
            Unanswered::Refused(_) => Failure::new(said),
            Unanswered::Damaged(_) => Failure::damage(said),
            Unanswered::Unknown(_) | Unanswered::Throttled { .. } => {
                Failure::no_answer(said).hint("is the account's address right? try again")
            }
        }
    }
}

impl From<LogUnread> for Failure {
    fn from(error: LogUnread) -> Self {
        match error {
            LogUnread::Unanswered(error) => error.into(),
            LogUnread::Damaged(_) => Failure::damage(error.to_string()),
            _ => Failure::new(error.to_string()),
        }
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Call(error) => error.into(),
            _ => Failure::new(error.to_string()),
        }
    }
}
