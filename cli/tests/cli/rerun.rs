//! `import` of an input that was mended, moved or renamed since: it ends right, or not with 0. It never stores a row twice
//! unasked, and never takes another row for stored.

use std::io::Write as _;
use std::process::{Output, Stdio};

use crate::program::*;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A served folder with files beside it.
struct Place {
    dir: tempfile::TempDir,
    served: Served,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let served = Served::start(dir.path());
        Self { dir, served }
    }

    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.dir.path().join(name), content).unwrap();
    }

    fn import(&self, name: &str, more: &[&str]) -> Output {
        let mut command = self.served.command(&[&["import", "s", name], more].concat());
        command.current_dir(self.dir.path()).output().unwrap()
    }

    fn import_pipe(&self, content: &[u8], more: &[&str]) -> Output {
        let mut command = self.served.command(&[&["import", "s", "-"], more].concat());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(content);
        child.wait_with_output().unwrap()
    }

    /// What the space holds, sorted.
    fn payloads(&self) -> Vec<String> {
        let entries = lines(&self.served.run(&["consume", "s"]).stdout).into_iter();
        let mut payloads: Vec<String> = entries
            .map(|entry| entry["payload"].as_str().unwrap().to_owned())
            .collect();
        payloads.sort();
        payloads
    }
}

fn rows(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|n| format!("{n},k{}\n", n % 3)).collect()
}

fn read_as(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    let mut read: Vec<String> = range
        .map(|n| format!("{{\"n\":\"{n}\",\"key\":\"k{}\"}}", n % 3))
        .collect();
    read.sort();
    read
}

fn refused(done: &Output) -> String {
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stdout));
    text(&done.stderr)
}

const BY_KEY: [&str; 2] = ["--segment-by", "key"];

#[test]
fn nothing_of_a_damaged_gzip_file_is_stored_and_the_mended_one_is_stored_whole() {
    let place = Place::new();
    let first = gzip(&format!("n,key\n{}", rows(1..=10)));
    let second = gzip(&rows(11..=20));
    for broken in [
        {
            let mut end = second.clone();
            let at = end.len() - 6;
            end[at] ^= 1;
            end
        },
        second[..second.len() - 9].to_vec(),
        [&second[..], b"garbage"].concat(),
    ] {
        place.put("a.csv.gz", &[&first[..], &broken].concat());
        let said = refused(&place.import("a.csv.gz", &BY_KEY));
        assert!(said.contains("gzip") && said.contains("nothing was stored"), "{said}");
        assert!(place.payloads().is_empty());
    }
    place.put("a.csv.gz", &[&first[..], &second].concat());
    assert!(place.import("a.csv.gz", &BY_KEY).status.success());
    assert_eq!(place.payloads(), read_as(1..=20));
}

#[test]
fn rows_that_a_damaged_pipe_gave_are_not_taken_for_the_mended_ones() {
    for by in [&BY_KEY[..], &[]] {
        let place = Place::new();
        let whole = format!("n,key\n{}", rows(1..=20));
        let bent = gzip(&whole.replace("\n7,k1\n", "\n8,k1\n"));
        // Bent rows under the checksum of the right ones.
        let right = gzip(&whole);
        let broken = [&bent[..bent.len() - 8], &right[right.len() - 8..]].concat();
        let arguments = [&["--source", "a"], by].concat();
        let said = refused(&place.import_pipe(&broken, &arguments));
        assert!(said.contains("damaged"), "{said}");
        let stored = place.payloads();
        let said = refused(&place.import_pipe(&right, &arguments));
        assert!(said.contains("no row was stored now"), "{said}");
        assert_eq!(place.payloads(), stored);
    }
}

#[test]
fn a_pipe_that_was_cut_off_is_gone_on_with_when_it_is_whole() {
    for by in [&BY_KEY[..], &[], &["--segment-by", "key", "--ordered"]] {
        let place = Place::new();
        let whole = [gzip(&format!("n,key\n{}", rows(1..=10))), gzip(&rows(11..=20))].concat();
        let arguments = [&["--source", "a"], by].concat();
        let said = refused(&place.import_pipe(&whole[..whole.len() - 3], &arguments));
        assert!(
            said.contains("cut off") && said.contains("rows before it are stored"),
            "{said}"
        );
        assert!(place.payloads().len() >= 10);
        let on = place.import_pipe(&whole, &arguments);
        assert!(on.status.success(), "{}", text(&on.stderr));
        assert_eq!(place.payloads(), read_as(1..=20));
    }
}

