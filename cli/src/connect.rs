//! Which server and which store a client command talks to.

use std::time::Duration;

use streamkit_client::{Client, StoreClient};
use streamkit_engine::Name;
use uuid::Uuid;

/// Where to connect; `streamkit dev` prints all three as lines to paste.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection", next_line_help = true)]
pub(crate) struct Connect {
    /// Server's address
    #[arg(
        long,
        env = "STREAMKIT_URL",
        hide_env_values = true,
        value_parser = super::address::url,
        default_value = "ws://127.0.0.1:8080"
    )]
    pub(crate) url: String,
    /// Token that opens the store
    #[arg(long, env = "STREAMKIT_TOKEN", hide_env_values = true)]
    pub(crate) token: String,
    /// The store
    #[arg(long, env = "STREAMKIT_STORE", hide_env_values = true, value_name = "UUID", value_parser = store)]
    pub(crate) store: Uuid,
    /// Longest silence in a call
    #[arg(
        long,
        env = "STREAMKIT_TIMEOUT",
        hide_env_values = true,
        value_name = "TIME",
        value_parser = some_time,
        default_value = "30s"
    )]
    pub(crate) timeout: humantime::Duration,
}

impl Connect {
    pub(crate) fn client(&self) -> Client {
        let timeout: Duration = self.timeout.into();
        Client::builder(&self.url).token(&self.token).timeout(timeout).build()
    }

    pub(crate) fn open(&self) -> StoreClient {
        self.client().store(self.store)
    }
}

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
