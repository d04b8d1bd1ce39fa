//! The errors of the sources: variants of public error types, and texts that a peer is told. `…` stands for each value in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, Item, LitStr, Visibility};

use crate::imports::is_for_tests;
use crate::{files_in, root};

/// Crates whose public error types somebody may meet.
const CRATES: &[&str] = &[
    "client/src",
    "client/protocol/src",
    "engine/record/src",
    "engine/src",
    "server/src",
];

/// Files in which every text is told to a peer.
const TOLD: &[&str] = &[
    "server/src/v1/refused.rs",
    "server/src/v1/goodbye.rs",
    "server/src/told.rs",
];

/// The folder whose texts of more than one word are answers of HTTP.
const HTTP: &str = "server/src/http";

/// What errors there are.
#[derive(Default)]
pub struct Errors {
    /// Variants of public types, such as `OpenError::InUse`, each with its text; those that only pass another error on are left out.
    pub typed: BTreeMap<String, String>,
    /// Texts without a public type.
    pub texts: BTreeSet<String>,
}

/// Reads them.
///
/// # Panics
/// If a source is no Rust, or two public errors have one name.
pub fn errors() -> Errors {
    let mut errors = Errors::default();
    for (path, text) in CRATES.iter().flat_map(|folder| files_in(&root().join(folder), "rs")) {
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_told = |told: &&str| path == root().join(told);
        Reader {
            every_text: TOLD.iter().any(is_told),
            sentences: path.starts_with(root().join(HTTP)) && !is_tests(&path),
            errors: &mut errors,
        }
        .visit_file(&file);
    }
    errors
}

fn is_tests(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|name| name.to_string_lossy().ends_with("tests"))
}

struct Reader<'a> {
    every_text: bool,
    sentences: bool,
    errors: &'a mut Errors,
}

impl Reader<'_> {
    /// What derives `thiserror::Error` and says so with a text.
    fn error(&mut self, visibility: &Visibility, name: String, attributes: &[Attribute]) {
        let Some(text) = attributes.iter().find_map(error_text) else {
            return;
        };
        match visibility {
            Visibility::Public(_) => {
                let before = self.errors.typed.insert(name.clone(), text);
                assert!(before.is_none(), "there are two public errors {name}");
            }
            _ => self.text(&text),
        }
    }

    fn text(&mut self, text: &str) {
        // The head of an answer is no text of it.
        if text.contains(char::is_alphabetic) && !text.starts_with("HTTP/1.1 ") {
            self.errors.texts.insert(text.trim().to_owned());
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(item) if is_for_tests(&item.attrs) => return,
            Item::Enum(item) => {
                for variant in &item.variants {
                    let name = format!("{}::{}", item.ident, variant.ident);
                    self.error(&item.vis, name, &variant.attrs);
                }
            }
            Item::Struct(item) if !matches!(item.fields, Fields::Unit) => {
                self.error(&item.vis, item.ident.to_string(), &item.attrs);
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        let text = with_gaps(&literal.value());
        if self.every_text || self.sentences && text.trim().contains(' ') {
            self.text(&text);
        }
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let is_format = called.path.is_ident("format");
        if let Some(literal) = first_text(&called.tokens).filter(|_| is_format) {
            self.visit_lit_str(&literal);
        }
    }

    /// Documentation.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// The text in `#[error("…")]`.
fn error_text(attribute: &Attribute) -> Option<String> {
    let syn::Meta::List(list) = &attribute.meta else {
        return None;
    };
    let text = list.path.is_ident("error").then(|| first_text(&list.tokens))??;
    Some(with_gaps(&text.value()))
}

fn first_text(tokens: &TokenStream) -> Option<LitStr> {
    match tokens.clone().into_iter().next()? {
        token @ TokenTree::Literal(_) => syn::parse2(token.into()).ok(),
        _ => None,
    }
}

/// A format's text with `…` in place of each value.
fn with_gaps(format: &str) -> String {
    let mut parts = format.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let after = part.split_once('}').map_or(part, |(_, after)| after);
        text = text + "…" + after;
    }
    text
}

/// The rows of a document's tables, each as the cells under the heads of its columns, and the line it stands in.
pub fn rows(text: &str) -> Vec<(usize, BTreeMap<String, String>)> {
    let (mut rows, mut heads) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let Some(inner) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            heads.clear();
            continue;
        };
        let cells = inner.split('|').map(|cell| cell.trim().to_owned());
        match heads.is_empty() {
            true => heads = cells.collect(),
            false if inner.starts_with('-') => {}
            false => rows.push((number + 1, heads.iter().cloned().zip(cells).collect())),
        }
    }
    rows
}

/// What stands between the backticks of a cell.
pub fn code(cell: &str) -> &str {
    let between = |ticks| cell.strip_prefix(ticks)?.strip_suffix(ticks);
    between("``").or_else(|| between("`")).unwrap_or(cell).trim()
}
