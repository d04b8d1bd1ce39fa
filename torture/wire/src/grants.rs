//! Who was told to hold the lease, and until when; nobody else holds it meanwhile, and its token counts no longer than it.

use std::time::Instant;

use streamkit_torture::history::Moment;

/// What somebody was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub token: u64,
    pub holder: u64,
    pub called: Moment,
    pub answered: Moment,
    /// When it was told so.
    pub from: Instant,
    /// It believes so until then: its time counts from when it asked.
    pub until: Instant,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Grants {
    told: Vec<Grant>,
    /// Tokens that were released, and when their holder was told.
    over: Vec<(u64, Moment)>,
}

impl Grants {
    pub fn granted(&mut self, grant: Grant) {
        self.told.push(grant);
    }

    /// A holder asks for the end of its lease: whatever comes of it, it no longer believes to hold it.
    pub fn gives_up(&mut self, holder: u64, now: Instant) {
        for grant in self.told.iter_mut().filter(|grant| grant.holder == holder) {
            grant.until = grant.until.min(now);
        }
    }

    /// A holder was told that its lease is over.
    pub fn is_over(&mut self, token: u64, answered: Moment) {
        self.over.push((token, answered));
    }

    /// Where two hold it at once, or a token goes back.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (at, one) in self.told.iter().enumerate() {
            for other in &self.told[at + 1..] {
                let (first, second) = if one.token <= other.token {
                    (one, other)
                } else {
                    (other, one)
                };
                if first.token == second.token && first.holder != second.holder {
                    broken.push(format!("two have one token: {first:?}, {second:?}"));
                }
                // Tokens tell who came later.
                if first.token < second.token && second.from < first.until {
                    broken.push(format!("two hold the lease at once: {first:?}, {second:?}"));
                }
                if first.token < second.token && second.answered < first.called {
                    broken.push(format!("a token goes back: {second:?}, then {first:?}"));
                }
            }
        }
        broken
    }

    /// Whether somebody was told, before a moment, what a token counts no longer by: that another was granted, or that it was released.
    pub fn was_over(&self, token: u64, before: Moment) -> bool {
        let mut granted = self.told.iter();
        let mut over = self.over.iter();
        granted.any(|grant| grant.token > token && grant.answered < before)
            || over.any(|&(released, answered)| released == token && answered < before)
    }
}
