//! Who was told to hold the lease, and until when; nobody else holds it meanwhile, and its token counts no longer than it.

use std::collections::HashMap;
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
        let mut told = self.told.clone();
        told.sort_by_key(|grant| (grant.token, grant.from));
        let mut broken = Vec::new();
        for same in told.chunk_by(|a, b| a.token == b.token) {
            if let Some(other) = same.iter().find(|grant| grant.holder != same[0].holder) {
                broken.push(format!("two have one token: {:?}, {other:?}", same[0]));
            }
        }
        // Tokens tell who came later: of those that came later than one, who was the first to hold, and to hear of it.
        let (mut first_from, mut first_answered): (Option<Grant>, Option<Grant>) = (None, None);
        for same in told.chunk_by(|a, b| a.token == b.token).rev() {
            for grant in same {
                if let Some(later) = first_from.filter(|later| later.from < grant.until) {
                    broken.push(format!("two hold the lease at once: {grant:?}, {later:?}"));
                }
                if let Some(later) = first_answered.filter(|later| later.answered < grant.called) {
                    broken.push(format!("a token goes back: {later:?}, then {grant:?}"));
                }
            }
            let with = |known: Option<Grant>| same.iter().copied().chain(known);
            first_from = with(first_from).min_by_key(|grant| grant.from);
            first_answered = with(first_answered).min_by_key(|grant| grant.answered);
        }
        broken
    }

    /// When it was known of each token that it counts no longer.
    pub fn ends(&self) -> Ends {
        let mut granted: Vec<(u64, Moment)> = self.told.iter().map(|grant| (grant.token, grant.answered)).collect();
        granted.sort_unstable();
        // The earliest of each and of all larger ones.
        for at in (1..granted.len()).rev() {
            granted[at - 1].1 = granted[at - 1].1.min(granted[at].1);
        }
        let mut released: HashMap<u64, Moment> = HashMap::new();
        for &(token, answered) in &self.over {
            let known = released.entry(token).or_insert(answered);
            *known = answered.min(*known);
        }
        Ends { granted, released }
    }
}

/// What tokens count no longer by, and since when somebody knew of it.
pub(crate) struct Ends {
    /// Tokens that were granted, ascending, with when somebody was told of this one or a larger one.
    granted: Vec<(u64, Moment)>,
    released: HashMap<u64, Moment>,
}

impl Ends {
    /// Whether somebody was told, before a moment, what a token counts no longer by: that another was granted, or that it was released.
    pub fn was_over(&self, token: u64, before: Moment) -> bool {
        let larger = self.granted.partition_point(|(granted, _)| *granted <= token);
        let is_before = |moment: &Moment| *moment < before;
        self.granted
            .get(larger)
            .is_some_and(|(_, answered)| is_before(answered))
            || self.released.get(&token).is_some_and(is_before)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Asked for and told at moments, and believed from one time to another.
    fn grant(token: u64, holder: u64, (called, answered): (Moment, Moment), (from, until): (u64, u64)) -> Grant {
        static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let at = |millis| *BEGAN.get_or_init(Instant::now) + Duration::from_millis(millis);
        Grant {
            token,
            holder,
            called,
            answered,
            from: at(from),
            until: at(until),
        }
    }

    fn broken(told: Vec<Grant>) -> usize {
        Grants { told, over: Vec::new() }.broken().len()
    }

    #[test]
    fn a_lease_is_of_one_holder_at_a_time_and_its_tokens_go_up() {
        let first = grant(1, 7, (1, 2), (10, 20));
        let second = grant(2, 8, (3, 4), (20, 30));
        let third = grant(3, 7, (5, 6), (30, 40));
        assert_eq!(broken(vec![third, first, second, grant(2, 8, (4, 5), (22, 29))]), 0);
        // Two have one token; a later one is held before the first one is over, also if another was between; it is told before the first is asked for.
        assert_eq!(broken(vec![first, grant(1, 8, (1, 2), (10, 20))]), 1);
        assert_eq!(broken(vec![first, grant(2, 8, (3, 4), (19, 30))]), 1);
        assert_eq!(broken(vec![first, second, grant(3, 9, (5, 6), (19, 30))]), 2);
        assert_eq!(broken(vec![grant(2, 8, (0, 0), (20, 30)), first]), 1);
    }

    #[test]
    fn a_token_is_over_once_somebody_knows_of_a_later_one_or_of_its_release() {
        let told = vec![
            grant(1, 7, (1, 2), (0, 1)),
            grant(4, 8, (3, 9), (0, 1)),
            grant(6, 8, (3, 5), (0, 1)),
        ];
        let mut grants = Grants { told, over: Vec::new() };
        grants.is_over(6, 8);
        let ends = grants.ends();
        assert!(!ends.was_over(1, 5) && ends.was_over(1, 6));
        assert!(!ends.was_over(4, 5) && ends.was_over(4, 6));
        assert!(!ends.was_over(6, 8) && ends.was_over(6, 9) && !ends.was_over(7, 99));
    }
}
