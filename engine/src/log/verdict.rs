//! Decides what the end of a walk means, as a pure table. A group that was whole once and no longer is means damage:
//! the store refuses to open rather than guess. A group that may never have been whole is a torn write, and is cut.

/// The bytes where the next group should start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// No trace of a group of this log.
    Nothing,
    /// The beginning of a group, or one that does not continue the one before.
    Broken,
}

/// The place where the walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkEnd {
    /// Exactly at the end that the next extent's header states.
    SealedEnd,
    /// In a sealed extent, anywhere else.
    InsideSealed,
    /// In the open extent, before a position known to have been durable.
    BeforeDurable,
    /// In the open extent, and nothing says that later bytes were ever durable.
    AfterDurable,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The log ends here.
    End,
    /// The log ends here. The following bytes are a torn write and will be overwritten.
    Cut,
    /// Acknowledged entries may be gone: stop.
    Refuse,
}

/// Decides.
pub fn verdict(found: Found, place: WalkEnd) -> Verdict {
    match (place, found) {
        (WalkEnd::SealedEnd, Found::Nothing | Found::Broken) => Verdict::End,
        (WalkEnd::InsideSealed | WalkEnd::BeforeDurable, Found::Nothing | Found::Broken) => Verdict::Refuse,
        (WalkEnd::AfterDurable, Found::Nothing) => Verdict::End,
        (WalkEnd::AfterDurable, Found::Broken) => Verdict::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_known_durable_is_cut() {
        for found in [Found::Nothing, Found::Broken] {
            for place in [
                WalkEnd::SealedEnd,
                WalkEnd::InsideSealed,
                WalkEnd::BeforeDurable,
                WalkEnd::AfterDurable,
            ] {
                let cut = verdict(found, place) == Verdict::Cut;
                assert_eq!(cut, found == Found::Broken && place == WalkEnd::AfterDurable);
            }
        }
    }

    #[test]
    fn what_was_durable_once_is_never_an_end() {
        for found in [Found::Nothing, Found::Broken] {
            assert_eq!(verdict(found, WalkEnd::BeforeDurable), Verdict::Refuse);
            assert_eq!(verdict(found, WalkEnd::InsideSealed), Verdict::Refuse);
        }
    }
}
