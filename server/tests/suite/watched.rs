//! What whoever watches a server sees of the calls of its peers: metrics, and spans.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use streamkit_protocol::{Control, Frame, FrameHead, Request, Terminal};
use streamkit_server_core::{Access, AccessError, Authenticate, CallerTrace, Scopes, continue_traces};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

use crate::handshake::get;
use crate::peer::{Host, Peer, STORE, consume, peek, produce, record, token};

/// The value of a sample.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    let value = line.unwrap_or_else(|| panic!("no {sample} in {text}"));
    value.trim().parse().unwrap()
}

#[tokio::test]
async fn calls_are_counted_by_what_they_ask_for_and_how_they_end() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let records: Vec<String> = (1..=50).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    peer.produce("s", "a", &records).await;
    peer.produce("s", "a", &[&record(7)]).await;
    peer.call(&peek("s", "a")).await;
    peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    let head = FrameHead::new(STORE, Uuid::new_v4());
    peer.send(head, b"{}").await;
    peer.finish(head).await;
    let mut stranger = host.connect_with(&token(&["streamkit::*:write"])).await.unwrap();
    stranger.call(&peek("s", "a")).await;
    let text = get(&host, "/metrics", "").await;
    let count = |operation: &str, outcome: &str| {
        let labels = format!("{{operation=\"{operation}\",outcome=\"{outcome}\"}}");
        value(&text, &format!("streamkit_operation_seconds_count{labels} "))
    };
    for (operation, outcome) in [
        ("produce", "ok"),
        ("produce", "conflict"),
        ("peek", "ok"),
        ("peek", "denied"),
        ("consume_segment", "ok"),
        ("unknown", "invalid"),
    ] {
        assert_eq!(count(operation, outcome), 1.0, "{operation} {outcome}");
    }
    assert_eq!(count("get_spaces", "ok"), 0.0);
    assert_eq!(value(&text, "streamkit_commit_seconds_count "), 1.0);
    assert_eq!(value(&text, "streamkit_commit_seconds_bucket{le=\"+Inf\"} "), 1.0);
    assert_eq!(value(&text, "streamkit_open_stores "), 1.0);
    assert_eq!(value(&text, "streamkit_channels "), 0.0);
    assert!(value(&text, "streamkit_received_bytes_total ") > 50.0 * 30.0);
    assert!(value(&text, "streamkit_sent_bytes_total ") > 50.0 * 30.0);
    assert!(value(&text, "streamkit_log_bytes ") > 0.0);
    assert_eq!(text, text.replace(&STORE.to_string(), ""), "no store is named");
    assert_eq!(value(&host.server.metrics_text(), "streamkit_transactions_total "), 1.0);
    host.stop().await;
}

/// Lets everybody in, without any key.
struct Everybody;

#[async_trait]
impl Authenticate for Everybody {
    async fn authenticate(&self, _: &Parts) -> Result<Access, AccessError> {
        Ok(Access {
            scopes: Scopes::parse(["streamkit::*"]).unwrap(),
            expires_in: Duration::from_secs(600),
        })
    }
}

#[tokio::test]
async fn one_key_is_told_as_one_and_where_there_are_none_nothing_is_told_of_keys() {
    let host = Host::start().await;
    assert_eq!(value(&host.server.metrics_text(), "streamkit_keys "), 1.0);
    host.stop().await;
    let host = Host::letting_in(Everybody).await;
    assert!(!host.server.metrics_text().contains("\nstreamkit_keys "));
    assert!(get(&host, "/readyz", "").await.starts_with("HTTP/1.1 200 "));
    host.stop().await;
}

#[derive(Clone, Default, Debug)]
struct Seen {
    name: &'static str,
    parent: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

/// All spans that there were.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(Id, Seen)>>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut seen = Seen {
            name: span.name(),
            parent: span.parent().map(|parent| parent.name()),
            ..Seen::default()
        };
        attributes.record(&mut Fields(&mut seen.fields));
        self.0.lock().unwrap().push((id.clone(), seen));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        let (_, seen) = spans.iter_mut().rev().find(|(known, _)| known == id).unwrap();
        values.record(&mut Fields(&mut seen.fields));
    }
}

