//! What a server tells a collector, and what a bad collector costs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use streamkit_protocol::{Frame, FrameHead, Request, Terminal};
use tokio_tungstenite::tungstenite::Message;

use crate::program::{STORE, Served, until};

/// What was posted: head and body.
type Posts = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector: each post is kept, and answered with `answer` if that is not empty.
struct Collector {
    url: String,
    posts: Posts,
}

impl Collector {
    fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let posts = Posts::default();
        let kept = posts.clone();
        std::thread::spawn(move || {
            for peer in listener.incoming() {
                let kept = kept.clone();
                std::thread::spawn(move || serve(peer.unwrap(), &kept, answer));
            }
        });
        Self { url, posts }
    }

    fn spans(&self) -> Vec<Span> {
        let posts = self.posts.lock().unwrap();
        let bodies = posts.iter().filter(|(head, _)| head.starts_with("POST /v1/traces "));
        let requests = bodies.map(|(_, body)| ExportTraceServiceRequest::decode(&body[..]).unwrap());
        let scopes = requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|of| of.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        let posts = self.posts.lock().unwrap();
        let bodies = posts.iter().filter(|(head, _)| head.starts_with("POST /v1/metrics "));
        bodies
            .map(|(_, body)| ExportMetricsServiceRequest::decode(&body[..]).unwrap())
            .collect()
    }
}

fn serve(mut peer: TcpStream, posts: &Posts, answer: &[u8]) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break bytes.drain(..end + 4).collect::<Vec<u8>>();
            }
            match peer.read(&mut buffer) {
                Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        };
        let head = String::from_utf8(head).unwrap();
        let length = head.to_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().trim().parse().unwrap();
        while bytes.len() < length {
            match peer.read(&mut buffer) {
                Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        posts.lock().unwrap().push((head, bytes.drain(..length).collect()));
        if answer.is_empty() {
            // It hangs, as long as the process lives.
            std::thread::sleep(Duration::from_secs(3600));
        }
        if peer.write_all(answer).is_err() {
            return;
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn served(dir: &Path, variables: &[(&str, &str)]) -> Served {
    Served::start_with(dir, variables)
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn a_call_is_three_spans_of_one_trace_and_the_metrics_are_those_of_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(OK);
    let served = served(
        dir.path(),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20key"),
            ("OTEL_SERVICE_NAME", "orders"),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ],
    );
    let produced = served.run_with(&["produce", "s/a"], &"x\n".repeat(100));
    assert!(produced.status.success());
    let commit = until("the span of the commit", || {
        let spans = collector.spans();
        let commit = spans.iter().find(|span| span.name == "streamkit.store.commit")?.clone();
        let parent = spans.iter().find(|span| span.span_id == commit.parent_span_id)?.clone();
        let request = spans.iter().find(|span| span.span_id == parent.parent_span_id)?.clone();
        Some([request, parent, commit])
    });
    let [request, operation, commit] = commit;
    assert_eq!(request.name, "streamkit.transport.server.request");
    assert_eq!(operation.name, "streamkit.server.append");
    assert_eq!(
        (attribute(&operation, "space"), attribute(&operation, "segment")),
        (Some("s"), Some("a"))
    );
    assert!(
        commit
            .attributes
            .iter()
            .any(|attribute| attribute.key == "group_transactions")
    );
    assert!(
        [&operation, &commit]
            .iter()
            .all(|span| span.trace_id == request.trace_id)
    );
    let of_trace = collector
        .spans()
        .iter()
        .filter(|span| span.trace_id == request.trace_id)
        .count();
    assert_eq!(of_trace, 3, "none for each record");

    let points = until("the metrics of the produce", || {
        let request = collector.metrics().pop()?;
        let of = request.resource_metrics.into_iter().next()?;
        let service = of
            .resource?
            .attributes
            .into_iter()
            .find(|attribute| attribute.key == "service.name")?;
        assert_eq!(service.value?.value, Some(Value::StringValue("orders".to_owned())));
        let metrics = of.scope_metrics.into_iter().next()?.metrics;
        let entries = metrics.iter().find(|metric| metric.name == "streamkit_entries")?;
        let Some(Data::Sum(sum)) = &entries.data else {
            panic!("{entries:?}")
        };
        (format!("{:?}", sum.data_points[0].value) == "Some(AsInt(100))").then_some(metrics)
    });
    let page = served.get("/metrics");
    for metric in &points {
        assert!(page.contains(&format!("# TYPE {} ", metric.name)), "{}", metric.name);
    }
    assert_eq!(points.len(), page.matches("# TYPE ").count());
    let posts = collector.posts.lock().unwrap();
    assert!(
        posts
            .iter()
            .all(|(head, _)| head.contains("x-key: a key") && head.contains("application/x-protobuf"))
    );
}

#[test]
fn a_server_that_stops_sends_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(OK);
    let mut served = served(dir.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]);
    assert!(served.run_with(&["produce", "s/a"], "x\n").status.success());
    served.signal("TERM");
    assert!(served.wait().success());
    assert!(
        collector
            .spans()
            .iter()
            .any(|span| span.name == "streamkit.store.commit")
    );
    assert_eq!(collector.metrics().len(), 1);
}

/// A second signal waits for no collector.
#[test]
fn a_server_that_stops_at_once_leaves_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = Collector::start(b"");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*hangs.url), ("STREAMKIT_DRAIN", "1h")];
    let mut served = served(dir.path(), &variables);
    assert!(served.run_with(&["produce", "s/a"], "x\n").status.success());
    served.signal("TERM");
    served.wait_for_log("stopping");
    served.signal("TERM");
    assert_eq!(served.wait().code(), Some(130));
    assert!(
        !served.log().contains("the collector did not take"),
        "it waited: {}",
        served.log()
    );
}

