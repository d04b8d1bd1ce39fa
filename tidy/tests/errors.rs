//! docs/ERRORS.md lists the errors there are, and no other.

use std::collections::{BTreeMap, BTreeSet};

use streamkit_tidy::errors::{code, errors, rows};
use streamkit_tidy::root;

fn document() -> String {
    std::fs::read_to_string(root().join("docs/ERRORS.md")).expect("the list of errors")
}

#[test]
fn every_error_has_its_row_and_no_row_is_of_another() {
    let (mut typed, mut texts) = (BTreeMap::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for (line, row) in rows(&document()) {
        let Some(text) = row.get("text").map(|cell| code(cell).to_owned()) else {
            continue;
        };
        let twice = match row.get("error") {
            Some(error) => typed.insert(code(error).to_owned(), text).is_some(),
            None => !texts.insert(text),
        };
        if twice {
            wrong.push(format!("line {line} is there twice"));
        }
    }
    let found = errors();
    for (name, text) in &found.typed {
        match typed.remove(name) {
            None => wrong.push(format!(
                "add a row: | `{name}` | `{text}` | cause | yes, no or peek first | what to do |"
            )),
            Some(listed) if listed != *text => wrong.push(format!("`{name}` has the text `{text}`, not `{listed}`")),
            Some(_) => {}
        }
    }
    let of_types: BTreeSet<&String> = found.typed.values().collect();
    for text in &found.texts {
        if !texts.remove(text) && !of_types.contains(text) {
            wrong.push(format!(
                "add a row: | `{text}` | … | cause | yes, no or peek first | what to do |"
            ));
        }
    }
    wrong.extend(
        typed
            .into_keys()
            .chain(texts)
            .map(|listed| format!("remove the row of `{listed}`: there is no such error")),
    );
    assert!(wrong.is_empty(), "docs/ERRORS.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_row_says_whether_to_try_again_and_what_to_do() {
    let rows = rows(&document());
    assert!(rows.len() > 100);
    for (line, row) in rows {
        // It only introduces others.
        let introduces = row
            .get("text")
            .is_some_and(|text| code(text) == "failed to write transaction: …");
        let retry = row.get("retry").map(String::as_str).unwrap_or_default();
        let is_known = ["yes", "no", "peek first"].contains(&retry) || introduces;
        assert!(is_known, "docs/ERRORS.md, line {line}: retry is {retry:?}");
        let what = row.get("what to do").is_some_and(|what| !what.is_empty());
        assert!(what, "docs/ERRORS.md, line {line} does not say what to do");
    }
}
