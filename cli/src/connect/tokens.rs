//! The tokens of the connections of one command.

use std::sync::{Arc, Mutex, PoisonError};

use super::contexts::Secret;
use super::token_command::token_of;
use crate::failure::Failure;

/// One token for all dials, or a program that is run for each.
#[derive(Clone)]
pub(super) struct Tokens {
    secret: Secret,
    /// The first one of a program, until a dial has taken it.
    first: Arc<Mutex<Option<String>>>,
}

impl Tokens {
    /// Runs the program once now: that it fails is told at once, and not after all attempts to dial.
    ///
    /// # Errors
    /// There is no token.
    pub(super) async fn of(secret: Secret) -> Result<Self, Failure> {
        let first = match &secret {
            Secret::Token(_) => None,
            Secret::TokenCommand(words) => {
                let token = token_of(words).await.map_err(Failure::token);
                Some(token.map_err(|failure| failure.hint("run it by hand; `streamkit context show` has it"))?)
            }
        };
        Ok(Self {
            secret,
            first: Arc::new(Mutex::new(first)),
        })
    }

    /// The one for the next dial.
    pub(super) async fn next(self) -> Result<String, String> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (first, &self.secret) {
            (Some(token), _) => Ok(token),
            (None, Secret::Token(token)) => Ok(token.clone()),
            (None, Secret::TokenCommand(words)) => token_of(words).await,
        }
    }
}
