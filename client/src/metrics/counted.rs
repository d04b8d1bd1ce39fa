//! One call as it is counted, and its span.

use std::sync::Arc;
use std::time::Instant;

use tracing::Span;
use tracing::field::Empty;
use uuid::Uuid;

use super::counters::Counters;
use super::kind::CallKind;
use crate::class::ErrorClass;
use crate::error::Error;

/// A call that began. It ends once, whatever comes behind: well, with an error, or because it is dropped.
pub(crate) struct Counted {
    counters: Arc<Counters>,
    kind: CallKind,
    since: Instant,
    /// At level debug, with what became of the call. It ends with it.
    span: Span,
    /// What it comes to if nothing more is heard of it.
    doubt: Option<ErrorClass>,
    is_over: bool,
}

impl Counted {
    /// A call to this store, made at `since`.
    pub(crate) fn begin(counters: &Arc<Counters>, kind: CallKind, store: Uuid, since: Instant) -> Self {
        counters.begun(kind);
        Self {
            counters: counters.clone(),
            kind,
            since,
            span: tracing::debug_span!("call", kind = kind.name(), %store, outcome = Empty),
            doubt: None,
            is_over: false,
        }
    }

    /// A message of the answer over v1 came.
    pub(crate) fn answered(&mut self) {
        if self.kind.has_one_answer() {
            self.well();
        }
    }

    pub(crate) fn well(&mut self) {
        if self.ends("well") {
            self.counters.well(self.kind, self.since.elapsed());
        }
    }

    /// It could not go on, such as in time. What may still come of it tells better.
    pub(crate) fn doubted(&mut self, error: &Error) {
        self.doubt = Some(error.class());
    }

    pub(crate) fn failed(&mut self, error: &Error) {
        self.fails(error.class());
    }

    fn fails(&mut self, class: ErrorClass) {
        let outcome = match class {
            ErrorClass::Transient => "transient",
            ErrorClass::Overloaded { .. } => "overloaded",
            ErrorClass::Expired => "expired",
            ErrorClass::Conflict { .. } => "conflict",
            ErrorClass::Damaged => "damaged",
            ErrorClass::Permanent => "permanent",
        };
        if self.ends(outcome) {
            self.counters.failed(self.kind, class);
        }
    }

    /// Whether it ends now.
    fn ends(&mut self, outcome: &'static str) -> bool {
        let ends = !std::mem::replace(&mut self.is_over, true);
        if ends {
            std::mem::replace(&mut self.span, Span::none()).record("outcome", outcome);
        }
        ends
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        match self.doubt {
            Some(class) => self.fails(class),
            None => {
                if self.ends("dropped") {
                    self.counters.dropped(self.kind);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::Mutex;
    use std::time::Duration;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Writes down what spans say.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl Visit for &Written {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.lock().unwrap().push(format!("{field} {value:?}"));
        }
    }

    impl Subscriber for Written {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::DEBUG
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            self.0.lock().unwrap().push(span.metadata().name().to_owned());
            span.record(&mut &*self);
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, values: &Record<'_>) {
            values.record(&mut &*self);
        }

        fn try_close(&self, _: Id) -> bool {
            self.0.lock().unwrap().push("closed".to_owned());
            true
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_call_ends_once_and_its_span_with_it() {
        let (written, counters) = (Written::default(), Arc::<Counters>::default());
        let _set = tracing::subscriber::set_default(written.clone());
        let begin = || Counted::begin(&counters, CallKind::Lease, Uuid::nil(), Instant::now());
        let span = |outcome: &str| {
            let store = Uuid::nil();
            let outcome = format!("outcome {outcome:?}");
            let lines = ["call", "kind \"lease\"", &format!("store {store}"), &outcome, "closed"];
            lines.map(str::to_owned).to_vec()
        };
        let mut call = begin();
        call.answered();
        assert_eq!(std::mem::take(&mut *written.0.lock().unwrap()), span("well"));
        call.failed(&Error::Closed);
        drop(call);
        assert!(written.0.lock().unwrap().is_empty());
        begin().failed(&Error::Conflict { head: 7, got: 3 });
        assert_eq!(std::mem::take(&mut *written.0.lock().unwrap()), span("conflict"));
        drop(begin());
        assert_eq!(std::mem::take(&mut *written.0.lock().unwrap()), span("dropped"));
        begin().doubted(&Error::Timeout(Duration::ZERO));
        assert_eq!(std::mem::take(&mut *written.0.lock().unwrap()), span("transient"));
        let mut late = begin();
        late.doubted(&Error::Timeout(Duration::ZERO));
        late.well();
        drop(late);
        assert_eq!(std::mem::take(&mut *written.0.lock().unwrap()), span("well"));
        let calls = *counters.snapshot().of(CallKind::Lease);
        assert_eq!((calls.begun, calls.well, calls.dropped, calls.open()), (5, 2, 1, 0));
        assert_eq!(
            (calls.failed.conflict, calls.failed.transient, calls.failed.all()),
            (1, 1, 2)
        );
    }
}
