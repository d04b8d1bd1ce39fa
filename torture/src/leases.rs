//! What is known of a store's leases: who was told that he holds which, and what must follow from that.
//!
//! Time is the uptime of the watch. A lease lasts at least for its time to live from when its holder asked; a restart only
//! makes it longer.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_engine::{Fence, FencingToken, Lease, Name};

use crate::model::Broken;

/// Keys and holders of which the dice choose.
pub const KEYS: u64 = 2;
/// As above.
pub const HOLDERS: u64 = 3;

/// The key of a number.
pub fn lease_key(number: u64) -> Name {
    name("key", number)
}

/// The holder of a number.
pub fn lease_holder(number: u64) -> Name {
    name("holder", number)
}

fn name(what: &str, number: u64) -> Name {
    Name::new(&format!("{what} {number}")).expect("it is short")
}

/// What somebody asks of a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Of which key.
    pub key: Name,
    /// Who.
    pub holder: Name,
    /// For how long; `None`: it is to be released.
    pub ttl: Option<Duration>,
    /// It is to be renewed, not granted.
    pub renews: bool,
    /// When he asked.
    pub called: Duration,
    /// How many grants of any key had been told by then: of the newest of them, the token.
    pub newest: FencingToken,
    /// What was known of the key by then.
    pub known: Known,
}

/// What is known of a key.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Known {
    /// The newest grant that anybody was told of.
    pub granted: Option<Lease>,
    /// It was told to be released.
    pub released: bool,
    /// It lasts until then at least.
    pub until: Duration,
    /// It lasts until then at most, if nobody else was granted it and no engine was started since.
    pub at_most: Duration,
    /// What was asked, and nobody was told what became of it, or not yet.
    pub open: Vec<Ask>,
}

impl Known {
    /// Whether something of which nobody knows may have changed it: granted it to another than `holder`, renewed it, or released it.
    fn is_doubted(&self) -> bool {
        !self.open.is_empty()
    }
}

/// All keys of a store.
#[derive(Clone, Default, Debug)]
pub struct Leases {
    keys: BTreeMap<Name, Known>,
    /// Whose each token is.
    tokens: BTreeMap<FencingToken, (Name, Name)>,
}

impl Leases {
    /// What is known of a key.
    pub fn known(&self, key: &Name) -> Known {
        let mut known = self.keys.get(key).cloned().unwrap_or_default();
        // What was known before those is of no use here.
        for open in &mut known.open {
            open.known = Known::default();
        }
        known
    }

    /// The newest token that anybody was told.
    pub fn newest(&self) -> FencingToken {
        self.tokens.keys().next_back().copied().unwrap_or_default()
    }

    /// Some token of a key, mostly the newest.
    pub fn token(&self, key: &Name, back: usize) -> Option<FencingToken> {
        let own = self.tokens.iter().rev().filter(|(_, (of, _))| of == key);
        own.map(|(token, _)| *token).nth(back)
    }

    /// Somebody asks.
    pub fn asked(&mut self, ask: &Ask) {
        self.keys.entry(ask.key.clone()).or_default().open.push(ask.clone());
    }

    fn answered(&mut self, ask: &Ask) -> &mut Known {
        let known = self.keys.entry(ask.key.clone()).or_default();
        if let Some(at) = known.open.iter().position(|open| open == ask) {
            known.open.remove(at);
        }
        known
    }

    /// He was told that nothing of it is or will be.
    pub fn refused(&mut self, ask: &Ask) {
        self.answered(ask);
    }

