//! Decides which calls fail, and how.

use std::io;

use crate::runtime::dice::Dice;

/// What a call may meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The device refuses.
    Device,
    /// There is no room.
    Full,
    /// The system refuses, with this error number, before anything is done.
    Refused(i32),
    /// Whoever calls panics: a bug of its own.
    Panic,
}

impl Fault {
    fn failure(self) -> Failure {
        match self {
            Self::Device => Failure::Torn(io::Error::other("the device refuses")),
            // Refused before it began.
            Self::Full => Failure::Nothing(io::ErrorKind::StorageFull.into()),
            Self::Refused(number) => Failure::Nothing(io::Error::from_raw_os_error(number)),
            // Without a word on the terminal.
            Self::Panic => std::panic::resume_unwind(Box::new("a planned panic")),
        }
    }
}

/// What a call does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallKind {
    /// Reads, opens or lists.
    Look,
    /// Writes, makes, syncs, renames or removes.
    Change,
}

/// When calls fail. None does, by default.
#[derive(Clone, Default, Debug)]
pub struct Faults {
    /// Of a million reads, opens and lists.
    pub looks: u64,
    /// Of a million writes, syncs, renames and removals.
    pub changes: u64,
    /// The call of this number, counted from 0 over calls of both kinds, fails like this, and with `true` every later one.
    pub at: Option<(u64, Fault, bool)>,
    /// Changes that still succeed before the device refuses every one, and reads go on.
    pub refuses_after: Option<u64>,
    /// Changes that still succeed before the power goes: every call after that fails.
    pub power: Option<u64>,
    /// Of 4 writes that the device refuses, so many leave bytes that nobody wrote.
    pub garbage: u64,
    /// Writes that the queue still takes before it breaks for good.
    pub queue_breaks: Option<u64>,
    /// Writes after which the queue panics, once: its user's bug.
    pub queue_panics: Option<u64>,
}

/// Why a call fails.
#[derive(Debug)]
pub(super) enum Failure {
    /// Part of what it should do may be done.
    Torn(io::Error),
    /// Nothing is.
    Nothing(io::Error),
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        let (Failure::Torn(error) | Failure::Nothing(error)) = failure;
        error
    }
}

impl Faults {
    /// What the call meets, if not success.
    /// `dead` once the power is gone.
    pub(super) fn meets(&mut self, dead: &mut bool, call: CallKind, number: u64, dice: &mut Dice) -> Option<Failure> {
        let gone = || io::Error::other("the power is gone");
        if *dead {
            return Some(Failure::Nothing(gone()));
        }
        if let Some(left) = &mut self.power {
            if *left == 0 && call == CallKind::Change {
                *dead = true;
                return Some(Failure::Torn(gone()));
            }
            *left -= u64::from(call == CallKind::Change);
        }
        if let Some((at, fault, later)) = self.at
            && (number == at || later && number > at)
        {
            return Some(fault.failure());
        }
        if let Some(left) = &mut self.refuses_after
            && call == CallKind::Change
        {
            if *left == 0 {
                return Some(Fault::Device.failure());
            }
            *left -= 1;
        }
        let odds = match call {
            CallKind::Look => self.looks,
            CallKind::Change => self.changes,
        };
        if odds > 0 && dice.chance(odds, 1_000_000) {
            let fault = if call == CallKind::Change && dice.chance(1, 3) {
                Fault::Full
            } else {
                Fault::Device
            };
            return Some(fault.failure());
        }
        None
    }
}
