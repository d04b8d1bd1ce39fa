//! The names in folders, as readers see them and as power loss would leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::runtime::dice::Dice;

/// A file, whatever it is called.
pub(super) type Number = u64;

/// What stands for a folder.
pub(super) const FOLDER: Number = 0;

#[derive(Clone)]
enum Change {
    Add(PathBuf, Number),
    Remove(PathBuf),
    /// Of the file with this number.
    Rename(PathBuf, PathBuf, Number),
}

impl Change {
    /// The folders that it changes. It is durable once all of them are synced.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let paths = match self {
            Change::Add(path, _) | Change::Remove(path) => vec![path],
            Change::Rename(from, to, _) => vec![from, to],
        };
        paths
            .into_iter()
            .filter_map(|path| path.parent())
            .map(Path::to_owned)
            .collect()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Number>) {
        match self {
            Change::Add(path, number) => {
                names.insert(path.clone(), *number);
            }
            Change::Remove(path) => {
                names.remove(path);
            }
            Change::Rename(from, to, FOLDER) => {
                let inside = |path: &&PathBuf| path.starts_with(from);
                let moved: Vec<PathBuf> = names.keys().filter(inside).cloned().collect();
                for path in moved {
                    let (Some(number), Ok(rest)) = (names.remove(&path), path.strip_prefix(from)) else {
                        continue;
                    };
                    // Joined with nothing, it would end with a slash.
                    let is_itself = rest.as_os_str().is_empty();
                    names.insert(if is_itself { to.clone() } else { to.join(rest) }, number);
                }
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
pub(super) struct DiskNames {
    pub(super) live: BTreeMap<PathBuf, Number>,
    durable: BTreeMap<PathBuf, Number>,
    /// Changes that are not durable yet, oldest first, and the folders that are still to be synced.
    unsynced: Vec<(Change, BTreeSet<PathBuf>)>,
}

impl DiskNames {
    pub(super) fn of(names: BTreeMap<PathBuf, Number>) -> Self {
        Self {
            live: names.clone(),
            durable: names,
            unsynced: Vec::new(),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        let folders = change.folders();
        self.unsynced.push((change, folders));
    }

    pub(super) fn add(&mut self, path: &Path, number: Number) {
        self.change(Change::Add(path.to_owned(), number));
    }

    /// Makes a folder and those above it, durably.
    pub(super) fn add_folder(&mut self, path: &Path) {
        for folder in path.ancestors() {
            self.live.entry(folder.to_owned()).or_insert(FOLDER);
            self.durable.entry(folder.to_owned()).or_insert(FOLDER);
        }
    }

    /// Whether nothing stands in a folder.
    pub(super) fn is_empty(&self, folder: &Path) -> bool {
        !self.live.keys().any(|path| path.starts_with(folder) && path != folder)
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
        for (change, mut folders) in std::mem::take(&mut self.unsynced) {
            folders.remove(folder);
            if folders.is_empty() {
                change.apply(&mut self.durable);
            } else {
                self.unsynced.push((change, folders));
            }
        }
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// After power loss, with the first of the unsynced changes: a journal keeps them in order.
    pub(super) fn with_first(&self, changes: usize) -> BTreeMap<PathBuf, Number> {
        let mut names = self.durable.clone();
        for (change, _) in self.unsynced.iter().take(changes) {
            change.apply(&mut names);
        }
        names
    }

    /// After power loss, with any of the unsynced changes: nothing but a journal's habit keeps them in order.
    pub(super) fn with_any(&self, dice: &mut Dice) -> BTreeMap<PathBuf, Number> {
        let mut names = self.durable.clone();
        for (change, _) in &self.unsynced {
            if dice.chance(1, 2) {
                change.apply(&mut names);
            }
        }
        names
    }
}
