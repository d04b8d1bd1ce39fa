//! Settings of `serve` from a file: TOML whose keys are the long options, `-` or `_` between words. An option on the
//! command line wins over its environment variable, and that over the file.

use std::ffi::OsString;
use std::path::PathBuf;

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
        let sets = |given: &OsString| {
            let given = given.to_string_lossy();
            given == option || given.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
        };
        if self.arguments.iter().any(sets) {
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
        let in_file = options.iter().any(sets);
        in_file.then(|| format!("the value comes from the file {}", file.display()))
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
    let text =
        files::read_small(&path, 1 << 20).and_then(|text| String::from_utf8(text).map_err(std::io::Error::other));
    let text = text.map_err(|error| during(Failure::arguments(error.to_string())))?;
    let serve = command.find_subcommand("serve").expect("there is such a command");
    let set = |variable: &str| std::env::var_os(variable).is_some();
    let from_file = options(&text, serve, set).map_err(|why| during(Failure::arguments(why)))?;
    let mut all = arguments;
    all.splice(2..2, from_file.clone());
    origins.file = Some((path, from_file));
    Ok((all, origins))
}

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

/// The file's settings as options, but those whose environment variable is set.
fn options(text: &str, serve: &clap::Command, set: impl Fn(&str) -> bool) -> Result<Vec<OsString>, String> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" "))?;
    let known = || {
        serve
            .get_arguments()
            .filter(|a| !matches!(a.get_id().as_str(), "help" | "config"))
    };
    let mut options = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let Some(argument) = known().find(|a| a.get_long() == Some(&name)) else {
            let names: Vec<&str> = known().filter_map(clap::Arg::get_long).collect();
            return Err(format!("unknown key {key}; the keys are {}", names.join(", ")));
        };
        if argument.get_env().and_then(|name| name.to_str()).is_some_and(&set) {
            continue;
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                return Err(format!(
                    "{key} has a value of type {}, but only texts and whole numbers have a meaning here",
                    other.type_str()
                ));
            }
        };
        options.push(format!("--{name}={value}").into());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn read(text: &str, set: &str) -> Result<Vec<String>, String> {
        let command = crate::Arguments::command();
        let serve = command.find_subcommand("serve").unwrap();
        let options = options(text, serve, |name| name == set)?;
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
                .contains("unknown key listne; the keys are")
        );
        assert!(read("config = \"x\"", "").unwrap_err().contains("unknown key config"));
        assert!(
            read("channels = [1]", "")
                .unwrap_err()
                .contains("channels has a value of type array")
        );
        assert!(read("channels = ", "").unwrap_err().contains("line 1"));
    }
}