#[test]
fn a_collector_that_hangs_refuses_or_answers_nonsense_costs_spans_and_nothing_else() {
    let endless: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n";
    let refuses: &[u8] = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
    let elsewhere: &[u8] = b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut endpoints = vec![format!("http://{nobody}"), "nonsense".to_owned()];
    for answer in [&b""[..], b"\0garbage\r\n\r\n", refuses, elsewhere] {
        endpoints.push(Collector::start(answer).url);
    }
    let takes = Collector::start(endless).url;
    for endpoint in endpoints.iter().chain([&takes]) {
        let dir = tempfile::tempdir().unwrap();
        let mut served = served(
            dir.path(),
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
                ("OTEL_BSP_SCHEDULE_DELAY", "1"),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "20"),
            ],
        );
        for _ in 0..3 {
            assert!(
                served.run_with(&["produce", "s/a"], "x\n").status.success(),
                "{endpoint}"
            );
        }
        if endpoint != &takes {
            until("spans are dropped and counted", || {
                assert!(served.run(&["peek", "s/a"]).status.success());
                let page = served.get("/metrics");
                let line = page
                    .lines()
                    .find_map(|line| line.strip_prefix("streamkit_spans_dropped_total "));
                (line?.trim().parse::<u64>().unwrap() > 0).then_some(())
            });
        }
        served.signal("TERM");
        assert!(served.wait().success(), "{endpoint}");
    }
}

#[test]
fn a_variable_that_means_nothing_is_told_and_keeps_nobody_from_serving() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(
        dir.path(),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "banana"),
        ],
    );
    served.wait_for_log("OTEL_EXPORTER_OTLP_PROTOCOL does not say http/protobuf");
    served.wait_for_log("OTEL_TRACES_SAMPLER names no sampler");
    assert!(served.run(&["spaces"]).status.success());
}

#[test]
fn no_name_that_a_peer_chose_steers_whoever_reads_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let path = "s/\u{1b}[31mERROR\nforged";
    assert!(served.run_with(&["produce", path], "x\n").status.success());
    assert!(served.run(&["delete", path, "--yes"]).status.success());
    served.wait_for_log("a segment was deleted path=s/\\u{1b}[31mERROR\\u{a}forged");
    assert!(!served.log().contains('\u{1b}'));
}

pub fn peek() -> Request {
    Request::Peek(streamkit_protocol::Peek {
        space: "s".into(),
        segment: "a".into(),
    })
}

/// Asks over a connection of its own, with this trace context, and waits for the end.
pub async fn ask(served: &Served, asked: Request, context: &[(&str, &str)]) {
    let request = format!("{}/streamz", served.url);
    let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(request).unwrap();
    let token = format!("Bearer {}", served.token).parse().unwrap();
    request.headers_mut().insert("authorization", token);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let store = uuid::Uuid::parse_str(STORE).unwrap();
    let head = FrameHead::new(store, uuid::Uuid::new_v4());
    let context = context
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let frame = Frame {
        store_id: head.store_id,
        channel_id: head.channel_id,
        trace_context: Some(context.collect()),
        ..Frame::decode(&head.data(&asked.encode())).unwrap()
    };
    let text = String::from_utf8(frame.encode()).unwrap();
    socket.send(Message::Text(text.into())).await.unwrap();
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let frame = Frame::decode(text.as_bytes()).unwrap();
        if frame.channel_id == head.channel_id && Terminal::decode(&frame.message()).is_some() {
            return;
        }
    }
    panic!("the connection ended");
}

#[tokio::test]
async fn a_call_goes_on_in_its_callers_trace_and_is_exported_as_the_caller_is() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(OK);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let mut served = served(dir.path(), &variables);
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = |flags: &str| format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
    let huge = "0".repeat(100_000);
    ask(
        &served,
        peek(),
        &[("traceparent", &parent("01")), ("tracestate", "vendor=1")],
    )
    .await;
    ask(&served, peek(), &[("traceparent", &parent("00"))]).await;
    ask(
        &served,
        peek(),
        &[("traceparent", &parent("01")), ("tracestate", &huge)],
    )
    .await;
    ask(&served, peek(), &[("traceparent", &huge), ("tracestate", &huge)]).await;
    served.signal("TERM");
    assert!(served.wait().success());
    let spans = collector.spans();
    let requests: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == "streamkit.transport.server.request")
        .collect();
    assert_eq!(requests.len(), 3, "one caller is not recorded, so its call is not");
    let id = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let continued: Vec<_> = requests.iter().filter(|span| id(&span.trace_id) == TRACE).collect();
    assert_eq!(continued.len(), 2);
    assert!(
        continued
            .iter()
            .all(|span| id(&span.parent_span_id) == "00f067aa0ba902b7")
    );
    let states: Vec<_> = continued.iter().map(|span| span.trace_state.as_str()).collect();
    assert!(states.contains(&"vendor=1") && states.contains(&""), "{states:?}");
    let own: Vec<_> = requests.iter().filter(|span| id(&span.trace_id) != TRACE).collect();
    assert!(own[0].parent_span_id.is_empty(), "what is no trace context is none");
    let peeks = spans.iter().filter(|span| span.name == "streamkit.server.peek");
    assert_eq!(peeks.filter(|span| id(&span.trace_id) == TRACE).count(), 2);
}
