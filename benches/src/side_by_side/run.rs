//! A whole run: floors and subjects in turn, the medians of their rounds, and who waits for its sync.

use serde_json::{Map, Value, json};

use super::{Plan, Round, Work, delay, engine, floors, server};
use crate::Outcome;
use crate::figures::{Figures, number};
use crate::machine::{self, Machine};
use crate::servers::kinds::Kind;
use crate::servers::programs::Programs;
use crate::servers::{Connect, Way};

/// The engine's name among the subjects.
pub const ENGINE: &str = "engine, in process";

/// Who is measured, and what was found so far.
struct Subject {
    name: &'static str,
    served: Option<(&'static Kind, Connect)>,
    version: Option<String>,
    rounds: Vec<Round>,
    /// Why it is not measured, or not any more.
    absent: Option<String>,
}

/// Measures everything that a plan wants, and says on standard error what it is at. A subject that is missing or fails
/// is in the result with the reason.
///
/// # Errors
/// Of the floors, which stand in for the machine.
pub fn measure(plan: &Plan, kinds: &'static [Kind], programs: &Programs) -> Outcome<Value> {
    let mut subjects: Vec<Subject> = subjects(kinds, programs)
        .into_iter()
        .filter(|one| plan.wants(one.name))
        .collect();
    let mut floors = Floors::default();
    for round in 0..plan.rounds {
        for turn in 0..subjects.len() {
            // Another goes first each time.
            let at = (turn + round) % subjects.len();
            let subject = &mut subjects[at];
            if subject.absent.is_some() {
                continue;
            }
            floors.measure(plan)?;
            eprintln!("round {} of {}: {} …", round + 1, plan.rounds, subject.name);
            match subject.round(plan, programs) {
                Ok(round) => subject.rounds.push(round),
                Err(error) => subject.absent = Some(error.to_string()),
            }
        }
    }
    floors.measure(plan)?;
    let subjects: Vec<Value> = subjects.iter().map(|subject| subject.to_json(plan, programs)).collect();
    Ok(json!({
        "date": machine::date(),
        "commit": machine::commit(),
        "machine": Machine::of(&plan.dir)?.to_json(),
        "quick": plan.quick,
        "seconds": plan.slice.as_secs_f64(),
        "rounds": plan.rounds,
        "floors": floors.to_json(),
        "subjects": subjects,
    }))
}

/// What the floors took each time.
#[derive(Default)]
struct Floors {
    disk: Vec<Figures>,
    loopback: Vec<Figures>,
    both: Vec<Figures>,
}

impl Floors {
    fn measure(&mut self, plan: &Plan) -> Outcome {
        self.disk.push(floors::disk(plan)?);
        self.loopback.push(floors::loopback(plan)?);
        self.both.push(floors::both(plan)?);
        Ok(())
    }

    fn to_json(&self) -> Value {
        json!({
            "disk": Figures::floor(&self.disk).to_json(),
            "loopback": Figures::floor(&self.loopback).to_json(),
            "both": Figures::floor(&self.both).to_json(),
        })
    }
}

fn subjects(kinds: &'static [Kind], programs: &Programs) -> Vec<Subject> {
    let engine = Subject {
        name: ENGINE,
        served: None,
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        rounds: Vec::new(),
        absent: None,
    };
    let served = kinds.iter().map(|kind| Subject {
        name: kind.name,
        served: kind.connect.map(|connect| (kind, connect)),
        version: programs.version(kind),
        rounds: Vec::new(),
        absent: match (programs.find(kind), kind.connect) {
            (None, _) => Some("it is not installed".into()),
            (_, None) => Some("its client is not built: --features servers".into()),
            _ => None,
        },
    });
    std::iter::once(engine).chain(served).collect()
}

impl Subject {
    fn round(&self, plan: &Plan, programs: &Programs) -> Outcome<Round> {
        match self.served {
            Some((kind, connect)) => server::round(plan, kind, connect, programs),
            None => engine::round(plan),
        }
    }

    fn to_json(&self, plan: &Plan, programs: &Programs) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), self.name.into());
        object.insert("version".into(), self.version.clone().into());
        object.insert("absent".into(), self.absent.clone().into());
        if self.absent.is_some() {
            return object.into();
        }
        for work in plan.works.iter().copied() {
            object.insert(work.key().into(), best_way(&self.rounds, work));
        }
        if let (Some((kind, connect)), true) = (self.served, plan.shows_sync) {
            eprintln!("{} with its sync held up …", self.name);
            let one = median(&self.rounds, Work::One, None);
            object.insert("sync".into(), delay::shown(plan, kind, connect, programs, &one));
        }
        object.into()
    }
}

/// The medians of a work: those of the way that is best, with its name and the number compared of each way beside them.
fn best_way(rounds: &[Round], work: Work) -> Value {
    let taken = rounds.first().into_iter().flatten().filter(|(of, _, _)| *of == work);
    let ways = taken.map(|(_, way, _)| (*way, median(rounds, work, *way)));
    let mut ways: Vec<(Option<Way>, Figures)> = ways.collect();
    let leader = |figures: &Figures| figures.get(work.leader());
    ways.sort_by(|one, other| leader(&other.1).total_cmp(&leader(&one.1)));
    let Some((best, figures)) = ways.first() else {
        return Value::Null;
    };
    let mut best_of = figures.to_json();
    if let Some(best) = best {
        best_of["way"] = best.word().into();
        let each = ways
            .iter()
            .filter_map(|(way, figures)| Some(((*way)?.word().to_owned(), number(leader(figures)))));
        best_of["ways"] = each.collect::<Map<_, _>>().into();
    }
    best_of
}

fn median(rounds: &[Round], work: Work, way: Option<Way>) -> Figures {
    let of_round = |round: &Round| {
        round
            .iter()
            .find(|(of, by, _)| *of == work && *by == way)
            .map(|(_, _, figures)| figures.clone())
    };
    Figures::median(&rounds.iter().filter_map(of_round).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::kinds::KINDS;

    #[test]
    fn the_better_way_counts_and_both_are_told() {
        let rate = |per_s: f64| Figures(vec![("records_per_s", per_s)]);
        let round = |shared, each| {
            vec![
                (Work::Many, Some(Way::Shared), rate(shared)),
                (Work::Many, Some(Way::Each), rate(each)),
                (Work::Bulk, None, rate(1.0)),
            ]
        };
        let rounds = [round(10.0, 20.0), round(30.0, 21.0), round(11.0, 19.0)];
        let best = best_way(&rounds, Work::Many);
        assert_eq!(best["way"], "a connection each");
        assert_eq!(best["records_per_s"], 20.0);
        assert_eq!(best["ways"], json!({"a connection each": 20.0, "one connection": 11.0}));
        assert!(best_way(&rounds, Work::Bulk)["way"].is_null());
        assert!(best_way(&rounds, Work::Read).is_null());
    }

    #[test]
    fn what_is_missing_is_named_with_its_reason() {
        let nowhere = tempfile::tempdir().unwrap();
        let absent = |name| {
            let subjects = subjects(KINDS, &Programs::of(nowhere.path()));
            subjects
                .into_iter()
                .find(|subject| subject.name == name)
                .unwrap()
                .absent
        };
        assert_eq!(absent("UmaDB").as_deref(), Some("it is not installed"));
        assert_eq!(absent(ENGINE), None);
    }
}
