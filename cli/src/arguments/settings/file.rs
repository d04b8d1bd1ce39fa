//! The text of a settings file: which options it sets, in which line, and all that is wrong with it.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use toml::de::{DeTable, DeValue};

use crate::arguments::variables;

/// What one key sets.
pub(crate) struct Setting {
    /// From 1.
    pub(crate) line: usize,
    /// The long option without its dashes.
    pub(crate) option: String,
    /// The same on a command line.
    pub(crate) arguments: Vec<OsString>,
}

/// Something wrong, or worth a warning.
#[derive(Debug)]
pub(crate) struct Problem {
    /// From 1; `None`: of no line.
    pub(crate) line: Option<usize>,
    /// Of which option; `None`: of none.
    pub(crate) option: Option<String>,
    /// What, and what to do.
    pub(crate) what: String,
    /// A server would start.
    pub(crate) is_warning: bool,
}

/// The options of a command that a file may set.
pub(crate) fn known(serve: &Command) -> impl Iterator<Item = &Arg> {
    serve
        .get_arguments()
        .filter(|argument| argument.get_long().is_some() && !matches!(argument.get_id().as_str(), "help" | "config"))
}

/// Reads all of it: the settings that have a meaning, and a problem for each that has none.
pub(crate) fn read(text: &str, serve: &Command) -> (Vec<Setting>, Vec<Problem>) {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let (table, faults) = DeTable::parse_recoverable(text);
    let fault = |fault: toml::de::Error| Problem {
        line: fault.span().map(|span| line(span.start)),
        option: None,
        what: format!(
            "this is no TOML: {}",
            fault.message().lines().collect::<Vec<_>>().join(", ")
        ),
        is_warning: false,
    };
    let mut problems: Vec<Problem> = faults.into_iter().map(fault).collect();
    if !problems.is_empty() {
        // What such a text sets is anybody's guess.
        return (Vec::new(), problems);
    }
    let mut settings: Vec<Setting> = Vec::new();
    for (key, value) in table.into_inner() {
        let line = line(key.span().start);
        let key = key.into_inner();
        let option = key.replace('_', "-");
        let read = match settings.iter().find(|setting| setting.option == option) {
            Some(other) => Err(format!("{key} is set in line {} already", other.line)),
            None => arguments(&key, &option, value.get_ref(), serve),
        };
        match read {
            Ok(arguments) => settings.push(Setting {
                line,
                option,
                arguments,
            }),
            Err(what) => problems.push(Problem {
                line: Some(line),
                option: Some(option),
                what,
                is_warning: false,
            }),
        }
    }
    (settings, problems)
}

fn arguments(key: &str, option: &str, value: &DeValue<'_>, serve: &Command) -> Result<Vec<OsString>, String> {
    let Some(argument) = known(serve).find(|argument| argument.get_long() == Some(option)) else {
        let names: Vec<&str> = known(serve).filter_map(Arg::get_long).collect();
        return Err(match variables::nearest(names.iter().copied(), option) {
            Some(meant) => format!("unknown key {key}; did you mean {meant}?"),
            None => format!("unknown key {key}; the keys are {}", names.join(", ")),
        });
    };
    let with = |value: String| OsString::from(format!("--{option}={value}"));
    match (value, argument.get_action()) {
        (DeValue::Boolean(set), ArgAction::SetTrue) => {
            Ok(set.then(|| format!("--{option}").into()).into_iter().collect())
        }
        (_, ArgAction::SetTrue) => Err(format!("{key} is true or false")),
        (DeValue::Array(values), ArgAction::Append) => {
            let values = values.iter().map(|value| single(key, value.get_ref()).map(with));
            values.collect()
        }
        (value, _) => single(key, value).map(|value| vec![with(value)]),
    }
}

fn single(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    let number = |text: &str, radix| i128::from_str_radix(text, radix).ok();
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(value) => number(value.as_str(), value.radix())
            .map(|value| value.to_string())
            .ok_or_else(|| format!("{key} is too large a number")),
        other => Err(format!(
            "{key} has a value of type {}, but only texts and whole numbers have a meaning here",
            other.type_str()
        )),
    }
}

/// What a setting's value has wrong by itself.
pub(crate) fn wrong_value(setting: &Setting, serve: &Command) -> Option<String> {
    let alone = |argument: Arg| argument.required(false).env(clap::builder::Resettable::Reset);
    let command = serve.clone().no_binary_name(true).mut_args(alone);
    let error = command.try_get_matches_from(&setting.arguments).err()?;
    let of_it = |context| match error.get(context) {
        Some(ContextValue::String(argument)) => {
            argument.split_whitespace().next() == Some(&format!("--{}", setting.option))
        }
        _ => false,
    };
    if !of_it(ContextKind::InvalidArg) {
        return None;
    }
    Some(wrong(&error))
}

/// A value, and what is wrong with it.
pub(crate) fn wrong(error: &clap::Error) -> String {
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => format!("{value:?}: "),
        _ => String::new(),
    };
    let what = match (std::error::Error::source(error), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        // So clap says that there is none at all.
        (None, Some(ContextValue::Strings(valid))) if valid.is_empty() => "a value is required".to_owned(),
        (None, Some(ContextValue::Strings(valid))) => format!("it must be one of {}", valid.join(", ")),
        (None, _) => error.kind().to_string(),
    };
    format!("{value}{what}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn problems(text: &str) -> Vec<(usize, String)> {
        let command = crate::Arguments::command();
        let serve = command.find_subcommand("serve").unwrap();
        let (settings, mut problems) = read(text, serve);
        problems.extend(settings.iter().filter_map(|setting| {
            let what = wrong_value(setting, serve)?;
            Some(Problem {
                line: Some(setting.line),
                option: None,
                what,
                is_warning: false,
            })
        }));
        let mut found: Vec<_> = problems.into_iter().map(|p| (p.line.unwrap(), p.what)).collect();
        found.sort();
        found
    }

    #[test]
    fn every_problem_is_found_with_its_line() {
        assert_eq!(problems("listen = \"8080\"\n\nopen_stores = 1_000\n"), []);
        let text = "listne = \"8080\"\nopen-stores = 0\n\n# more\nchannels = [1]\ncommit_method = \"rings\"\nopen_stores = 7\n";
        for ((line, part), (found, what)) in [
            (1, "did you mean listen?"),
            (2, "\"0\": it must be at least 1"),
            (5, "channels has a value of type array"),
            (6, "\"rings\": it must be one of auto, threads"),
            (7, "set in line 2 already"),
        ]
        .iter()
        .zip(problems(text))
        {
            assert!(*line == found && what.contains(part), "{found}: {what}");
        }
        assert_eq!(problems(text).len(), 5);
        let broken = problems("listen = \"80\nchannels = \n");
        assert!(
            broken.len() >= 2 && broken.iter().all(|(_, what)| what.contains("no TOML")),
            "{broken:?}"
        );
        assert_eq!((broken[0].0, broken[broken.len() - 1].0), (1, 2));
    }
}
