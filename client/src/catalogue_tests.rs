//! docs/ERRORS.md says of each text of the wire what this client makes of it.

use std::time::Duration;

use crate::{Error, ErrorClass};

/// The rows of the tables under a heading, as cells.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ERRORS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap();
    let lines = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect();
    lines
        .map(cells)
        .filter(|row: &Vec<String>| row[0].starts_with('`'))
        .collect()
}

/// A text as it comes, with values in its gaps.
fn told(cell: &str) -> String {
    cell.trim_matches('`').trim().replace('…', "7")
}

fn variant(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split([' ', '(']).next().unwrap().to_owned()
}

fn retry(error: &Error) -> &'static str {
    match (error.is_transient(), error.is_not_stored()) {
        (false, _) => "no",
        (true, true) => "yes",
        (true, false) => "peek first",
    }
}

#[test]
fn each_text_of_a_channel_is_the_error_that_the_list_says() {
    let rows = rows("On a channel");
    assert!(rows.len() > 30);
    for row in rows.iter().filter(|row| !row[1].is_empty()) {
        let error = Error::from_terminal(&told(&row[0]));
        assert_eq!(
            (variant(&error).as_str(), retry(&error)),
            (row[1].trim_matches('`'), row[3].as_str()),
            "{}",
            row[0]
        );
    }
}

#[test]
fn what_follows_a_failed_write_is_told_apart_as_the_list_says() {
    // Of reads alone.
    let of_reads = [
        "`StorageError::Interrupted`",
        "`StorageError::Deleted`",
        "`StorageError::OtherLog`",
    ];
    let rows = [rows("Appending"), rows("Storage")].concat();
    assert!(rows.len() > 20);
    for row in rows
        .iter()
        .filter(|row| row.len() == 5 && !of_reads.contains(&row[0].as_str()))
    {
        // The wire has a text of its own for it.
        let wire = match row[0].as_str() {
            "`Rejection::Conflict`" => "sequence gap: expected 7, got 7".to_owned(),
            _ => format!("failed to write transaction: {}", told(&row[1])),
        };
        let error = Error::from_terminal(&wire);
        assert_eq!(retry(&error), row[3], "{}: {error:?}", row[0]);
    }
}

/// One of each error, and what docs/ERRORS.md calls its class.
#[test]
fn each_error_of_the_client_has_the_class_that_the_list_says() {
    let (ago, after) = (Duration::from_secs(1), Duration::from_secs(1));
    let text = String::new;
    let all = [
        Error::Conflict { head: 1, got: 1 },
        Error::Conflicts {
            heads: Vec::new(),
            entries: Vec::new(),
        },
        Error::OtherRecords { position: 1 },
        Error::FencedOff { token: 1 },
        Error::Unauthorized,
        Error::TokenExpired { ago },
        Error::AccessDenied,
        Error::Connect {
            url: text(),
            cause: text(),
        },
        Error::Tls {
            url: text(),
            why: crate::TlsError::NotYetGood,
        },
        Error::ConnectionLost(text()),
        Error::Timeout(after),
        Error::Unknown(text()),
        Error::Unavailable(text()),
        Error::NotBegun(text()),
        Error::TryLater { why: text(), after },
        Error::NotThereYet { position: 1 },
        Error::Damaged {
            segments: Vec::new(),
            why: text(),
        },
        Error::OtherLog,
        Error::UnfitCursor("it is damaged"),
        Error::TooManyEntries { most: 1 },
        Error::NotInV1(""),
        Error::Refused(text()),
        Error::Removed {
            space: text(),
            segment: text(),
            sequence: 1,
            next: 1,
        },
        Error::Protocol(text()),
        Error::Invalid(text()),
        Error::Closed,
    ];
    let listed: Vec<(String, String)> = rows("In the Rust client")
        .into_iter()
        .filter(|row| row[0].starts_with("`Error::"))
        .map(|row| (row[0].trim_matches('`').to_owned(), row[4].clone()))
        .collect();
    let found: Vec<(String, String)> = all
        .iter()
        .map(|error| (format!("Error::{}", variant(error)), class(error).to_owned()))
        .collect();
    assert_eq!(listed, found);
}

fn class(error: &Error) -> &'static str {
    match error.class() {
        ErrorClass::Transient => "transient",
        ErrorClass::Overloaded { .. } => "overloaded",
        ErrorClass::Expired => "expired",
        ErrorClass::Conflict { .. } => "conflict",
        ErrorClass::Damaged => "damaged",
        ErrorClass::Permanent => "permanent",
    }
}
