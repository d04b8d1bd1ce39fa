//! Names in folders, as they are read and as power loss would leave them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::dice::Dice;

/// A file, whatever it is called.
pub(super) type Number = u64;

#[derive(Clone)]
enum Change {
    Add(PathBuf, Number),
    Remove(PathBuf),
    /// Of the file with this number.
    Rename(PathBuf, PathBuf, Number),
}

impl Change {
    fn folder(&self) -> Option<&Path> {
        let (Change::Add(path, _) | Change::Remove(path) | Change::Rename(path, ..)) = self;
        path.parent()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Number>) {
        match self {
            Change::Add(path, number) => {
                names.insert(path.clone(), *number);
            }
            Change::Remove(path) => {
                names.remove(path);
            }
            Change::Rename(from, to, number) => {
                if names.get(from) == Some(number) {
                    names.remove(from);
                }
                names.insert(to.clone(), *number);
            }
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) live: BTreeMap<PathBuf, Number>,
    durable: BTreeMap<PathBuf, Number>,
    /// Changes that are not durable yet, oldest first.
    unsynced: Vec<Change>,
}

impl Names {
    pub(super) fn of(names: BTreeMap<PathBuf, Number>) -> Self {
        Self {
            live: names.clone(),
            durable: names,
            unsynced: Vec::new(),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    pub(super) fn add(&mut self, path: &Path, number: Number) {
        self.change(Change::Add(path.to_owned(), number));
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.change(Change::Remove(path.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        if let Some(&number) = self.live.get(from) {
            self.change(Change::Rename(from.to_owned(), to.to_owned(), number));
        }
    }

    pub(super) fn sync(&mut self, folder: &Path) {
        for change in std::mem::take(&mut self.unsynced) {
            if change.folder() == Some(folder) {
                change.apply(&mut self.durable);
            } else {
                self.unsynced.push(change);
            }
        }
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// After power loss, with the first of the unsynced changes: a journal keeps them in order.
    pub(super) fn with_first(&self, changes: usize) -> BTreeMap<PathBuf, Number> {
        let mut names = self.durable.clone();
        for change in self.unsynced.iter().take(changes) {
            change.apply(&mut names);
        }
        names
    }

    /// After power loss, with any of the unsynced changes: nothing but a journal's habit keeps them in order.
    pub(super) fn with_any(&self, dice: &mut Dice) -> BTreeMap<PathBuf, Number> {
        let mut names = self.durable.clone();
        for change in &self.unsynced {
            if dice.chance(1, 2) {
                change.apply(&mut names);
            }
        }
        names
    }
}
