//! Environment variables that begin as ours do and are none: a misspelt one would change nothing, and nobody would know.

use std::collections::BTreeSet;
use std::ffi::OsString;

/// How ours begin.
const PREFIX: &str = "STREAMKIT_";

/// What `lease` tells the command that it runs: a server may be one.
pub(crate) const FENCING_TOKEN: &str = "STREAMKIT_FENCING_TOKEN";

/// Changes by which a name may differ from one that is meant; of a short name a third of it.
const CHANGES_MAX: usize = 3;

/// What is said of those that are set and that no command knows.
pub(crate) fn unknown_told(command: &clap::Command) -> Vec<String> {
    let known = known(command);
    let unknown = unknown(&known, std::env::vars_os().map(|(name, _)| name)).into_iter();
    let told = unknown.map(|unknown| {
        let shown = crate::terminal::shown::shown(&unknown);
        match meant(&known, &unknown) {
            Some(meant) => format!("{shown} is no variable of this program; did you mean {meant}?"),
            None => format!("{shown} is no variable of this program"),
        }
    });
    told.collect()
}

/// The variables of all commands.
fn known(command: &clap::Command) -> BTreeSet<String> {
    let commands = command.get_subcommands();
    let commands = commands.flat_map(|command| std::iter::once(command).chain(command.get_subcommands()));
    let variables = commands
        .flat_map(clap::Command::get_arguments)
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()));
    variables.chain([FENCING_TOKEN.to_owned()]).collect()
}

fn unknown(known: &BTreeSet<String>, set: impl Iterator<Item = OsString>) -> Vec<String> {
    let names = set.map(|name| name.to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        .collect()
}

/// The known one that differs least.
fn meant<'a>(known: &'a BTreeSet<String>, name: &str) -> Option<&'a str> {
    nearest(known.iter().map(String::as_str), name)
}

/// The one of some names that may be meant by another.
pub(crate) fn nearest<'a>(known: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let near = known.map(|known| (changes(known, name), known));
    let (changes, nearest) = near.min()?;
    (changes <= CHANGES_MAX.min(name.len() / 3)).then_some(nearest)
}

/// How many bytes have to be put in, taken out or changed to make one of the other.
fn changes(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n + 1);
        for (m, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[m + 1];
            row[m + 1] = changed.min(diagonal + 1).min(row[m] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_is_meant() {
        let known = known(&crate::Arguments::command());
        let set = ["STREAMKIT_LOG", "STREAMKIT_DATA", "PATH", "STREAMKIT_OPEN_STORE"].map(OsString::from);
        assert_eq!(unknown(&known, set.into_iter()), ["STREAMKIT_OPEN_STORE"]);
        for (name, nearest) in [
            ("STREAMKIT_OPEN_STORE", Some("STREAMKIT_OPEN_STORES")),
            ("STREAMKIT_LISTNE", Some("STREAMKIT_LISTEN")),
            ("STREAMKIT_JWT_KEYFILE", Some("STREAMKIT_JWT_KEY_FILE")),
            ("STREAMKIT_SERVICE_HOST", None),
        ] {
            assert_eq!(meant(&known, name), nearest, "{name}");
        }
    }

    #[test]
    fn changes_are_counted() {
        for (one, other, count) in [
            ("", "", 0),
            ("abc", "", 3),
            ("abc", "abd", 1),
            ("abc", "bc", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(
                (changes(one, other), changes(other, one)),
                (count, count),
                "{one} {other}"
            );
        }
    }
}