#[test]
fn a_row_that_was_changed_before_the_last_stored_one_is_noticed() {
    let place = Place::new();
    place.put("a.csv", format!("n,key\n{}", rows(1..=20)).as_bytes());
    assert!(place.import("a.csv", &[]).status.success());
    place.put(
        "a.csv",
        format!("n,key\n{}", rows(1..=25).replace("\n7,k1", "\n7,k2")).as_bytes(),
    );
    refused(&place.import("a.csv", &[]));
    assert_eq!(place.payloads(), read_as(1..=20));
}

#[test]
fn a_half_last_line_that_was_stored_is_not_passed_over_when_the_file_is_whole() {
    let place = Place::new();
    for (space, half, whole) in [
        ("a", "n,key\n1,k1\n2,k", "n,key\n1,k1\n2,k2\n3,k0\n"),
        ("b", "n,key\n1,k1\n2,k1", "n,key\n1,k1\n2,k12\n"),
        ("c", "key,n\nk1,1\nk2,2", "key,n\nk1,1\nk2,23\n"),
    ] {
        place.put("a.csv", half.as_bytes());
        let import = || {
            let mut command = place.served.command(&["import", space, "a.csv", "--segment-by", "key"]);
            command.current_dir(place.dir.path()).output().unwrap()
        };
        assert!(import().status.success());
        place.put("a.csv", whole.as_bytes());
        let said = refused(&import());
        assert!(said.contains("no row was stored now"), "{said}");
    }
}

#[test]
fn the_same_rows_under_another_name_are_asked_about_whatever_the_name() {
    let content = format!("n,key\n{}", rows(1..=20));
    for by in [&BY_KEY[..], &[]] {
        let place = Place::new();
        place.put("a.csv", content.as_bytes());
        place.put("b.txt", content.as_bytes());
        place.put("c.csv", content.replace('\n', "\r\n").as_bytes());
        place.put("d.gz", &gzip(&content));
        place.put("grown.csv", format!("n,key\n{}", rows(1..=25)).as_bytes());
        place.put("shorter.csv", format!("n,key\n{}", rows(1..=3)).as_bytes());
        place.put(
            "mended.csv",
            format!("n,key\n{}", rows(1..=20).replace("\n7,k1", "\n7,k2")).as_bytes(),
        );
        place.put("other.csv", format!("n,key\n{}", rows(31..=33)).as_bytes());
        assert!(place.import("a.csv", by).status.success());
        for name in ["b.txt", "c.csv", "d.gz", "grown.csv", "shorter.csv", "mended.csv"] {
            let said = refused(&place.import(name, by));
            assert!(
                said.contains("--source a.csv") && said.contains("--again"),
                "{name}: {said}"
            );
        }
        let said = refused(&place.import_pipe(content.as_bytes(), &[&["--source", "x"], by].concat()));
        assert!(said.contains("--source a.csv"), "{said}");
        // By another column it is the same file, too.
        let other: &[&str] = if by.is_empty() { &BY_KEY } else { &[] };
        refused(&place.import("d.gz", other));
        refused(&place.import("a.csv", other));
        assert_eq!(place.payloads(), read_as(1..=20));
        // What it says works.
        let on = place.import("grown.csv", &[&["--source", "a.csv"], by].concat());
        assert_eq!(lines(&on.stdout)[0]["stored"], 5, "{}", text(&on.stderr));
        assert!(place.import("other.csv", by).status.success());
        // So it does behind rows of others.
        refused(&place.import("b.txt", by));
        let again = place.import("a.csv", by);
        assert!(!again.status.success() || lines(&again.stdout)[0]["stored"] == 0);
        let twice = place.import("b.txt", &[&["--again"], by].concat());
        assert_eq!(lines(&twice.stdout)[0]["stored"], 20, "{}", text(&twice.stderr));
        let on = place.import("b.txt", &[&["--again"], by].concat());
        assert_eq!(lines(&on.stdout)[0]["stored"], 0, "{}", text(&on.stderr));
    }
}

#[test]
fn rows_that_stand_under_two_names_are_gone_on_with_under_either() {
    let content = |last| format!("n,key\n{}", rows(1..=last));
    for by in [&BY_KEY[..], &[]] {
        let place = Place::new();
        place.put("a.csv", content(20).as_bytes());
        place.put("b.csv", content(20).as_bytes());
        assert!(place.import("a.csv", by).status.success());
        assert!(place.import("b.csv", &[&["--again"], by].concat()).status.success());
        place.put("a.csv", content(22).as_bytes());
        for stored in [2, 0] {
            let on = place.import("a.csv", by);
            assert!(on.status.success(), "{}", text(&on.stderr));
            let result = &lines(&on.stdout)[0];
            assert_eq!((&result["stored"], &result["rows"]), (&stored.into(), &22.into()));
        }
        // Rows that stand under the other name alone are asked about.
        place.put("b.csv", content(23).as_bytes());
        let said = refused(&place.import("b.csv", by));
        assert!(said.contains("--source a.csv") && said.contains("--again"), "{said}");
        let on = place.import("b.csv", &[&["--again"], by].concat());
        assert_eq!(lines(&on.stdout)[0]["stored"], 3, "{}", text(&on.stderr));
    }
}

