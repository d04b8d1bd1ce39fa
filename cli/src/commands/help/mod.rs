//! `help`: of commands, and of what is no command: errors, and how to begin.

mod errors;

use std::io::Write as _;

use clap::error::ErrorKind;

use crate::failure::Failure;
use crate::output::Out;

/// How to begin. Each line with a `$` is a command that runs as it stands here, but for `dev`, which serves until it is stopped.
pub(crate) const QUICKSTART: &str = "\
A server for development, which the commands below find by themselves:

  $ streamkit dev

In another terminal: three entries of one segment, each durable when the command
is back. The first line is entry 1, and so on without holes.

  $ printf 'placed\\npaid\\nshipped\\n' | streamkit produce orders/order-1

Read them back, from any sequence on, or the last one alone:

  $ streamkit consume orders/order-1 --from 2
  $ streamkit peek orders/order-1

A producer may say which head it has seen. If another was first, nothing is
stored, the exit code is 3, and the message says what the head is now:

  $ echo returned | streamkit produce orders/order-1 --expect 3

What there is:

  $ streamkit segments orders
  $ streamkit status

Other servers have an address, a store and a token. Keep them under a name with
`streamkit context add`, or name them by STREAMKIT_URL, STREAMKIT_STORE and
STREAMKIT_TOKEN. `streamkit help errors` says what exit codes mean, and what to
do about an error.
";

#[derive(clap::Args)]
pub(crate) struct Help {
    /// A command, or `errors [TEXT]`, or `quickstart`
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

impl Help {
    /// Of commands so defined.
    pub(crate) fn run(self, definition: clap::Command) -> Result<(), Failure> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match &words[..] {
            ["errors", text @ ..] => errors::told(&text.join(" ")),
            ["quickstart"] => page(QUICKSTART),
            words => of_command(words, definition),
        }
    }
}

/// What `COMMAND --help` says.
fn of_command(words: &[&str], definition: clap::Command) -> Result<(), Failure> {
    let called = ["streamkit"].iter().chain(words).chain(&["--help"]);
    match definition.try_get_matches_from(called) {
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp) => {
            let printed = help.print().and_then(|()| std::io::stdout().flush());
            match printed {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
                _ => Ok(()),
            }
        }
        _ => Err(
            Failure::arguments(format!("there is no command or topic {:?}", words.join(" ")))
                .hint("`streamkit help` lists the commands; topics are `errors` and `quickstart`"),
        ),
    }
}

fn page(text: &str) -> Result<(), Failure> {
    let mut out = Out::new();
    for line in text.lines() {
        out.text(line)?;
    }
    out.flush()
}
