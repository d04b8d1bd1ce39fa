//! What stands on the command line itself: where a context is named there, a variable does not take its place.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use clap::ArgMatches;
use clap::parser::ValueSource;

static GIVEN: OnceLock<BTreeSet<String>> = OnceLock::new();

/// Remembers the options of the one call of this process.
pub(crate) fn remember(matches: &ArgMatches) {
    let mut given = BTreeSet::new();
    let mut next = Some(matches);
    while let Some(matches) = next {
        let ids = matches.ids().map(clap::Id::as_str);
        let here = ids.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine));
        given.extend(here.map(str::to_owned));
        next = matches.subcommand().map(|(_, matches)| matches);
    }
    let _ = GIVEN.set(given);
}

/// Whether an option stands on the command line, by its id: that is its name with `_` for `-`.
pub(crate) fn on_command_line(id: &str) -> bool {
    GIVEN.get().is_some_and(|given| given.contains(id))
}
