//! Finds which module of a crate imports which: by its `use` items, and by paths that begin with `crate`, `super` or
//! `self`. Leaves out code that is compiled for tests alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

use crate::files_in;

/// A module's path within its crate; none of the root.
pub type Module = Vec<String>;

/// The modules of a crate, each with those it imports.
pub struct Imports {
    /// By module.
    pub of: BTreeMap<Module, BTreeSet<Module>>,
    /// Where each module's text stands.
    pub files: BTreeMap<Module, PathBuf>,
}

/// Reads a crate whose sources stand in a folder.
///
/// # Panics
/// If one is no Rust.
pub fn imports(src: &Path) -> Imports {
    let mut files = BTreeMap::new();
    let mut parsed = BTreeMap::new();
    for (path, text) in files_in(src, "rs") {
        let module = module_of(path.strip_prefix(src).unwrap_or(&path));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        files.insert(module.clone(), path);
        parsed.insert(module, syntax);
    }
    let tests: BTreeSet<Module> = parsed
        .iter()
        .flat_map(|(module, file)| test_modules(module, file))
        .collect();
    let is_test = |module: &Module| (1..=module.len()).any(|length| tests.contains(&module[..length]));
    let mut of = BTreeMap::new();
    for (module, file) in parsed.iter().filter(|(module, _)| !is_test(module)) {
        let mut found = Found {
            home: module,
            known: &files,
            imported: BTreeSet::new(),
        };
        found.visit_file(file);
        found.imported.remove(module);
        found
            .imported
            .retain(|imported| !imported.is_empty() && !is_test(imported));
        of.insert(module.clone(), found.imported);
    }
    Imports { of, files }
}

fn module_of(path: &Path) -> Module {
    let mut module: Module = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if module
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        module.pop();
    }
    module
}

/// Modules that a file declares for tests alone.
fn test_modules(module: &Module, file: &syn::File) -> Vec<Module> {
    let declared = file.items.iter().filter_map(|item| match item {
        Item::Mod(item) if is_for_tests(&item.attrs) => Some([&module[..], &[item.ident.to_string()]].concat()),
        _ => None,
    });
    declared.collect()
}

pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let said = list.tokens.to_string();
        list.path.is_ident("cfg") && (said == "test" || said.starts_with("all (test") || said.starts_with("all(test"))
    })
}

struct Found<'a> {
    home: &'a Module,
    known: &'a BTreeMap<Module, PathBuf>,
    imported: BTreeSet<Module>,
}

impl Found<'_> {
    fn add(&mut self, path: &[String]) {
        let absolute = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("super" | "self") => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let rest = path
                    .iter()
                    .skip_while(|part| ["super", "self"].contains(&part.as_str()));
                let Some(kept) = self.home.len().checked_sub(ups) else {
                    return;
                };
                self.home[..kept].iter().chain(rest).cloned().collect()
            }
            // A module of its own, or another crate.
            _ => [&self.home[..], path].concat(),
        };
        let longest = (1..=absolute.len())
            .rev()
            .find(|&length| self.known.contains_key(&absolute[..length]));
        let is_own = !["crate", "super", "self"].contains(&path.first().map_or("", String::as_str));
        if let Some(length) = longest.filter(|&length| !is_own || length > self.home.len()) {
            self.imported.insert(absolute[..length].to_vec());
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 {
            self.add(&parts);
        }
        visit::visit_path(self, path);
    }
}

/// The circles among things that lead to others: each set of which every one leads to every other.
pub fn circles<T: Ord + Clone>(edges: &BTreeMap<T, BTreeSet<T>>) -> Vec<BTreeSet<T>> {
    let reached = |from: &T| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(at) = next.pop() {
            for to in edges.get(&at).into_iter().flatten() {
                if reached.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        reached
    };
    let all: BTreeMap<&T, BTreeSet<T>> = edges.keys().map(|from| (from, reached(from))).collect();
    let mut found = BTreeSet::new();
    for (from, reached) in &all {
        if reached.contains(from) {
            let circle = reached
                .iter()
                .filter(|to| all.get(to).is_some_and(|back| back.contains(from)));
            found.insert(circle.cloned().collect::<BTreeSet<T>>());
        }
    }
    found.into_iter().collect()
}
