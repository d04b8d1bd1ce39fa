//! Events of the log as JSON: what happened, and in which call of a peer.

use std::fmt::{self, Debug};
use std::sync::OnceLock;

use serde_json::{Map, Value};
use streamkit_server_core::with_current_call;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::lines::{begun, json_line};

/// The trace that the current span belongs to, where traces are exported.
static TRACE_ID: OnceLock<fn() -> Option<u128>> = OnceLock::new();

/// Whoever exports traces tells how to ask for the current one.
pub(crate) fn trace_ids_from(current: fn() -> Option<u128>) {
    let _ = TRACE_ID.set(current);
}

/// Writes an event as a line of JSON.
pub(crate) struct JsonEvents;

/// The fields of an event.
#[derive(Default)]
struct EventFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl EventFields {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // The one name of a store in all lines.
            ("store", value) => self.others.push(("store_id", value)),
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }
}

impl<S, N> FormatEvent<S, N> for JsonEvents
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut object = begun(metadata.level().as_str(), metadata.target(), &fields.message);
        for (name, value) in fields.others {
            // What every line has is not said otherwise by one of them.
            object.entry(name).or_insert(value);
        }
        add_call(&mut object);
        writer.write_str(&json_line(object))
    }
}

/// Adds which call it is of. The channel and the trace come last: they tell repetitions of a line apart.
fn add_call(object: &mut Map<String, Value>) {
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            object.entry(name).or_insert(value.into());
        }
    };
    let trace_id = with_current_call(|call| {
        let call = call?;
        add("store_id", Some(call.store.to_string()));
        add("space", call.space().map(str::to_owned));
        add("segment", call.segment().map(str::to_owned));
        add("channel", Some(call.channel.to_string()));
        call.trace_id
    });
    let trace_id = trace_id.or_else(|| TRACE_ID.get().and_then(|current| current()));
    add("trace_id", trace_id.map(|id| format!("{id:032x}")));
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_an_object_with_its_fields_by_their_kinds() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .event_format(JsonEvents)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(store = %uuid::Uuid::nil(), failures = 3, open = true, level = "forged", "a \"{}\"\n", "store");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "a \"store\"\n");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["store_id"], uuid::Uuid::nil().to_string());
        assert_eq!(
            (line["failures"].as_u64(), line["open"].as_bool()),
            (Some(3), Some(true))
        );
        assert!(line["target"].as_str().unwrap().starts_with("streamkit"));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
