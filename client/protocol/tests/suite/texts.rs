//! Texts and shapes that deployed peers rely on.

use bytes::Bytes;
use streamkit_protocol::*;
use uuid::Uuid;

fn refused(message: &str) -> String {
    Request::decode(message.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_bad_envelope_is_refused_with_the_text_go_clients_know() {
    assert_eq!(refused(""), "unexpected end of JSON input");
    assert_eq!(refused("x"), "invalid character 'x' looking for beginning of value");
    assert!(refused("[1]").starts_with("failed to unmarshal envelope: json: cannot unmarshal array"));
    assert_eq!(refused("null"), "missing $type field in envelope");
    assert_eq!(refused("{}"), "missing $type field in envelope");
    assert_eq!(refused(r#"{"$type":null}"#), "missing $type field in envelope");
    assert!(refused(r#"{"$type":1}"#).starts_with("invalid $type format: "));
    assert_eq!(refused(r#"{"$type":""}"#), "empty $type discriminator");
    assert_eq!(
        refused(r#"{"$type":"streamkit://api/v1/nope","content":{}}"#),
        r#"type "streamkit://api/v1/nope" is not registered"#
    );
    for content in ["", r#","content":null"#, r#","Content":{}"#] {
        assert_eq!(
            refused(&format!(r#"{{"$type":"streamkit://api/v1/peek"{content}}}"#)),
            r#"missing content for type: "streamkit://api/v1/peek""#
        );
    }
    assert!(
        refused(r#"{"$type":"streamkit://api/v1/peek","content":{"space":1}}"#)
            .starts_with(r#"failed to unmarshal content for "streamkit://api/v1/peek": "#)
    );
    assert_eq!(
        refused(r#"{"$type":"streamkit://api/v1/presence","content":{}}"#),
        "invalid request msg type: *api.Presence"
    );
}

#[test]
fn field_names_match_in_any_letter_case_but_envelope_keys_only_exactly() {
    let frame = Frame::decode(br#"{"controltype":"data","STORE_ID":null,"Payload":"aGk="}"#).unwrap();
    assert_eq!(
        (frame.control.clone(), frame.message()),
        (Control::Data, Bytes::from_static(b"hi"))
    );
    let frame = Frame::decode(br#"{"control_type":"data"}"#).unwrap();
    assert_eq!(frame.control, Control::Unknown(String::new()));
    let record = Record::decode(br#"{"SEQUENCE":1,"sequence":2,"extra":[{}]}"#).unwrap();
    assert_eq!(record.sequence, 2);
    assert_eq!(
        refused(r#"{"$TYPE":"streamkit://api/v1/get_spaces","content":{}}"#),
        "missing $type field in envelope"
    );
}

#[test]
fn a_malformed_frame_is_an_error() {
    let id = "\"store_id\":\"6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10\"";
    assert!(Frame::decode(format!("{{{id}}}").as_bytes()).is_ok());
    for good in [
        "6F1C1E0E3C0B4E9E9A510A6F3F2D9B10",
        "urn:uuid:6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10",
    ] {
        assert!(
            Frame::decode(format!("{{\"store_id\":\"{good}\"}}").as_bytes()).is_ok(),
            "{good}"
        );
    }
    for bad in [
        "",
        "null",
        "[]",
        "{",
        "{} {}",
        r#"{"store_id":""}"#,
        r#"{"channel_id":"6f1c"}"#,
        r#"{"ControlType":1}"#,
        r#"{"payload":"aGk"}"#,
        r#"{"payload":"_-8="}"#,
        r#"{"payload":[1]}"#,
        r#"{"trace_context":{"a":1}}"#,
    ] {
        assert!(Frame::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_null_record_a_fraction_and_bad_base64_are_errors() {
    for bad in [
        "null",
        "1",
        r#"{"sequence":1.0}"#,
        r#"{"sequence":1e3}"#,
        r#"{"sequence":-1}"#,
        r#"{"payload":"%"}"#,
    ] {
        assert!(Record::decode(bad.as_bytes()).is_err(), "{bad}");
    }
    let greatest = Record::decode(br#"{"sequence":18446744073709551615,"payload":null}"#).unwrap();
    assert_eq!((greatest.sequence, greatest.payload.0), (u64::MAX, None));
}

#[test]
fn only_objects_whose_type_begins_with_mux_end_a_stream() {
    assert_eq!(Terminal::decode(br#"{"type":"mux::close"}"#), Some(Terminal::Close));
    assert_eq!(
        Terminal::decode(br#"{"type":"mux::close","err":"x"}"#),
        Some(Terminal::CloseError("x".into()))
    );
    assert_eq!(
        Terminal::decode(br#"{"type":"mux::close","err":{"code":5}}"#),
        Some(Terminal::CloseError("{\"code\":5}".into()))
    );
    assert_eq!(
        Terminal::decode(br#"{"type":"mux::close","err":null}"#),
        Some(Terminal::Close)
    );
    let unknown = Terminal::decode(br#"{"type":"mux::later","err":"x"}"#).unwrap();
    assert_eq!(unknown.into_error().unwrap(), r#"unknown error type "mux::later": x"#);
    assert_eq!(
        Terminal::Error("access denied".into()).into_error().unwrap(),
        "remote error: access denied"
    );
    for data in [
        r#"{"type":"order"}"#,
        r#""mux::close""#,
        r#"{"note":"mux::close"}"#,
        r#"{"type":["mux::close"]}"#,
    ] {
        assert_eq!(Terminal::decode(data.as_bytes()), None, "{data}");
    }
    assert_eq!(
        Terminal::decode(br#"{"type":"\u006dux::close"}"#),
        Some(Terminal::Close)
    );
}

#[test]
fn an_empty_payload_is_empty_text_and_an_empty_peek_is_null() {
    let empty = Entry {
        space: "orders".into(),
        segment: "order-42".into(),
        ..Entry::default()
    };
    let nil = Uuid::nil();
    assert_eq!(
        String::from_utf8(empty.encode()).unwrap(),
        format!(
            r#"{{"sequence":0,"trx":{{"id":"{nil}","node":"{nil}","number":0}},"payload":null,"space":"orders","segment":"order-42"}}"#
        )
    );
    let consumed = Entry {
        payload: Payload(Some(Bytes::new())),
        ..empty
    };
    assert!(
        String::from_utf8(consumed.encode())
            .unwrap()
            .contains(r#""payload":"","#)
    );
}
