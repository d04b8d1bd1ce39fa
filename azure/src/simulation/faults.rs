//! What goes wrong for a while: a host that is cut off, a storage that is out.

use streamkit_engine::Dice;

use super::plan::Plan;
use super::time::Micros;

/// Until when each thing is wrong.
pub struct Faults {
    /// The storage answers nobody.
    pub out: Micros,
    /// Calls of this host do not reach the storage.
    pub mute: Vec<Micros>,
    /// Answers do not reach this host.
    pub deaf: Vec<Micros>,
    /// Hints from this host do not reach that one.
    pub parted: Vec<Vec<Micros>>,
    /// Nothing goes wrong any more.
    pub is_over: bool,
}

/// What may go wrong on a call's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It does not arrive.
    Lost,
    /// It is carried out, and its answer does not arrive.
    Unheard,
    /// It is carried out, and answered with 500.
    Failed,
    /// It is answered with 503, and mostly not carried out.
    Throttled,
    /// Its credential is refused.
    Denied,
}

impl Faults {
    pub fn new(hosts: usize) -> Self {
        Self {
            out: 0,
            mute: vec![0; hosts],
            deaf: vec![0; hosts],
            parted: vec![vec![0; hosts]; hosts],
            is_over: false,
        }
    }

    /// What becomes of a call of this host.
    pub fn fate(&self, dice: &mut Dice, plan: &Plan, now: Micros, host: usize) -> Fate {
        if self.is_over {
            return Fate::Answered;
        }
        if now < self.out || now < self.mute[host] {
            return Fate::Lost;
        }
        let rates = [
            (plan.lost, Fate::Lost),
            (plan.unheard, Fate::Unheard),
            (plan.failed, Fate::Failed),
            (plan.throttled, Fate::Throttled),
            (plan.denied, Fate::Denied),
        ];
        let chosen = rates.into_iter().find(|(rate, _)| dice.chance(*rate, 1000));
        match chosen {
            Some((_, fate)) => fate,
            None if now < self.deaf[host] => Fate::Unheard,
            None => Fate::Answered,
        }
    }
}
