//! What `serve` is called with when it reads a settings file here.

use std::ffi::OsString;
use std::path::Path;

use clap::Args as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::super::serve::Serve;
use crate::arguments::settings::file::{Setting, wrong};
use crate::failure::Failure;

/// `serve` as clap knows it.
pub(super) fn serve() -> clap::Command {
    Serve::augment_args(clap::Command::new("serve").no_binary_name(true))
}

/// What `serve` would be called with because of a file: all of it but what variables override.
pub(super) fn arguments<'a>(settings: impl IntoIterator<Item = &'a Setting>, serve: &clap::Command) -> Vec<OsString> {
    let counts = |setting: &&Setting| variable_over(setting, serve).is_none();
    let settings = settings.into_iter().filter(counts);
    settings.flat_map(|setting| setting.arguments.clone()).collect()
}

/// The variable that is set and wins over a setting.
pub(super) fn variable_over(setting: &Setting, serve: &clap::Command) -> Option<String> {
    variable_of(&setting.option, serve)
}

/// The variable of an option, if it is set.
fn variable_of(option: &str, serve: &clap::Command) -> Option<String> {
    let argument = serve
        .get_arguments()
        .find(|argument| argument.get_long() == Some(option))?;
    let variable = argument
        .get_env()
        .filter(|variable| std::env::var_os(variable).is_some())?;
    Some(variable.to_string_lossy().into_owned())
}

/// What `serve` says against what it would be called with, and the option that this is of, if it is of a variable.
pub(super) fn told(error: &clap::Error, serve: &clap::Command) -> (Option<String>, String) {
    let option = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.split_whitespace().next(),
        _ => None,
    };
    let option = option.and_then(|option| option.strip_prefix("--"));
    match option.and_then(|option| Some((option, variable_of(option, serve)?))) {
        Some((option, variable)) => (
            Some(option.to_owned()),
            format!("the variable {variable} is {}", wrong(error)),
        ),
        None => (None, together(error)),
    }
}

/// What options that are right by themselves have wrong together.
fn together(error: &clap::Error) -> String {
    let said = error.render().to_string();
    let lines = said
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let said = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            format!("{said}; write that into the file, or set its variable or option where the server is started")
        }
        _ => said.to_owned(),
    }
}

/// The text of a file, and whose it is if it cannot be had.
pub(super) fn text(file: &Path) -> Result<String, Failure> {
    crate::arguments::settings::text(file).map_err(|failure| failure.during(file.display()))
}
