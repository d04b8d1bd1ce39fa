//! How the log is written and what it has. Servers have options for it; every command has the variables.

use crate::terminal::filter;
use crate::terminal::lines::LogFormat;

const FILTER_VARIABLE: &str = "STREAMKIT_LOG";
const FORMAT_VARIABLE: &str = "STREAMKIT_LOG_FORMAT";

/// Options of servers.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LogOptions {
    /// Filter of the log
    #[arg(long, env = FILTER_VARIABLE, hide_env = true, value_name = "FILTER", value_parser = filter::checked, default_value = filter::DEFAULT)]
    pub(crate) log: String,
    /// text, or json: an object a line
    #[arg(
        long,
        env = FORMAT_VARIABLE,
        hide_env = true,
        value_enum,
        hide_possible_values = true,
        value_name = "FORMAT",
        default_value_t
    )]
    pub(crate) log_format: LogFormat,
}

impl LogOptions {
    /// What the variables say. A value that means nothing is none: the command is about something else.
    pub(crate) fn of_variables() -> Self {
        Self::of_variables_or(filter::DEFAULT)
    }

    /// The same; where they do not say what is logged, it is `unsaid`.
    pub(crate) fn of_variables_or(unsaid: &str) -> Self {
        let log = std::env::var(FILTER_VARIABLE).ok();
        let format = std::env::var(FORMAT_VARIABLE).unwrap_or_default();
        Self {
            log: log
                .filter(|log| filter::parse(log).is_ok())
                .unwrap_or_else(|| unsaid.to_owned()),
            log_format: clap::ValueEnum::from_str(&format, true).unwrap_or_default(),
        }
    }
}
