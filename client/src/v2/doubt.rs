//! Whether anybody is there behind a connection. One that carries nothing any more, and that nobody closes, costs a call its time: it is asked
//! then whether the server is there, and if a later call waits in vain as well and nothing at all was heard meanwhile, the next
//! has another connection. A server whose disk is slow answers that it is there, so nobody leaves it for that.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Since when there is a doubt.
#[derive(Default)]
pub(super) struct Doubt(Mutex<Option<Instant>>);

/// What to do about a call that waited in vain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// Ask whether the server is there.
    Ask,
    /// It was asked, and may still answer.
    Wait,
    /// Nobody is there.
    Leave,
}

impl Doubt {
    /// Something was heard.
    pub(super) fn dispel(&self) {
        *self.since() = None;
    }

    /// A call that began then waited in vain.
    pub(super) fn grows(&self, began: Instant) -> Then {
        let mut since = self.since();
        match *since {
            None => {
                *since = Some(Instant::now());
                Then::Ask
            }
            Some(asked) if began < asked => Then::Wait,
            Some(_) => Then::Leave,
        }
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_left_only_for_a_call_that_began_behind_the_question_and_heard_nothing() {
        let doubt = Doubt::default();
        let before = Instant::now();
        assert_eq!(doubt.grows(before), Then::Ask);
        assert_eq!(doubt.grows(before), Then::Wait, "a call beside it");
        doubt.dispel();
        assert_eq!(doubt.grows(before), Then::Ask, "it was there");
        assert_eq!(doubt.grows(Instant::now()), Then::Leave);
    }
}
