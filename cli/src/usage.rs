//! What is said of arguments that are wrong or missing, and the help that was asked for.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::arguments::{address, settings};
use crate::called::called;
use crate::failure::Exit;
use crate::terminal::log;
use crate::terminal::shown::shown_usage;

/// Says what is wrong with the arguments, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let said = error.render().ansi().to_string();
    match std::io::stderr().is_terminal().then(|| shown_usage(&said)).flatten() {
        // What arguments, variables and files hold may steer the terminal.
        Some(said) => log::say(&said),
        // Nobody may read it; the exit code tells.
        None => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Arguments as u8))
}

/// Says where to get what is missing, and where a bad value comes from.
pub(crate) fn with_next_step(
    mut error: clap::Error,
    command: &clap::Command,
    origins: &settings::Origins,
) -> clap::Error {
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg] {
        hide_user(&mut error, kind);
    }
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(origin) = origins.of(argument, command)
    {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![origin.into()]));
        return error;
    }
    let is_key_missing = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => {
            missing.iter().any(|argument| argument.contains("--jwt-key-file"))
        }
        _ => false,
    };
    if is_key_missing {
        let next = format!(
            "make a key with `(umask 077; openssl rand -hex 32 >key)` and name that file here or in STREAMKIT_JWT_KEY_FILE; for \
             development, `{} dev` does without",
            called()
        );
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![next.into()]));
    }
    error
}

/// An address that is refused, or stands where none belongs, is told without the password in it.
fn hide_user(error: &mut clap::Error, kind: ContextKind) {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.clone(),
        _ => String::new(),
    };
    if let Some(ContextValue::String(told)) = error.get(kind)
        && (told.contains("://") || argument.contains("<URL>"))
    {
        let hidden = address::without_user(told);
        error.insert(kind, ContextValue::String(hidden));
    }
}
