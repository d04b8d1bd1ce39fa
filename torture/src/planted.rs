//! Faults that are planted into a copy of the sources, one at a time, to show that a torture finds them.

use std::fs;
use std::path::Path;

/// What comes of planting, or why it failed.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A fault: one place of the source, and what stands there instead.
pub struct Mutant {
    /// What is wrong.
    pub name: &'static str,
    file: &'static str,
    is: &'static str,
    becomes: &'static str,
}

/// A fault of this name: in a file below the root, what is there once and what it becomes.
pub const fn mutant(name: &'static str, file: &'static str, is: &'static str, becomes: &'static str) -> Mutant {
    Mutant {
        name,
        file,
        is,
        becomes,
    }
}

impl Mutant {
    /// In how many places it could be planted; one is right.
    pub fn places(&self, root: &Path) -> usize {
        fs::read_to_string(root.join(self.file)).map_or(0, |source| source.matches(self.is).count())
    }

    /// Plants it into a copy.
    ///
    /// # Errors
    /// Its place is not there once.
    pub fn plant(&self, copy: &Path) -> Outcome<()> {
        let path = copy.join(self.file);
        let places = self.places(copy);
        if places != 1 {
            return Err(format!("{}: {places} places in {} for: {}", self.name, self.file, self.is).into());
        }
        fs::write(&path, fs::read_to_string(&path)?.replace(self.is, self.becomes))?;
        Ok(())
    }
}

/// Copies what is built, and touches only what differs, so that the rest is not built again.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy_sources(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to)?;
    for name in ["Cargo.toml", "Cargo.lock"] {
        copy(&from.join(name), &to.join(name))?;
    }
    // Every member of the workspace, or its manifest does not load; `fuzz` is none.
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() != "fuzz" && entry.path().join("Cargo.toml").exists() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        // What an earlier copy had, and is not there any more.
        for entry in fs::read_dir(to)? {
            let entry = entry?;
            if !from.join(entry.file_name()).exists() {
                match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path())?,
                    false => fs::remove_file(entry.path())?,
                }
            }
        }
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        let bytes = fs::read(from)?;
        if fs::read(to).ok().as_ref() != Some(&bytes) {
            fs::write(to, bytes)?;
        }
    }
    Ok(())
}
