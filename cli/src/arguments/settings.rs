//! Settings of `serve` from a file: TOML whose keys are the long options, `-` or `_` between words. An option on the
//! command line wins over its environment variable, and that over the file.

pub(crate) mod file;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::files;

/// Where values come from that are not on the command line.
pub(crate) struct Origins {
    /// The user's own arguments.
    arguments: Vec<OsString>,
    /// The settings file, and the options that it set.
    file: Option<(PathBuf, Vec<OsString>)>,
}

impl Origins {
    /// Says where the value of an option comes from, unless it stands on the command line. `argument` is the option as
    /// errors name it: `--listen <ADDRESS>`.
    pub(crate) fn of(&self, argument: &str, command: &clap::Command) -> Option<String> {
        let option = argument.split_whitespace().next()?;
        if is_given(option, &self.arguments) {
            return None;
        }
        let subcommand = command.find_subcommand(self.arguments.get(1)?)?;
        let known = subcommand.get_arguments().find(|known| {
            known
                .get_long()
                .is_some_and(|long| option.strip_prefix("--") == Some(long))
        })?;
        if let Some(variable) = known.get_env().filter(|variable| std::env::var_os(variable).is_some()) {
            return Some(format!(
                "the value comes from the variable {}",
                variable.to_string_lossy()
            ));
        }
        let (file, options) = self.file.as_ref()?;
        is_given(option, options).then(|| format!("the value comes from the file {}", file.display()))
    }
}

/// The arguments of the program, with those of the file that `serve --config FILE` names put before the user's own.
pub(crate) fn with_file(
    arguments: Vec<OsString>,
    command: &clap::Command,
) -> Result<(Vec<OsString>, Origins), Failure> {
    let mut origins = Origins {
        arguments: arguments.clone(),
        file: None,
    };
    if arguments.get(1).is_none_or(|subcommand| subcommand != "serve") {
        return Ok((arguments, origins));
    }
    let Some(path) = named_file(&arguments) else {
        return Ok((arguments, origins));
    };
    let during = |error: Failure| error.during(format!("cannot use the settings in {}", path.display()));
    let text = text(&path).map_err(during)?;
    let serve = command.find_subcommand("serve").expect("there is such a command");
    let set = |variable: &str| std::env::var_os(variable).is_some();
    let from_file = options(&text, serve, set, &arguments).map_err(|why| during(Failure::arguments(why)))?;
    let mut all = arguments;
    all.splice(2..2, from_file.clone());
    origins.file = Some((path, from_file));
    Ok((all, origins))
}

/// The text of a settings file.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let text = files::read_small(path, 1 << 20).and_then(|text| String::from_utf8(text).map_err(std::io::Error::other));
    text.map_err(|error| Failure::arguments(error.to_string()))
}

/// The text of one key of a file, if it stands there.
pub(crate) fn text_of(path: &Path, key: &str) -> Result<Option<String>, Failure> {
    let during = |failure: Failure| failure.during(format!("cannot use the settings in {}", path.display()));
    let wrong = |why: String| during(Failure::arguments(why));
    let table: Result<toml::Table, _> = text(path).map_err(during)?.parse();
    match table.map_err(|error| wrong(error.message().to_owned()))?.get(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(format!("{key} is no text"))),
    }
}

/// The file that arguments, or the variable, name.
fn named_file(arguments: &[OsString]) -> Option<PathBuf> {
    let mut rest = arguments.iter().skip(2);
    while let Some(argument) = rest.next() {
        if argument == "--config" {
            return rest.next().map(PathBuf::from);
        }
        // A path may be no text.
        if let Some(path) = argument.as_encoded_bytes().strip_prefix(b"--config=") {
            return Some(after_ascii(argument, argument.len() - path.len()));
        }
    }
    std::env::var_os("STREAMKIT_CONFIG").map(PathBuf::from)
}

/// What follows in a text of the system's behind so many bytes of ASCII.
#[cfg(unix)]
fn after_ascii(text: &OsString, bytes: usize) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(&text.as_bytes()[bytes..]))
}

#[cfg(not(unix))]
fn after_ascii(text: &OsString, bytes: usize) -> PathBuf {
    PathBuf::from(&text.to_string_lossy()[bytes..])
}

/// The file's settings as options, but those whose environment variable is set, and those of many values of which the user's own
/// arguments have some.
fn options(
    text: &str,
    serve: &clap::Command,
    set: impl Fn(&str) -> bool,
    given: &[OsString],
) -> Result<Vec<OsString>, String> {
    let (settings, problems) = file::read(text, serve);
    if let Some(first) = problems.into_iter().min_by_key(|problem| problem.line) {
        let line = first.line.map_or_else(String::new, |line| format!("line {line}: "));
        return Err(format!("{line}{}", first.what));
    }
    let counts = |setting: &file::Setting| {
        let argument = file::known(serve).find(|argument| argument.get_long() == Some(&setting.option));
        argument.is_some_and(|argument| {
            let variable = argument.get_env().and_then(|name| name.to_str());
            let adds_up = matches!(argument.get_action(), clap::ArgAction::Append);
            let is_overridden =
                variable.is_some_and(&set) || adds_up && is_given(&format!("--{}", setting.option), given);
            !is_overridden
        })
    };
    let settings = settings.into_iter().filter(counts);
    Ok(settings.flat_map(|setting| setting.arguments).collect())
}

/// Whether arguments set an option.
fn is_given(option: &str, arguments: &[OsString]) -> bool {
    arguments.iter().any(|given| {
        let given = given.to_string_lossy();
        given == option || given.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn read(text: &str, set: &str) -> Result<Vec<String>, String> {
        read_beside(text, set, &[])
    }

    fn read_beside(text: &str, set: &str, given: &[OsString]) -> Result<Vec<String>, String> {
        let command = crate::Arguments::command();
        let serve = command.find_subcommand("serve").unwrap();
        let options = options(text, serve, |name| name == set, given)?;
        Ok(options.into_iter().map(|o| o.into_string().unwrap()).collect())
    }

    #[test]
    fn keys_become_options_unless_the_environment_says_otherwise() {
        let text = "listen = \"0.0.0.0:80\"\nopen_stores = 5\nhandshake = \"3s\"\n";
        let all = read(text, "").unwrap();
        assert_eq!(all.len(), 3);
        assert!(all.contains(&"--open-stores=5".to_owned()), "{all:?}");
        assert_eq!(read(text, "STREAMKIT_LISTEN").unwrap().len(), 2);
    }

    #[test]
    fn unknown_keys_and_other_values_are_refused_by_name() {
        assert!(
            read("listne = \"x\"", "")
                .unwrap_err()
                .contains("line 1: unknown key listne; did you mean listen?")
        );
        assert!(
            read("config = \"x\"", "")
                .unwrap_err()
                .contains("unknown key config; the keys are")
        );
        assert!(
            read("channels = [1]", "")
                .unwrap_err()
                .contains("channels has a value of type array")
        );
        assert!(read("channels = ", "").unwrap_err().contains("line 1"));
    }
}
