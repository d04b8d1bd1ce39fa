//! What is found where settings point at.

/// Something that is not as it should be.
pub(crate) struct Found {
    /// Of which option.
    pub(crate) option: &'static str,
    /// What, and what to do.
    pub(crate) what: String,
    /// A server would start.
    pub(crate) is_warning: bool,
}

impl Found {
    pub(super) fn wrong(option: &'static str, what: String) -> Self {
        Self {
            option,
            what,
            is_warning: false,
        }
    }

    pub(super) fn warning(option: &'static str, what: String) -> Self {
        Self {
            is_warning: true,
            ..Self::wrong(option, what)
        }
    }
}
