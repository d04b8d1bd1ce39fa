//! `config`: what the settings of `serve` are, and whether they are right.

mod called_with;
mod check;
mod show;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say all that is wrong with a settings file, and with what it points at
    Check(check::Check),
    /// Show each option of serve, its value, and where that comes from
    Show(show::Show),
}

impl Config {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Check(check) => check.run(),
            What::Show(show) => show.run(),
        }
    }
}
