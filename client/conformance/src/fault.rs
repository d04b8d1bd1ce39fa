//! Why a check is not true, or cannot tell.

use crate::wire::refused::Refused;

/// Why a check is not true, or cannot tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The server does not keep the promise: what was seen.
    Broken(String),
    /// It cannot be tried: what is missing.
    Untried(String),
}

/// What a step of a check comes to.
pub type Step<T> = Result<T, Fault>;

/// A step that a server may refuse.
pub type Answer<T> = Result<Result<T, Refused>, Fault>;

impl From<String> for Fault {
    fn from(seen: String) -> Self {
        Self::Broken(seen)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Broken(format!("the server refused it: {refused}"))
    }
}

/// Ends a check that saw something else than was promised.
macro_rules! broken {
    ($($what:tt)*) => {
        return Err(crate::fault::Fault::Broken(format!($($what)*)))
    };
}

/// Ends a check unless something holds.
macro_rules! must {
    ($holds:expr, $($what:tt)*) => {
        if !$holds {
            crate::fault::broken!($($what)*);
        }
    };
}

/// Ends a check unless what came is what was promised.
macro_rules! same {
    ($came:expr, $promised:expr, $($what:tt)*) => {
        match (&$came, &$promised) {
            (came, promised) => {
                if came != promised {
                    crate::fault::broken!("{}: {came:?} came, not {promised:?}", format_args!($($what)*));
                }
            }
        }
    };
}

pub(crate) use {broken, must, same};
