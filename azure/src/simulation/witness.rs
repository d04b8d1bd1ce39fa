//! What everybody was told, and when.

use uuid::Uuid;

use super::heads::{Entry, Misfit, Stored};
use super::time::Micros;
use crate::log::GroupId;

/// Someone asked for a transaction.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub entry: Entry,
    pub asked: Micros,
    pub told: Option<(Micros, Heard)>,
}

/// What was said of it.
#[derive(Clone, Debug)]
pub enum Heard {
    Durable(Stored),
    Refused(Misfit),
    /// Not stored by this call.
    NotStored,
    /// The host that knew is gone, or says that it does not know.
    Unknown,
}

/// Someone looked, and saw a state.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// When it was asked for; `None` if nobody did, so that it may be old.
    pub asked: Option<Micros>,
    pub told: Micros,
    pub count: u64,
    pub digest: u64,
}

/// A group was sent for the first time.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub group: GroupId,
    /// Milliseconds of true time.
    pub at: i64,
}

/// All of it.
#[derive(Default)]
pub struct Witness {
    pub attempts: Vec<Attempt>,
    pub sights: Vec<Sight>,
    pub sent: Vec<Sent>,
    /// What no host may ever do, and one did.
    pub broken: Vec<String>,
    ids: u128,
}

impl Witness {
    /// An id that no transaction has.
    pub fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// Asks; the number of the attempt comes back.
    pub fn asks(&mut self, entry: Entry, asked: Micros) -> usize {
        let told = None;
        self.attempts.push(Attempt { entry, asked, told });
        self.attempts.len() - 1
    }

    /// Tells of an attempt. Only the first counts: whoever was told waits no longer.
    pub fn tells(&mut self, attempt: usize, at: Micros, told: Heard) {
        let attempt = &mut self.attempts[attempt];
        // One who has given up and is told after all has the truth of both.
        match (&attempt.told, &told) {
            (None, _) | (Some((_, Heard::Unknown)), Heard::Durable(_) | Heard::Refused(_) | Heard::NotStored) => {
                attempt.told = Some((at, told));
            }
            (Some(_), _) => {}
        }
    }
}
