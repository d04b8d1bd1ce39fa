//! What a host of stores tells that several hosts share. A server whose stores are its own shows none of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::{Registry, Unit};
use streamkit_engine::boundary::figures::{CallFigures, SharedFigures};

use super::distributions::NANOS;
use super::told::{About, Writer};

/// All of it as it was at the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedMetrics(Arc<Mutex<Option<SharedFigures>>>);

impl SharedMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    pub(super) fn set(&self, now: Option<SharedFigures>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Collector for SharedMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = Writer(encoder);
        match &*now {
            Some(now) => calls(&mut writer, &now.calls),
            None => Ok(()),
        }
    }
}

/// The calls of the medium.
fn calls(writer: &mut Writer<'_>, calls: &[CallFigures]) -> fmt::Result {
    let help = "Time of calls of what keeps the shared logs, however they ended, by kind";
    let about = About("medium_call", help, Some(Unit::Seconds));
    let times = calls.iter().map(|call| ([("call", call.call)], &call.nanos));
    writer.histograms(about, NANOS, times)?;
    let help = "Calls of what keeps the shared logs, by kind and by what came of them";
    let ends = calls.iter().flat_map(|call| {
        let ends = [
            ("done", call.done),
            ("conflict", call.conflicts),
            ("unknown", call.unknown),
            ("throttled", call.throttled),
            ("denied", call.denied),
            ("refused", call.refused),
        ];
        ends.map(|(end, count)| ([("call", call.call), ("end", end)], count))
    });
    writer.counters(About("medium_calls", help, None), ends)?;
    let help = "Bytes of slots, roots and blobs that calls took along, by kind";
    let sent = calls.iter().map(|call| ([("call", call.call)], call.sent_bytes));
    writer.counters(About("medium_sent", help, Some(Unit::Bytes)), sent)?;
    let help = "Bytes of slots, roots and blobs that their answers brought, by kind";
    let received = calls.iter().map(|call| ([("call", call.call)], call.received_bytes));
    writer.counters(About("medium_received", help, Some(Unit::Bytes)), received)
}
