//! Records which rows of the recovery's decision table were reached.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// How often each decision was made: what was found, where, and what was decided.
pub type Decisions = BTreeMap<String, u64>;

/// Rows of the table: two things that may be found, in four places (docs/FORMAT.md, "Where the log ends").
pub const ROWS: usize = 8;

/// Listens.
#[derive(Clone, Default)]
pub struct Coverage(Arc<Mutex<Decisions>>);

impl Coverage {
    /// Listens from here on, to all threads. Once a process.
    pub fn listen() -> Self {
        let coverage = Self::default();
        let _ = tracing::subscriber::set_global_default(coverage.clone());
        coverage
    }

    /// What was heard so far.
    pub fn decisions(&self) -> Decisions {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The fields of one decision.
#[derive(Default)]
struct Decision([String; 3]);

impl Visit for Decision {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let names = ["found", "place", "verdict"];
        if let Some(at) = names.iter().position(|name| *name == field.name()) {
            self.0[at] = format!("{value:?}");
        }
    }
}

impl Subscriber for Coverage {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target().starts_with("streamkit_engine::log") && metadata.fields().field("verdict").is_some() {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.fields().field("verdict").is_some()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut decision = Decision::default();
        event.record(&mut decision);
        let [found, place, verdict] = decision.0;
        let mut decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *decisions.entry(format!("{place} {found} → {verdict}")).or_default() += 1;
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
