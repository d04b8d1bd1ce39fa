//! Looks: reads from the place of this host on, up to the first missing slot, over seals. Everything that others stored becomes known by
//! them.

use super::call::{Call, CallId, Said};
use super::errand::Errand;
use super::event::Failure;
use super::group::{Group, GroupBody};
use super::ledger::Ledger;
use super::look::{Backlog, BacklogEnd, Read};
use super::machine::{Phase, Purpose, SharedLog};
use super::place::Place;
use super::waiting::Turn;
use crate::medium::{ExtentId, Rows, RowsEnd, Unanswered};

impl<L: Ledger> SharedLog<L> {
    pub(super) fn pump_look(&mut self) {
        if self.looking.backlog.is_some() {
            return self.work_off();
        }
        let is_live = match &self.phase {
            Phase::Open => true,
            Phase::Opening(opening) => opening.is_live(),
            Phase::Closed | Phase::Failed(_) | Phase::Left => false,
        };
        let Some(tail) = self.tail.as_ref().filter(|_| is_live) else {
            return;
        };
        let (place, from) = (tail.place, tail.reads_from());
        let is_wanted = !matches!(self.phase, Phase::Open)
            || self.looking.read.is_some()
            || self.flight.taken().is_some()
            || self.looking.wanted > self.looking.known
            || self
                .waiting
                .looks
                .back()
                .is_some_and(|look| look.came > self.looking.known)
            || self.looking.hinted.is_some_and(|hinted| hinted > place);
        let read = self.looking.read.get_or_insert_with(|| Read {
            errand: Errand::default(),
            began: 0,
            extent: place.extent,
        });
        if !is_wanted {
            self.looking.read = None;
        } else if read.errand.is_due(self.now.uptime) {
            (read.began, read.extent) = (self.turn, place.extent);
            let ask = Call::ReadFrom(place.extent, from, self.settings.read_bytes);
            self.done.tail_reads += 1;
            let call = self.call(Purpose::Look, ask);
            if let Some(read) = &mut self.looking.read {
                read.errand.made(call);
            }
        }
    }

    pub(super) fn look_said(&mut self, call: CallId, said: Result<Said, Unanswered>) {
        let now = self.now.uptime;
        let Some(read) = &mut self.looking.read else { return };
        if !read.errand.is_answered_by(call) {
            return;
        }
        let rows = match said {
            Ok(Said::Rows(rows)) => rows,
            Ok(_) => unreachable!("calls are answered by their kind"),
            Err(why) => return read.errand.failed(now, &why, &mut self.dice),
        };
        let (extent, began) = (read.extent, read.began);
        let tail = self.tail.as_mut().expect("a look has a place");
        if extent != tail.place.extent {
            // A seal of our own came meanwhile: the same look goes on in the next extent.
            read.errand = Errand::default();
            return;
        }
        let first = rows.rows.first().map(|(slot, _)| *slot);
        let end = match rows.end {
            RowsEnd::Nothing => return self.reopen(),
            RowsEnd::Header => BacklogEnd::Tail(began),
            RowsEnd::Early if first.is_some_and(|first| first <= tail.place.slot) => BacklogEnd::Early,
            RowsEnd::Early => {
                let unknown = Unanswered::Unknown("a read ended before it began".to_owned());
                return read.errand.failed(now, &unknown, &mut self.dice);
            }
        };
        if std::mem::take(&mut tail.is_unproven) && first.is_none_or(|first| first >= tail.place.slot) {
            return self.fail(Failure::WentBack);
        }
        read.errand = Errand::default();
        self.take_up(extent, rows, end);
    }

    /// Rows to be applied, of the extent that this host is in.
    pub(super) fn take_up(&mut self, extent: ExtentId, rows: Rows, end: BacklogEnd) {
        self.looking.backlog = Some(Backlog {
            extent,
            rows: rows.rows.into(),
            end,
            body: Errand::default(),
            fetched: None,
        });
        self.work_off();
    }

    /// Applies rows up to the first missing slot, a seal, or a body that has to be fetched.
    fn work_off(&mut self) {
        while let Some(backlog) = &mut self.looking.backlog {
            let tail = self.tail.as_mut().expect("rows are of a place");
            let row = backlog.rows.front().filter(|_| tail.place.extent == backlog.extent);
            let (slot, bytes) = match row {
                Some((slot, _)) if *slot < tail.place.slot => {
                    backlog.rows.pop_front();
                    continue;
                }
                Some((slot, bytes)) if *slot == tail.place.slot => (*slot, bytes),
                // The first missing slot. So far behind it, nobody has pinned anything before it was there.
                Some(_) if backlog.reaches(tail.place.slot.0 + self.settings.depth as u64) => {
                    let place = tail.place;
                    return self.hole(place);
                }
                // Nothing behind it counts yet.
                Some(_) | None => return self.worked_off(),
            };
            let group = match Group::decode(bytes, backlog.extent, slot) {
                Ok(group) => group,
                Err(why) => return self.fail(Failure::Damaged(format!("slot {slot}: {why}"))),
            };
            if let Some(pinned) = self.flight.0.front() {
                assert_eq!((pinned.group.extent, pinned.group.slot), (tail.place.extent, slot));
                match pinned.group.id == group.id {
                    true if self.commit_first() => continue,
                    true => return,
                    false => self.lose_all(),
                }
            }
            if !self.apply_other(&group) {
                return;
            }
        }
    }