    /// He was told what became of it.
    ///
    /// # Errors
    /// If that cannot be.
    pub fn told(&mut self, ask: &Ask, lease: Option<Lease>, now: Duration) -> Result<(), Broken> {
        let before = &ask.known;
        let known = self.answered(ask);
        let Some(lease) = lease else {
            // Somebody else must have been able to hold it.
            let free = before.granted.is_none() || before.released || before.at_most <= ask.called;
            let nobody = !before.is_doubted() && !known.is_doubted() && known.granted == before.granted;
            return match free && nobody && ask.ttl.is_some() && !ask.renews {
                true => Err(format!("a lease that nobody holds is not granted: {before:?}")),
                false => Ok(()),
            };
        };
        if lease.key != ask.key || lease.holder != ask.holder {
            return Err(format!("another's lease is told: {lease:?}"));
        }
        let whose = (lease.key.clone(), lease.holder.clone());
        match self.tokens.insert(lease.token, whose.clone()) {
            Some(other) if other != whose => {
                return Err(format!("token {} is of {other:?} and {whose:?}", lease.token));
            }
            Some(_) => {}
            None if ask.newest > lease.token => {
                return Err(format!(
                    "token {} goes back: {} was told before",
                    lease.token, ask.newest
                ));
            }
            None => {}
        }
        let known = self.keys.entry(ask.key.clone()).or_default();
        let newest = known.granted.as_ref().map(|lease| lease.token);
        // Nobody can be granted it while somebody holds it, who was told so before. He may have made it shorter since.
        if let Some(held) = &before.granted
            && held.token < lease.token
            && !before.released
            && !known.released
        {
            let changed = |open: &Ask| open.holder == held.holder;
            let until = match newest == Some(held.token) {
                true => before.until.min(known.until),
                false => before.until,
            };
            if now < until && !before.open.iter().chain(&known.open).any(changed) {
                return Err(format!("granted at {now:?}: {lease:?}; {held:?} lasts until {until:?}"));
            }
        }
        match ask.ttl {
            Some(ttl) if newest.is_none_or(|newest| newest <= lease.token) => {
                if newest != Some(lease.token) {
                    (known.released, known.until, known.at_most) = (false, Duration::ZERO, Duration::ZERO);
                }
                known.granted = Some(lease);
                // A renewal may make it shorter.
                (known.until, known.at_most) = (ask.called + ttl, known.at_most.max(now + ttl));
            }
            Some(_) => {}
            None if newest.is_none_or(|newest| newest <= lease.token) => {
                known.granted = Some(lease);
                known.released = true;
            }
            None => {}
        }
        Ok(())
    }

    /// Whether a fence of this key, that was known so when its append was called first, held then for sure.
    pub fn holds(before: &Known, fence: &Fence) -> bool {
        let newest = before.granted.as_ref().map(|lease| lease.token);
        newest == Some(fence.token) && !before.released && !before.is_doubted()
    }

    /// Whether it could not hold any more.
    pub fn is_past(before: &Known, fence: &Fence) -> bool {
        let newest = before.granted.as_ref().map(|lease| lease.token);
        newest.is_some_and(|newest| newest > fence.token || newest == fence.token && before.released)
    }

    /// An engine was started, and this is what it says of a key.
    ///
    /// # Errors
    /// If that cannot be.
    pub fn settle(&mut self, key: &Name, found: Option<Lease>, now: Duration) -> Result<(), Broken> {
        let known = self.keys.entry(key.clone()).or_default();
        let open = std::mem::take(&mut known.open);
        let held = known.granted.clone().filter(|_| !known.released);
        let may_end = |held: &Lease| {
            let releases = |open: &Ask| open.ttl.is_none() && open.holder == held.holder;
            open.iter().any(releases)
        };
        let as_known = match (&found, &held) {
            (None, None) => true,
            // It may have ended before, and been granted to somebody who was not told.
            (None, Some(held)) => may_end(held) || open.iter().any(|open| open.ttl.is_none()),
            (Some(found), held) => {
                let same = held
                    .as_ref()
                    .is_some_and(|held| (held.token, &held.holder) == (found.token, &found.holder));
                let granted = |open: &Ask| open.ttl == Some(found.ttl) && open.holder == found.holder && !open.renews;
                let newer = known.granted.as_ref().is_none_or(|granted| granted.token < found.token);
                same || newer && open.iter().any(granted)
            }
        };
        if !as_known {
            return Err(format!(
                "lease {key:?} is {found:?}, and must be {held:?}, or by {open:?}"
            ));
        }
        match found {
            Some(found) => {
                self.tokens
                    .insert(found.token, (found.key.clone(), found.holder.clone()));
                // It counts from its start on.
                (known.until, known.at_most) = (now + found.ttl, now + found.ttl);
                (known.granted, known.released) = (Some(found), false);
            }
            None => known.released = true,
        }
        Ok(())
    }
}
