//! `config show`: each option of `serve`, its value, and where that comes from.

use std::path::PathBuf;

use clap::parser::ValueSource;

use super::super::serve::ANY_KEY;
use super::called_with::{arguments, serve, text, told};
use crate::arguments::account::opens_an_account;
use crate::arguments::settings::file::{known, read};
use crate::failure::Failure;
use crate::output::{Out, json_lines};

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Show {
    /// Settings file, beside variables
    #[arg(env = "STREAMKIT_CONFIG", hide_env_values = true)]
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<(), Failure> {
        let serve = serve();
        let mut settings = Vec::new();
        if let Some(file) = &self.file {
            let (read, problems) = read(&text(file)?, &serve);
            if !problems.is_empty() {
                let what = format!("{} is not in order", file.display());
                return Err(Failure::arguments(what).hint("`config check` tells what is wrong"));
            }
            settings = read;
        }
        // What is missing is shown as such.
        let lenient = serve.clone().mut_args(|argument| argument.required(false));
        let lenient = lenient.mut_group(ANY_KEY, |group| group.required(false));
        let matches = lenient.try_get_matches_from(arguments(&settings, &serve));
        let matches = matches.map_err(|error| Failure::arguments(told(&error, &serve).1))?;
        let mut out = Out::new();
        let mut rows = Vec::new();
        for argument in known(&serve) {
            let id = argument.get_id().as_str();
            let option = argument.get_long().unwrap_or_default();
            let variable = argument.get_env().map(|name| name.to_string_lossy());
            let values = matches.get_raw(id).into_iter().flatten();
            let values: Vec<_> = values.map(|value| shown(option, &value.to_string_lossy())).collect();
            let source = match matches.value_source(id) {
                Some(ValueSource::DefaultValue) => "default",
                Some(ValueSource::EnvVariable) => "variable",
                Some(_) => "file",
                None => "none",
            };
            let meaning = argument.get_help().map(ToString::to_string);
            if json_lines(self.json) {
                out.json(&serde_json::json!({
                    "option": option,
                    "variable": variable,
                    "values": values,
                    "source": source,
                    "meaning": meaning,
                }))?;
            } else {
                rows.push(vec![option.to_owned(), values.join(", "), source.to_owned()]);
            }
        }
        if !rows.is_empty() {
            out.table(&["option", "value", "from"], &rows)?;
        }
        out.flush()
    }
}

/// A value as it may be shown.
fn shown(option: &str, value: &str) -> String {
    match opens_an_account(option, value) {
        true => "(a secret)".to_owned(),
        false => value.to_owned(),
    }
}
