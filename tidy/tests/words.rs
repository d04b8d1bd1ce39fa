//! One meaning a word: no two types of the engine, of the server or of the crates for many hosts have one name, and each word of the glossary stands there once.

use std::collections::BTreeMap;
use std::path::Path;

use streamkit_tidy::{files_in, root};

/// Names that say nothing by themselves, of types that no other file sees.
const LOCAL: &[&str] = &["State", "Inner"];

#[test]
fn no_two_types_of_a_crate_have_one_name() {
    for name in ["azure", "engine", "hosts", "server"] {
        let defined = defined_more_than_once(&root().join(name).join("src"));
        assert!(defined.is_empty(), "{name}: {defined:#?}");
    }
}

fn defined_more_than_once(src: &Path) -> BTreeMap<String, Vec<String>> {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files_in(src, "rs") {
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for item in &file.items {
            let name = match item {
                syn::Item::Struct(item) => item.ident.to_string(),
                syn::Item::Enum(item) => item.ident.to_string(),
                syn::Item::Trait(item) => item.ident.to_string(),
                _ => continue,
            };
            let tests = ["/tests/", "/tests.rs", "_tests.rs", "/schedules"];
            if !LOCAL.contains(&name.as_str()) && !tests.iter().any(|part| path.to_string_lossy().contains(part)) {
                defined.entry(name).or_default().push(path.display().to_string());
            }
        }
    }
    defined.retain(|_, places| places.len() > 1);
    // One for each system, of which a build has one.
    defined.remove("Locked");
    defined
}

#[test]
fn each_word_of_the_glossary_stands_there_once() {
    let text = std::fs::read_to_string(root().join("docs/GLOSSARY.md")).expect("the glossary");
    let words = text
        .lines()
        .filter_map(|line| line.strip_prefix("| **")?.split("**").next());
    let mut seen = BTreeMap::new();
    for word in words {
        *seen.entry(word).or_insert(0) += 1;
    }
    assert!(seen.len() > 40 && seen.values().all(|&times| times == 1), "{seen:?}");
}
