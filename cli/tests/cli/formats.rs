//! `import` reads what stands in a file, all of it and as it stands, or says where it does not.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::program::*;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

fn import(served: &Served, dir: &Path, space: &str, name: &str, content: &[u8], more: &[&str]) -> Output {
    let file = dir.join("files").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, content).unwrap();
    served.run(&[&["import", space, file.to_str().unwrap()], more].concat())
}

fn payloads(served: &Served, space: &str) -> Vec<String> {
    let entries = lines(&served.run(&["consume", space]).stdout).into_iter();
    entries
        .map(|entry| entry["payload"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_file_is_read_by_its_content_whatever_its_name_is() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let (csv, json) = ("id,v\n1,é\n2,\"x\r\ny\"\n", "{\"id\": 1}\n\n{\"id\": 2}");
    let (from_csv, from_json) = (
        ["{\"id\":\"1\",\"v\":\"é\"}", "{\"id\":\"2\",\"v\":\"x\\r\\ny\"}"],
        ["{\"id\": 1}", "{\"id\": 2}"],
    );
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for (n, (name, content, read)) in [
        ("DATA.NDJSON", json.as_bytes().to_vec(), from_json),
        ("data", json.as_bytes().to_vec(), from_json),
        ("data.txt", marked(json), from_json),
        ("data.json", gzip(json.as_bytes()), from_json),
        ("data.jsonl.GZ", gzip(json.as_bytes()), from_json),
        ("data.ndjson", zstd(&marked(json)), from_json),
        ("data.ndjson", utf16(json), from_json),
        ("data.CSV", marked(csv), from_csv),
        ("data.csv.gz", zstd(csv.as_bytes()), from_csv),
        ("data.csv", gzip(csv.as_bytes()), from_csv),
        ("data", gzip(&utf16(csv)), from_csv),
        ("data.bin", zstd(csv.as_bytes()), from_csv),
        (
            "data.csv",
            [gzip(&csv.as_bytes()[..9]), gzip(&csv.as_bytes()[9..])].concat(),
            from_csv,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let space = format!("s{n}");
        let done = import(&served, dir.path(), &space, name, &content, &[]);
        assert!(done.status.success(), "{n} {name}: {}", text(&done.stderr));
        assert_eq!(payloads(&served, &space), read, "{n} {name}");
    }
}

#[test]
fn what_cannot_be_told_or_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for (n, (name, content, said)) in [
        ("a.csv", &b"{\"id\":1}\n"[..], "--format ndjson"),
        ("a.csv", b"[id],v\n1,2\n", "--format csv"),
        ("a", b"[id],v\n1,2\n", "--format csv"),
        ("a.txt", b"[\n{\"id\":1}\n]\n", "--format csv"),
        ("a.csv.gz", b"not gzip", "it is not"),
        ("a.csv.GZ", b"id,v\n1,2\n", "--format csv"),
        ("a.ndjson.zst", b"", "it is not"),
        ("a.csv", b"", "it is empty"),
        ("a", b"\n\n", "it is empty"),
        ("a.csv", b"i\0d\0,\0v\0\n\0", "iconv"),
        ("a.csv", b"\xff\xfe\0\0i\0\0\0", "UTF-32"),
        ("a.csv", b"PK\x03\x04....", "zip"),
        ("a.csv", b"id,v\n1,\xe9\n", "line 2: not UTF-8"),
        ("a.csv", &gzip(&gzip(b"id\n1\n")), "twice"),
        ("a.csv", b"id,v,id\n1,2,3\n", "columns 1 and 3"),
        ("a.ndjson", b"id,v\n1,2\n", "line 1: not JSON"),
    ]
    .into_iter()
    .enumerate()
    {
        let space = format!("s{n}");
        let done = import(&served, dir.path(), &space, name, content, &[]);
        assert_eq!(done.status.code(), Some(1), "{n} {name}");
        let told = text(&done.stderr);
        assert!(told.contains(said), "{n} {name}: {told}");
        assert!(payloads(&served, &space).is_empty());
    }
    let folder = served.run(&["import", "s", dir.path().to_str().unwrap()]);
    assert!(text(&folder.stderr).contains("is a folder"), "{}", text(&folder.stderr));
    let unpacked = import(
        &served,
        dir.path(),
        "unpacked",
        "a.csv.gz",
        b"id\n1\n",
        &["--format", "csv"],
    );
    assert!(unpacked.status.success(), "{}", text(&unpacked.stderr));
    let none = import(&served, dir.path(), "none", "a.csv", b"id,v\n", &[]);
    assert!(none.status.success() && text(&none.stderr).contains("has no rows"));
    let asked = import(
        &served,
        dir.path(),
        "asked",
        "a.csv",
        b"{id},v\n1,2\n",
        &["--format", "csv"],
    );
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    assert_eq!(payloads(&served, "asked"), ["{\"{id}\":\"1\",\"v\":\"2\"}"]);
}

#[test]
fn a_quote_that_is_no_csv_stops_the_import_at_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for (n, (content, line, before)) in [
        ("id,v\n1,2\n3,\"4\n5,6\n", 3, 1),
        ("id,v\r\n1,2\r\n3,\"a\"b\r\n", 3, 1),
        ("id,v\r1,2\r\r3,a\"b\r", 4, 1),
        ("id,v\n\n1,\"say \\\"hi\\\" now\"\n", 3, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let space = format!("s{n}");
        let done = import(&served, dir.path(), &space, "a.csv", content.as_bytes(), &[]);
        assert_eq!(done.status.code(), Some(1));
        let told = text(&done.stderr);
        assert!(told.contains(&format!("line {line}: ")), "{told}");
        assert_eq!(payloads(&served, &space).len(), before);
    }
}

#[test]
fn a_pipe_that_trickles_is_read_like_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let content = "id,v\r\n1,\"a\"\"\r\n\"\r\n\r\n2,é\r\n";
    for (space, bytes) in [
        ("plain", content.as_bytes().to_vec()),
        ("gzip", gzip(content.as_bytes())),
    ] {
        let mut command = served.command(&["import", space, "-", "--source", "x"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        for byte in bytes {
            input.write_all(&[byte]).unwrap();
            std::thread::yield_now();
        }
        drop(input);
        assert!(child.wait_with_output().unwrap().status.success());
        assert_eq!(
            payloads(&served, space),
            ["{\"id\":\"1\",\"v\":\"a\\\"\\r\\n\"}", "{\"id\":\"2\",\"v\":\"é\"}"]
        );
    }
}

#[test]
fn numbers_and_texts_name_segments_as_they_stand_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let ids = [
        "1E5",
        "100000",
        "9007199254740993",
        "9007199254740992",
        "123456789012345678901234567890",
        "1.0",
        "1",
    ];
    let rows: String = ids.iter().map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let done = import(
        &served,
        dir.path(),
        "s",
        "a.ndjson",
        rows.as_bytes(),
        &["--segment-by", "id"],
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    for id in ids {
        let segment = lines(&served.run(&["consume", &format!("s/{id}")]).stdout);
        assert_eq!(
            (segment.len(), segment[0]["payload"].as_str()),
            (1, Some(format!("{{\"id\":{id}}}").as_str()))
        );
    }
}

#[test]
fn with_ordered_the_space_has_the_order_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let rows: String = (0..300).map(|n| format!("{n},{}\n", n * 7 % 13 / 2)).collect();
    let content = format!("n,key\n{rows}");
    let arguments = ["--segment-by", "key", "--ordered"];
    let done = import(&served, dir.path(), "s", "a.csv", content.as_bytes(), &arguments);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let read: Vec<String> = payloads(&served, "s")
        .iter()
        .map(|payload| {
            serde_json::from_str::<serde_json::Value>(payload).unwrap()["n"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(read.into_iter().eq((0..300).map(|n| n.to_string())));
    let again = import(
        &served,
        dir.path(),
        "s",
        "a.csv",
        content.as_bytes(),
        &["--segment-by", "key"],
    );
    assert_eq!(lines(&again.stdout)[0]["stored"], 0);
}
