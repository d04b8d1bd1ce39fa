//! The worked examples and the table of errors of docs/PROTOCOL-V2.md are what these files write and read.

use std::path::Path;

use uuid::Uuid;

use super::answers::{Appended, Hello};
use super::bytes::Writer;
use super::calls::{Append, Condition};
use super::frame::{Frame, frames, kind};
use super::pieces::{Record, Section};
use super::refused::{CODES, Has, OVERLOADED, Refused};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROTOCOL-V2.md");
    std::fs::read_to_string(path).unwrap()
}

fn examples() -> Vec<Vec<u8>> {
    let text = document();
    let blocks = text
        .split("```hex\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let bytes = |block: &str| {
        let digits = block.lines().flat_map(|line| line.split_whitespace().skip(1));
        digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
    };
    blocks.map(bytes).collect()
}

#[test]
fn the_worked_examples_are_what_is_read_and_written() {
    let examples = examples();
    assert_eq!(examples.len(), 4);
    let hello = &frames(&examples[0]).unwrap()[0];
    assert_eq!((hello.channel, hello.kind), (0, kind::HELLO));
    let promised = Hello {
        frame_bytes: 32 << 20,
        channels: 4096,
        credit: 4 << 20,
        features: vec!["zstd".into()],
    };
    assert_eq!(Hello::decode(&hello.body), Ok(promised));

    let (space, segment) = ("orders".to_owned(), "order-1".to_owned());
    let append = Append {
        id: Uuid::from_u128(7),
        conditions: vec![Condition {
            kind: 0,
            sequence: 1,
            space: space.clone(),
            segment: segment.clone(),
        }],
        ..Append::new(vec![Section {
            space,
            segment,
            first: 0,
            records: vec![Record::from("paid")],
        }])
    };
    let store = Uuid::from_u128(0x6f1c_1e0e_3c0b_4e9e_9a51_0a6f_3f2d_9b10);
    assert_eq!(Frame::new(1, kind::CALL, append.body(store)).encode(), examples[1]);

    let result = &frames(&examples[2]).unwrap()[0];
    assert_eq!((result.channel, result.kind), (1, kind::END));
    let promised = Appended {
        position: 9,
        time: 1_700_000_000_000,
        durability: 1,
        was_there: false,
        sections: vec![(2, 2)],
    };
    assert_eq!(Appended::decode(&result.body), Ok(promised));

    let error = &frames(&examples[3]).unwrap()[0];
    assert_eq!((error.channel, error.kind), (1, kind::ERROR));
    let refused = Refused::decode(&error.body).unwrap();
    assert_eq!((refused.code, &*refused.text), (OVERLOADED, "try again"));
}

#[test]
fn the_table_of_errors_is_the_one_of_the_document() {
    let has = |text: &str| match text {
        "" => Has::Nothing,
        "name" => Has::Name,
        "`u8`" => Has::Byte,
        "two names" => Has::Segment,
        text if text.contains("`u64` head") => Has::Heads,
        text if text.starts_with("`u16` segments") => Has::Segments,
        text if text.starts_with("`u64`") => Has::Number,
        other => panic!("what is {other:?}?"),
    };
    let text = document();
    let rows = text.split("## Errors").nth(1).unwrap();
    let rows = rows.split("## ").next().unwrap().lines().filter_map(|line| {
        let cells: Vec<&str> = line
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim_matches([' ', '|']))
            .collect();
        let number: u16 = cells.first()?.parse().ok()?;
        Some((
            number,
            cells[1].trim_matches('`').to_owned(),
            cells[2].parse().unwrap(),
            has(cells[3]),
        ))
    });
    let promised: Vec<(u16, String, u8, Has)> = rows.collect();
    let known = CODES
        .iter()
        .map(|code| (code.number, code.name.to_owned(), code.class, code.has));
    assert_eq!(known.collect::<Vec<_>>(), promised);
}

#[test]
fn bytes_that_are_cut_or_changed_are_no_answer() {
    let whole = Writer::default()
        .u32(5)
        .u32(1)
        .u8(kind::END)
        .u8(0)
        .u16(0)
        .bytes(b"abcde")
        .0;
    assert!(frames(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(frames(&whole[..end]).is_err(), "{end}");
    }
    let mut flagged = whole;
    flagged[9] = 1;
    assert!(frames(&flagged).is_err());
}
