//! `config check`: every problem of a settings file, with its line. It starts nothing and takes nothing.

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::super::serve::Serve;
use super::called_with::{arguments, serve, text, told, variable_over};
use crate::arguments::settings::file::{Problem, Setting, read, wrong_value};
use crate::arguments::variables;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines, path_text};

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Check {
    /// The TOML file that serve --config is to read
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let text = text(&self.file)?;
        let (settings, mut problems) = read(&text, &serve());
        problems.extend(unknown_variables());
        // Of a text that is no TOML nothing is known.
        if problems
            .iter()
            .all(|problem| problem.option.is_some() || problem.is_warning)
        {
            examine(&settings, &mut problems);
        }
        for problem in &mut problems {
            let of_it = |setting: &&Setting| Some(&setting.option) == problem.option.as_ref();
            problem.line = problem.line.or_else(|| Some(settings.iter().find(of_it)?.line));
        }
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        let wrong = problems.iter().filter(|problem| !problem.is_warning).count() as u64;
        self.print(&settings, &problems, wrong)?;
        match wrong {
            0 => Ok(()),
            _ => Err(Failure::arguments(format!(
                "{} has {}; a server would not start with it",
                self.file.display(),
                counted(wrong, "problem")
            ))),
        }
    }

    fn print(&self, settings: &[Setting], problems: &[Problem], wrong: u64) -> Result<(), Failure> {
        let mut out = Out::new();
        if json_lines(self.json) {
            let listed = problems.iter().map(|problem| {
                serde_json::json!({
                    "severity": if problem.is_warning { "warning" } else { "error" },
                    "line": problem.line,
                    "option": problem.option,
                    "what": problem.what,
                })
            });
            out.json(&serde_json::json!({
                "file": path_text(&self.file),
                "settings": settings.len(),
                "problems": listed.collect::<Vec<_>>(),
            }))?;
            return out.flush();
        }
        for problem in problems {
            let line = problem.line.map_or_else(String::new, |line| format!("line {line}: "));
            let of = problem
                .option
                .as_ref()
                .map_or_else(String::new, |option| format!("{option}: "));
            let kind = if problem.is_warning { "WARNING: " } else { "" };
            out.text(format_args!("{kind}{line}{of}{}", problem.what))?;
        }
        if wrong == 0 {
            let settings = counted(settings.len() as u64, "setting");
            out.text(format_args!("{} is in order: {settings}", self.file.display()))?;
        }
        out.flush()
    }
}

/// Finds what the settings have wrong each by itself, then together, then in what they point at.
fn examine(settings: &[Setting], problems: &mut Vec<Problem>) {
    let serve = serve();
    let mut say = |option: Option<&str>, is_warning, what| {
        problems.push(Problem {
            line: None,
            option: option.map(str::to_owned),
            what,
            is_warning,
        });
    };
    let mut right = Vec::new();
    for setting in settings {
        if let Some(what) = wrong_value(setting, &serve) {
            say(Some(&setting.option), false, what);
            continue;
        }
        right.push(setting);
        if let Some(variable) = variable_over(setting, &serve) {
            say(
                Some(&setting.option),
                true,
                format!("the variable {variable} is set here, and wins over the file"),
            );
        }
    }
    let parsed = serve
        .clone()
        .try_get_matches_from(arguments(right, &serve))
        .and_then(|matches| Serve::from_arg_matches(&matches));
    match parsed {
        Ok(serve) => {
            for found in serve.look() {
                say(Some(found.option), found.is_warning, found.what);
            }
        }
        Err(error) => {
            let (option, what) = told(&error, &serve);
            let follows = |problem: &Problem| {
                let option = problem.option.as_ref();
                let is_named = option.is_some_and(|option| what.contains(&format!("--{option} ")));
                is_named && !problem.is_warning
            };
            // What is wrong by itself is not missing, too.
            if !problems.iter().any(follows) {
                problems.push(Problem {
                    line: None,
                    option,
                    what,
                    is_warning: false,
                });
            }
        }
    }
}

/// Variables that change nothing.
fn unknown_variables() -> impl Iterator<Item = Problem> {
    let told = variables::unknown_told(&crate::Arguments::command());
    told.into_iter().map(|what| Problem {
        line: None,
        option: None,
        what,
        is_warning: true,
    })
}