#[test]
fn a_file_with_another_ending_may_be_the_same_even_if_all_its_rows_were_changed() {
    let place = Place::new();
    place.put("a.csv.gz", &gzip("n,key\n1,x\n"));
    assert!(place.import("a.csv.gz", &[]).status.success());
    place.put("A.CSV", b"n,key\n2,x\n");
    let said = refused(&place.import("A.CSV", &[]));
    assert!(said.contains("--source a.csv.gz"), "{said}");
    assert!(place.import("A.CSV", &["--source", "A.CSV"]).status.success());
}

#[test]
fn an_import_goes_on_while_others_append_to_its_segments() {
    let place = Place::new();
    place.put("a.csv", format!("n,key\n{}", rows(1..=10)).as_bytes());
    assert!(place.import("a.csv", &BY_KEY).status.success());
    for key in ["s/k0", "s/k1", "s/k2"] {
        assert!(place.served.run_with(&["produce", key], "another's\n").status.success());
    }
    place.put("a.csv", format!("n,key\n{}", rows(1..=20)).as_bytes());
    let on = place.import("a.csv", &BY_KEY);
    assert_eq!(lines(&on.stdout)[0]["stored"], 10, "{}", text(&on.stderr));
    assert_eq!(place.payloads().len(), 23);
}

#[test]
fn rows_missing_before_a_stored_one_may_be_of_a_deleted_segment() {
    let place = Place::new();
    // More rows than are looked at together: those of the first segment stand long before the last one's.
    let mut content = "n,k\n1,gone\n".to_owned();
    content.extend((2..=70_000).map(|n| format!("{n},stays\n")));
    place.put("a.csv", content.as_bytes());
    let done = place.import("a.csv", &["--segment-by", "k"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(place.served.run(&["delete", "s/gone", "--yes"]).status.success());
    let said = refused(&place.import("a.csv", &["--segment-by", "k"]));
    assert!(said.contains("a segment of it was deleted or trimmed"), "{said}");
    assert!(said.contains("another space"), "{said}");
}

#[test]
fn a_copy_of_an_imported_row_behind_the_import_doubles_nothing() {
    let place = Place::new();
    let by_key = &BY_KEY[..];
    for (name, more) in [
        ("a.csv", by_key),
        ("b.csv", &["--ordered", "--source", "b", "--segment-by", "key"]),
    ] {
        place.put(
            name,
            format!("n,key\n{}", rows(1..=20).replace(",k", &format!(",{name}-k"))).as_bytes(),
        );
        let imported = place.import(name, more);
        assert!(imported.status.success(), "{}", text(&imported.stderr));
        let stored = place.payloads();
        let segment = format!("s/{name}-k1");
        let first = &lines(&place.served.run(&["consume", &segment, "--limit", "1"]).stdout)[0];
        let copy = serde_json::json!({"payload": first["payload"], "metadata": first["metadata"]}).to_string();
        place.put("copy", copy.as_bytes());
        let copied = place.served.run(&[
            "produce",
            &segment,
            "--json",
            place.dir.path().join("copy").to_str().unwrap(),
        ]);
        assert!(copied.status.success(), "{}", text(&copied.stderr));
        let again = place.import(name, more);
        assert!(again.status.success(), "{}", text(&again.stderr));
        assert_eq!(lines(&again.stdout)[0]["stored"], 0);
        assert_eq!(place.payloads().len(), stored.len() + 1);
    }
}

#[test]
fn a_copied_row_alone_stands_for_no_rows_before_it() {
    let place = Place::new();
    place.put("a.csv", format!("n,key\n{}", rows(1..=5)).as_bytes());
    assert!(place.import("a.csv", &[]).status.success());
    let last = &lines(&place.served.run(&["peek", "s/all"]).stdout)[0];
    place.put(
        "copy",
        serde_json::json!({"payload": last["payload"], "metadata": last["metadata"]})
            .to_string()
            .as_bytes(),
    );
    assert!(place.served.run(&["delete", "s/all", "--yes"]).status.success());
    let copy = place.dir.path().join("copy");
    assert!(
        place
            .served
            .run(&["produce", "s/all", "--json", copy.to_str().unwrap()])
            .status
            .success()
    );
    let said = refused(&place.import("a.csv", &[]));
    assert!(said.contains("does not hold all rows"), "{said}");
}
