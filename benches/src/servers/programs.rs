//! Where the programs of servers are, and which versions they have.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::kinds::Kind;

/// The folders that are searched for programs.
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// First those in `bin` of the folder they were installed to, then those beside this program, then those of the
    /// system.
    pub fn of(installed: &Path) -> Self {
        let beside = std::env::current_exe().ok();
        let beside = beside.as_deref().and_then(Path::parent).map(Path::to_owned);
        let system = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(installed.join("bin"))
            .chain(beside)
            .chain(std::env::split_paths(&system));
        Self {
            folders: folders.collect(),
        }
    }

    /// A server's program.
    pub fn find(&self, kind: &Kind) -> Option<PathBuf> {
        let mut places = self.folders.iter().map(|folder| folder.join(kind.program));
        places.find(|place| place.is_file())
    }

    /// The version of a server's program: what it says itself, or what cargo noted when it was installed.
    pub fn version(&self, kind: &Kind) -> Option<String> {
        let program = self.find(kind)?;
        let Some(option) = kind.version else {
            let notes = std::fs::read_to_string(program.parent()?.with_file_name(".crates.toml")).ok()?;
            return noted(&notes, kind.program);
        };
        let output = Command::new(program).arg(option).output().ok()?;
        number(&String::from_utf8_lossy(&output.stdout))
    }
}

/// The version in what a program says about itself: the first word with a digit and a dot, without what stands before
/// its number.
fn number(said: &str) -> Option<String> {
    let is_number = |word: &&str| word.contains('.') && word.contains(|c: char| c.is_ascii_digit());
    let word = said.split_whitespace().find(is_number)?;
    let number = word.trim_start_matches(|c: char| !c.is_ascii_digit());
    Some(number.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned())
}

/// The version of a program in cargo's notes, whose lines are `"package version (source)" = ["program"]`.
fn noted(notes: &str, program: &str) -> Option<String> {
    let quoted = format!("\"{program}\"");
    let line = notes.lines().find(|line| {
        line.split_once('=')
            .is_some_and(|(_, programs)| programs.contains(&quoted))
    })?;
    line.split(' ').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let said = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(number(said).as_deref(), Some("7.0.15"));
        assert_eq!(number("nats-server: v2.15.2\n").as_deref(), Some("2.15.2"));
        assert_eq!(number("umadb 0.7.8").as_deref(), Some("0.7.8"));
        assert_eq!(number("usage: …"), None);
    }

    #[test]
    fn versions_are_found_in_the_notes_of_cargo() {
        let notes = "[v1]\n\"durable-streams 0.1.5 (registry+https://…)\" = [\"durable-streams-server\"]\n";
        assert_eq!(noted(notes, "durable-streams-server").as_deref(), Some("0.1.5"));
        assert_eq!(noted(notes, "durable-streams"), None);
    }
}
