//! Types of events through bytes and back.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::codec::{Fault, NO_ENUM, decode, encode};
use super::envelope::{Envelope, Stamp};
use super::{Cause, Event, UnknownEvent, Upcast};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Placed(Placed),
    Paid {
        cents: u64,
    },
    Shipped,
    #[serde(rename = "https://events.example/order/note")]
    Noted {
        text: String,
    },
    #[serde(skip)]
    Other(UnknownEvent),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Placed {
    items: Vec<String>,
}

impl Event for Order {
    const UPCASTS: &'static [Upcast] = &[
        Upcast::new("paid", 1, |content| {
            let euros = content
                .remove("euros")
                .and_then(|euros| euros.as_u64())
                .ok_or("no euros")?;
            content.insert("cents".to_owned(), json!(euros * 100));
            Ok(())
        }),
        Upcast::renamed("sent", 1, ("shipped", 1), |_| Ok(())),
    ];

    fn unknown(event: UnknownEvent) -> Option<Self> {
        event.name.starts_with("kept").then_some(Self::Other(event))
    }
}

fn stamp() -> Stamp {
    Stamp::now(Default::default(), Cause::default(), 1)
}

fn read(payload: &str) -> Result<Order, Fault> {
    decode(payload.as_bytes()).map(|(event, _)| event)
}

#[test]
fn each_kind_of_variant_comes_back_under_its_name_and_version() {
    let placed = Order::Placed(Placed {
        items: vec!["tea".to_owned()],
    });
    let noted = Order::Noted {
        text: "<\u{2028}\"ü".to_owned(),
    };
    for (event, name, version) in [
        (placed, "placed", 1),
        (Order::Paid { cents: u64::MAX }, "paid", 2),
        (Order::Shipped, "shipped", 1),
        (noted, "https://events.example/order/note", 1),
    ] {
        let stamp = stamp();
        let (bytes, read) = encode(&event, &stamp).unwrap();
        assert_eq!(read, event);
        let (envelope, found) = Envelope::decode(&bytes).unwrap();
        assert_eq!((envelope.name.as_str(), envelope.version), (name, version));
        assert_eq!((found.id(), found.sequence), (stamp.id(), 1));
    }
}

#[test]
fn old_versions_are_read_as_the_newest_one() {
    let paid = r#"{"$type":"paid","content":{"euros":7}}"#;
    assert_eq!(read(paid).unwrap(), Order::Paid { cents: 700 });
    assert_eq!(read(r#"{"$type":"sent","content":{}}"#).unwrap(), Order::Shipped);
    let refused = read(r#"{"$type":"paid","content":{}}"#).unwrap_err();
    assert!(
        matches!(&refused, Fault::Malformed(why) if why == "no euros"),
        "{refused}"
    );
}

#[test]
fn what_a_type_does_not_know_is_told_and_nothing_is_guessed() {
    let unknown = read(r#"{"$type":"lost","content":{},"version":3}"#).unwrap_err();
    assert!(
        matches!(&unknown, Fault::UnknownName { name, version: 3 } if name == "lost"),
        "{unknown}"
    );
    // It would fit.
    for (name, found, known) in [("paid", 3, 2), ("shipped", 0, 1), ("shipped", 2, 1)] {
        let payload = json!({"$type": name, "content": {"cents": 1}, "version": found});
        let fault = read(&payload.to_string()).unwrap_err();
        assert!(
            matches!(fault, Fault::UnknownVersion { version, current, .. } if (version, current) == (found, known)),
            "{fault}"
        );
    }
    for payload in [
        r#"{"$type":"placed","content":{"items":7}}"#,
        r#"{"$type":"placed","content":{"items":[],"more":1}}"#,
        r#"{"$type":"paid","content":{"cents":-1},"version":2}"#,
    ] {
        let fault = read(payload).unwrap_err();
        assert!(matches!(fault, Fault::Malformed(_)), "{payload}: {fault}");
    }
}

#[test]
fn an_unknown_event_is_kept_by_who_wants_it_and_never_saved() {
    let kept = read(r#"{"$type":"kept-1","content":{"metadata":{},"a":1},"version":9}"#).unwrap();
    let Order::Other(event) = &kept else { panic!("{kept:?}") };
    assert_eq!((event.name.as_str(), event.version), ("kept-1", 9));
    assert_eq!(serde_json::Value::Object(event.content.clone()), json!({"a": 1}));
    assert!(encode(&kept, &stamp()).is_err());
}

#[derive(Serialize, Deserialize, Debug)]
enum Odd {
    Text(String),
    Pair(u8, u8),
    Own {
        metadata: String,
    },
    Forgets {
        #[serde(skip_serializing)]
        it: u8,
    },
}

impl Event for Odd {}

#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "kind")]
enum Tagged {
    A { n: u8 },
}

impl Event for Tagged {}

#[derive(Serialize, Deserialize, Debug)]
struct NoEnum {
    only: Placed,
}

impl Event for NoEnum {}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    fn refused<E: Event + std::fmt::Debug>(event: &E, why: &str) {
        let error = encode(event, &stamp()).map(|(_, event)| event).unwrap_err();
        assert!(error.contains(why), "{event:?}: {error}");
    }
    refused(&Odd::Text("a".to_owned()), "no object");
    refused(&Odd::Pair(1, 2), "no object");
    let metadata = "mine".to_owned();
    refused(&Odd::Own { metadata }, "of its own");
    refused(&Odd::Forgets { it: 1 }, "missing field `it`");
    refused(&Tagged::A { n: 1 }, NO_ENUM);
    let only = Placed { items: Vec::new() };
    refused(&NoEnum { only }, NO_ENUM);
}
