//! What a walk over a log knows: the place, the chain of groups behind it, and what was wrong.

use streamkit_engine::Timestamp;
use streamkit_engine::archive::ArchivedFile;

use super::damage::{LogDamage, LogPlace};
use super::patience::patiently;
use super::report::{Bodies, LogReport};
use crate::log::{Group, GroupBody, GroupId};
use crate::medium::{ExtentId, Medium, SlotNumber, Unanswered};

/// Places that are told; of more, only the number.
const DAMAGE_MAX: usize = 1000;
/// Groups behind damage among which a predecessor is looked for.
const UNPROVEN_MAX: usize = 1000;

/// The last valid group before a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Last {
    /// It is this one; `None` at the begin of a log.
    Known(Option<GroupId>),
    /// Damage hides it. Which of the groups behind that count is known again with the first one that names another of them.
    Hidden,
}

/// What a slot says of the place behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SlotSays {
    /// The next slot.
    GoOn,
    /// The extent that it names.
    Sealed(ExtentId),
    /// The same, unless there is a next slot: nobody knows whether this one counts.
    PerhapsSealed(ExtentId),
}

/// A walk from the first group of a log to its last one.
pub(super) struct Walk<'a> {
    pub medium: &'a dyn Medium,
    pub bodies: &'a mut dyn Bodies,
    /// Groups that hosts have pinned at a time, at most.
    pub depth: usize,
    pub report: LogReport,
    pub last: Last,
    /// Groups since it is hidden, and the last one before, where that may still count.
    pub unproven: Vec<GroupId>,
    pub time: Timestamp,
    /// Archived files that are to be checked.
    pub archived: Vec<ArchivedFile>,
}

impl Walk<'_> {
    pub fn damage(&mut self, place: LogPlace, what: impl Into<String>) {
        self.report.damaged += 1;
        if self.report.damage.len() < DAMAGE_MAX {
            let what = what.into();
            self.report.damage.push(LogDamage { place, what });
        }
    }

    /// Something cannot be read: what stands behind it begins a chain anew.
    pub fn hide(&mut self, place: LogPlace, what: impl Into<String>) {
        self.damage(place, what);
        self.lose_chain();
    }

    /// What comes next begins a chain anew.
    pub fn lose_chain(&mut self) {
        self.last = Last::Hidden;
        self.unproven.clear();
        self.bodies.hide();
    }

    /// Checks the next slot.
    pub async fn slot(
        &mut self,
        place: LogPlace,
        extent: ExtentId,
        slot: SlotNumber,
        bytes: &bytes::Bytes,
    ) -> Result<SlotSays, Unanswered> {
        self.report.slots += 1;
        self.report.bytes += bytes.len() as u64;
        let group = match Group::decode(bytes, extent, slot) {
            Ok(group) => group,
            Err(why) => {
                self.hide(place, why.to_string());
                return Ok(SlotSays::GoOn);
            }
        };
        let is_certain = match self.last {
            Last::Known(last) if group.predecessor != last => {
                if group.may_be_void(self.depth) {
                    self.report.void_groups += 1;
                    return Ok(SlotSays::GoOn);
                }
                self.hide(place, "it was made behind a group that is not there any more");
                // Those behind it name this one, or the last one before what is gone.
                self.unproven.extend(last);
                false
            }
            Last::Known(_) => true,
            Last::Hidden => group.predecessor.is_some_and(|before| self.unproven.contains(&before)),
        };
        if !is_certain {
            self.report.unproven_groups += 1;
            self.report.last_time = self.report.last_time.max(Some(group.time));
            if self.unproven.len() < UNPROVEN_MAX {
                self.unproven.push(group.id);
            }
            return Ok(match group.seal {
                Some(next) => SlotSays::PerhapsSealed(next),
                None => SlotSays::GoOn,
            });
        }
        if group.time < self.time {
            let what = format!(
                "its commit time {} is before that of the group before it, {}",
                group.time.0, self.time.0
            );
            self.damage(place, what);
        }
        self.time = self.time.max(group.time);
        self.report.groups += 1;
        self.report.first_time.get_or_insert(group.time);
        self.report.last_time = self.report.last_time.max(Some(group.time));
        self.body(place, &group).await?;
        self.last = Last::Known(Some(group.id));
        Ok(group.seal.map_or(SlotSays::GoOn, SlotSays::Sealed))
    }

    async fn body(&mut self, place: LogPlace, group: &Group) -> Result<(), Unanswered> {
        let body = match &group.body {
            GroupBody::Inline(bytes) => bytes.clone(),
            GroupBody::Blob { id, length, checksum } => {
                self.report.body_blobs += 1;
                let name = GroupBody::blob_name(*id);
                let found = patiently(|| self.medium.get_blob(name)).await?;
                match found {
                    None => {
                        self.damage(place, format!("its body, blob {id}, is not there"));
                        self.bodies.hide();
                        return Ok(());
                    }
                    Some(body) => {
                        self.report.bytes += body.len() as u64;
                        if body.len() as u64 != *length || crc32fast::hash(&body) != *checksum {
                            self.damage(
                                place,
                                format!("its body, blob {id}, is another one than the group says"),
                            );
                            self.bodies.hide();
                            return Ok(());
                        }
                        body
                    }
                }
            }
        };
        if let Err(why) = self.bodies.check(group, &body) {
            self.damage(place, why);
        }
        Ok(())
    }
}
