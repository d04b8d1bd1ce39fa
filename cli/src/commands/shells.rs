//! `completions` and `man`: what shells and manuals are told of the commands, made from their definitions.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::output::{Out, counted, json_lines, path_text};

#[derive(clap::Args)]
pub(crate) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    #[arg(hide_possible_values = true)]
    shell: clap_complete::Shell,
}

impl Completions {
    /// Of commands so defined.
    pub(crate) fn run(self, mut definition: clap::Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition, "streamkit", &mut script);
        let mut out = Out::new();
        out.prepared_line(script.trim_ascii_end())?;
        out.flush()
    }
}

#[derive(clap::Args)]
pub(crate) struct Man {
    /// Folder for the pages, such as ~/.local/share/man/man1; it is made
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Man {
    /// Of commands so defined.
    pub(crate) fn run(self, definition: clap::Command) -> Result<(), Failure> {
        let dir = &self.dir;
        let told = |error: std::io::Error| Failure::from(error).during(dir.display());
        std::fs::create_dir_all(dir).map_err(told)?;
        clap_mangen::generate_to(definition.clone(), dir).map_err(told)?;
        let pages = pages(&definition);
        Out::new().result("the pages are written", |out| match json_lines(self.json) {
            true => out.json(&serde_json::json!({ "dir": path_text(dir), "pages": pages })),
            false => out.text(format_args!("{} in {}", counted(pages, "page"), dir.display())),
        })
    }
}

/// One for each command that is shown.
fn pages(command: &clap::Command) -> u64 {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    1 + shown.map(pages).sum::<u64>()
}