    /// A slot is missing that has to be there. A read that begins now finds it, or nobody ever will.
    fn hole(&mut self, place: Place) {
        if self.looking.hole.replace(place) == Some(place) {
            let (slot, extent) = (place.slot, place.extent);
            let what = format!("slot {slot} of extent {extent} is not there, and later ones are");
            return self.fail(Failure::Damaged(what));
        }
        self.looking.backlog = None;
    }

    /// The group of another host, or of an earlier start or plan of this one. Returns whether the rows go on.
    fn apply_other(&mut self, group: &Group) -> bool {
        let (Some(backlog), Some(tail)) = (&mut self.looking.backlog, &mut self.tail) else {
            return false;
        };
        if !tail.is_valid(group) {
            if !group.may_be_void(self.settings.depth) {
                let (slot, id) = (group.slot, group.id);
                let what = format!("slot {slot}: group {id} was made behind a group that is not there any more");
                self.fail(Failure::Damaged(what));
                return false;
            }
            tail.skip_void(group);
            self.done.void_groups += 1;
            return true;
        }
        let body = match (&group.body, &mut backlog.fetched) {
            (GroupBody::Inline(body), _) => body.clone(),
            (GroupBody::Blob { .. }, fetched @ Some(_)) => fetched.take().expect("it is"),
            (GroupBody::Blob { id, .. }, None) => {
                if backlog.body.is_due(self.now.uptime) {
                    let get = Call::GetBlob(GroupBody::blob_name(*id));
                    let call = self.call(Purpose::Body, get);
                    if let Some(backlog) = &mut self.looking.backlog {
                        backlog.body.made(call);
                    }
                }
                return false;
            }
        };
        if let GroupBody::Blob { length, checksum, .. } = group.body
            && (length != body.len() as u64 || checksum != crc32fast::hash(&body))
        {
            self.fail(Failure::Damaged(format!("the body of group {}", group.id)));
            return false;
        }
        if let Err(failure) = tail.apply(group, &body) {
            self.fail(failure);
            return false;
        }
        self.done.other_groups += 1;
        self.progressed();
        true
    }

    pub(super) fn body_said(&mut self, call: CallId, said: Result<Said, Unanswered>) {
        let Some(backlog) = &mut self.looking.backlog else {
            return;
        };
        if !backlog.body.is_answered_by(call) {
            return;
        }
        match said {
            Ok(Said::Blob(Some(body))) => {
                backlog.fetched = Some(body);
                backlog.body = Errand::default();
                self.work_off();
            }
            Ok(Said::Blob(None)) => self.fail(Failure::Damaged("the body of a group is not there".to_owned())),
            Ok(_) => unreachable!("calls are answered by their kind"),
            Err(why) => backlog.body.failed(self.now.uptime, &why, &mut self.dice),
        }
    }

    /// All rows that count are applied.
    fn worked_off(&mut self) {
        let (Some(backlog), Some(tail)) = (self.looking.backlog.take(), &self.tail) else {
            return;
        };
        let is_sealed = tail.place.extent != backlog.extent;
        match backlog.end {
            BacklogEnd::History if is_sealed => self.replayed(),
            BacklogEnd::History => {
                let name = backlog.extent;
                self.fail(Failure::Damaged(format!("the history of extent {name} has no seal")));
            }
            // The look goes on where the log does.
            BacklogEnd::Tail(_) | BacklogEnd::Early if is_sealed => {}
            BacklogEnd::Early => {}
            BacklogEnd::Tail(began) => self.at_tail(began),
        }
        // The rows may be older than the answer that the first pinned group has landed behind them.
        if !matches!(self.phase, Phase::Failed(_)) {
            self.commit_landed();
        }
    }

    /// A read that began at this turn found the end of the log.
    fn at_tail(&mut self, began: Turn) {
        if self.flight.taken().is_some_and(|taken| taken < began) {
            let why = "a slot is taken, and not there".to_owned();
            return self.fail(Failure::Damaged(why));
        }
        if !self.tail.as_ref().is_some_and(|tail| tail.ledger.is_whole()) {
            return self.fail(Failure::WentBack);
        }
        self.looking.known = self.looking.known.max(began);
        self.looking.hinted = None;
        self.looking.read = None;
        if matches!(self.phase, Phase::Opening(_)) {
            self.phase = Phase::Open;
        }
    }
}
