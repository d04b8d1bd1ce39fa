//! Making the spare extent in time, and removing it when nobody needs it.

use super::call::{Call, CallId, Said};
use super::errand::Errand;
use super::group::first_slot;
use super::ledger::Ledger;
use super::machine::{Phase, Purpose, SharedLog};
use super::spare::Spare;
use crate::medium::{ExtentId, Unanswered};

/// Slots before the end of an extent at which the next one is made.
const AHEAD: u64 = 64;

impl<L: Ledger> SharedLog<L> {
    /// Whether the group of this slot has to seal its extent.
    pub(super) fn is_at_limit(&self, slot: u64) -> bool {
        let bytes = self.tail.as_ref().map_or(0, |tail| tail.extent_bytes);
        slot >= self.settings.extent_slots || bytes >= self.settings.extent_bytes
    }

    pub(super) fn pump_spare(&mut self) {
        let now = self.now.uptime;
        let is_soon = self.tail.as_ref().is_some_and(|tail| {
            let few = AHEAD.min(self.settings.extent_slots / 4);
            self.is_at_limit(tail.place.slot.0 + few) || tail.extent_bytes >= self.settings.extent_bytes / 4 * 3
        });
        match &mut self.spare {
            Spare::None if is_soon && !self.is_leaving && matches!(self.phase, Phase::Open) => {
                self.spare = Spare::Making(ExtentId(self.name()), Errand::default());
                self.pump_spare();
            }
            Spare::Making(extent, errand) if errand.is_due(now) => {
                let create = Call::CreateExtent(*extent, first_slot(self.boot));
                let call = self.call(Purpose::Spare, create);
                if let Spare::Making(_, errand) = &mut self.spare {
                    errand.made(call);
                }
            }
            // A void group may name it, which nobody follows; what is pinned may be valid.
            Spare::Ready(extent) if self.is_leaving && self.flight.0.is_empty() => {
                self.spare = Spare::Retiring(*extent, Errand::default());
                self.pump_spare();
            }
            Spare::Retiring(extent, errand) if errand.is_due(now) => {
                let retire = Call::RetireExtent(*extent);
                let call = self.call(Purpose::Spare, retire);
                if let Spare::Retiring(_, errand) = &mut self.spare {
                    errand.made(call);
                }
            }
            Spare::None | Spare::Making(..) | Spare::Ready(_) | Spare::Retiring(..) => {}
        }
    }

    pub(super) fn spare_said(&mut self, call: CallId, said: Result<Said, Unanswered>) {
        let (Spare::Making(extent, errand) | Spare::Retiring(extent, errand)) = &mut self.spare else {
            return;
        };
        if !errand.is_answered_by(call) {
            return;
        }
        match said {
            // A name of ours that is taken was taken by an earlier call of ours.
            Ok(Said::Created(_)) => self.spare = Spare::Ready(*extent),
            Ok(Said::Retired) => self.spare = Spare::None,
            Ok(_) => unreachable!("calls are answered by their kind"),
            Err(why) => errand.failed(self.now.uptime, &why, &mut self.dice),
        }
    }
}
