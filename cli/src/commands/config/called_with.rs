//! What `serve` is called with when it reads a settings file here.

use std::ffi::OsString;
use std::path::Path;

use clap::Args as _;

use super::super::serve::Serve;
use crate::arguments::settings::file::Setting;
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
    let argument = serve
        .get_arguments()
        .find(|argument| argument.get_long() == Some(&setting.option))?;
    let variable = argument
        .get_env()
        .filter(|variable| std::env::var_os(variable).is_some())?;
    Some(variable.to_string_lossy().into_owned())
}

/// The text of a file, and whose it is if it cannot be had.
pub(super) fn text(file: &Path) -> Result<String, Failure> {
    crate::arguments::settings::text(file).map_err(|failure| failure.during(file.display()))
}
