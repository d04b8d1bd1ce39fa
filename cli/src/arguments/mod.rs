//! How values are written: on the command line, in variables, in the settings file.

pub(crate) mod account;
pub(crate) mod address;
pub(crate) mod given;
pub(crate) mod log;
pub(crate) mod moment;
pub(crate) mod settings;
pub(crate) mod variables;

use streamkit_engine::Name;
use uuid::Uuid;

/// The id of a store.
pub(crate) fn store(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text).map_err(|_| "a store's id is a UUID, such as 6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10".to_owned())
}

/// The name of a space or of a segment.
pub(crate) fn name(text: &str) -> Result<String, String> {
    Name::new(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// The name of a space alone.
pub(crate) fn space(text: &str) -> Result<String, String> {
    match text.contains('/') {
        true => Err("write the SPACE only, without a segment".to_owned()),
        false => name(text),
    }
}

/// `SPACE/SEGMENT` with both parts; the first slash separates them.
pub(crate) fn path(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((space, segment)) if !space.is_empty() && !segment.is_empty() => Ok((name(space)?, name(segment)?)),
        _ => Err("write it as SPACE/SEGMENT".to_owned()),
    }
}

/// `SPACE` or `SPACE/SEGMENT`.
pub(crate) fn space_or_path(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('/') {
        Some(_) => path(text).map(|(space, segment)| (space, Some(segment))),
        None => Ok((name(text)?, None)),
    }
}

/// A key and its value, at the first `=`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The most of anything that a command is told: sums of a few of them do not overflow.
const MOST: usize = usize::MAX >> 14;

/// A count of which there is at least one.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    at_least(1)(text)
}

/// A number that is at least `least`, and no more than anything can be counted.
pub(crate) fn at_least(least: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if number > MOST => Err(format!("it must be at most {MOST}")),
        Ok(number) if number >= least => Ok(number),
        Ok(_) => Err(format!("it must be at least {least}")),
        Err(error) => Err(std::num::ParseIntError::to_string(&error)),
    }
}

/// A time of a second or more: something is asked of others that often.
pub(crate) fn some_seconds(text: &str) -> Result<humantime::Duration, String> {
    let time = some_time(text)?;
    match time.as_secs() {
        0 => Err("it must be at least 1s".to_owned()),
        _ => Ok(time),
    }
}

/// A time that is not nothing.
pub(crate) fn some_time(text: &str) -> Result<humantime::Duration, String> {
    let time: humantime::Duration = text
        .parse()
        .map_err(|error: humantime::DurationError| error.to_string())?;
    match time.is_zero() {
        true => Err("it must be longer than nothing".to_owned()),
        false => Ok(time),
    }
}