impl Spans {
    fn named(&self, name: &str) -> Vec<Seen> {
        let spans = self.0.lock().unwrap();
        let named = spans.iter().filter(|(_, seen)| seen.name == name);
        named.map(|(_, seen)| seen.clone()).collect()
    }
}

/// Sends a request with a trace context, and what follows it.
async fn call_with(peer: &mut Peer, context: &[(&str, &str)], request: &Request, more: &[String]) -> Terminal {
    let head = FrameHead::new(STORE, Uuid::new_v4());
    let context = context
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let frame = Frame {
        store_id: head.store_id,
        channel_id: head.channel_id,
        trace_context: Some(context.collect()),
        ..Frame::decode(&head.data(&request.encode())).unwrap()
    };
    peer.send_text(String::from_utf8(frame.encode()).unwrap()).await;
    for message in more {
        peer.send(head, message.as_bytes()).await;
    }
    peer.finish(head).await.1
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_call_has_a_span_one_of_its_operation_and_one_of_its_commit_in_the_callers_trace() {
    static CONTINUED: Mutex<Vec<CallerTrace>> = Mutex::new(Vec::new());
    let spans = Spans::default();
    // This test's runtime has one thread, so what its server does is seen here, and no other test's.
    // Of one subscriber alone it would be taken for granted that all threads have it.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    continue_traces(|span, caller| {
        assert!(!span.is_disabled());
        CONTINUED.lock().unwrap().push(caller.clone());
    });
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let traced = [("traceparent", parent.as_str()), ("tracestate", "vendor=1")];
    let mut records: Vec<String> = (1..=500).map(record).collect();
    records.push(String::from_utf8(Terminal::Close.encode()).unwrap());
    let done = call_with(&mut peer, &traced, &produce("s", "a"), &records).await;
    assert_eq!(done, Terminal::Close);
    let count = spans
        .0
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, seen)| seen.name.starts_with("streamkit."))
        .count();
    assert_eq!(count, 3, "none for each record");
    let request = &spans.named("streamkit.transport.server.request")[0];
    assert_eq!(request.fields["store"], STORE.to_string());
    assert_eq!(request.fields["outcome"], "\"ok\"");
    let operation = &spans.named("streamkit.server.produce")[0];
    assert_eq!(operation.parent, Some("streamkit.transport.server.request"));
    assert_eq!(
        (operation.fields["space"].as_str(), operation.fields["segment"].as_str()),
        ("\"s\"", "\"a\"")
    );
    let commit = &spans.named("streamkit.store.commit")[0];
    assert_eq!(commit.parent, Some("streamkit.server.produce"));
    assert_eq!(commit.fields["group_transactions"], "1");
    {
        let continued = CONTINUED.lock().unwrap();
        assert_eq!(format!("{:x}", continued[0].trace_id), TRACE);
        assert_eq!(continued[0].state.as_deref(), Some("vendor=1"));
    }

    // What is no trace context is none, however large, and the call is served as any other.
    let huge = format!("00-{}", "0".repeat(1 << 20));
    for (parent, state) in [
        ("", ""),
        ("00-zz", "\u{1b}[2J"),
        (huge.as_str(), huge.as_str()),
        (TRACE, "a=1"),
    ] {
        let context = [
            ("traceparent", parent),
            ("tracestate", state),
            ("baggage", huge.as_str()),
        ];
        let done = call_with(&mut peer, &context, &peek("s", "a"), &[]).await;
        assert_eq!(done, Terminal::Close);
    }
    assert_eq!(CONTINUED.lock().unwrap().len(), 1);
    // A frame of the connection itself may carry one that is stale.
    let ping = Frame {
        trace_context: Some([("traceparent".to_owned(), parent.clone())].into()),
        ..Frame::connection(Control::Ping)
    };
    peer.send_text(String::from_utf8(ping.encode()).unwrap()).await;
    peer.answers_ping().await;
    host.stop().await;
}
