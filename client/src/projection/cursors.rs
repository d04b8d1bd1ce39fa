//! Where it is stored how far a projection has come.

use std::future::Future;

use streamkit_record::FormatError;

use super::standing::Standing;

/// Keeps how far a projection has come. [`FileCursors`](super::FileCursors) is one.
pub trait CursorStore: Send + Sync + 'static {
    /// What was saved last; `None` only if nothing ever was: the projection then begins at the beginning.
    ///
    /// # Errors
    /// [`CursorError`].
    fn load(&self) -> impl Future<Output = Result<Option<Standing>, CursorError>> + Send;

    /// Saves this in place of what was saved before, as a whole or not at all, and durably.
    ///
    /// # Errors
    /// [`CursorError`]: what was saved before is still there, or this.
    fn save(&self, standing: &Standing) -> impl Future<Output = Result<(), CursorError>> + Send;
}

/// Why it cannot be stored, or read, how far a projection has come.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// What is stored are not the bytes that were. Nothing of it is used, and nothing begins anew by itself.
    #[error("the cursor in {place} is damaged: {why}")]
    Damaged {
        /// Where.
        place: String,
        /// What its bytes are.
        why: FormatError,
    },
    /// Another projection, in this process or in another, has it open.
    #[error("the cursor in {place} is in use by another projection")]
    InUse {
        /// Where.
        place: String,
    },
    /// Another projection has moved it on: two of them handle the same entries.
    #[error("the cursor was moved by another projection, to its step {found}")]
    Moved {
        /// The step that is stored now; 0 if none is.
        found: u64,
    },
    /// The storage cannot do it. It may pass: the projection tries again a few times.
    #[error("the cursor cannot be stored or read: {0}")]
    Storage(String),
}

impl CursorError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Storage(_) => true,
            Self::Damaged { .. } | Self::InUse { .. } | Self::Moved { .. } => false,
        }
    }
}
