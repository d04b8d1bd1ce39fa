//! `lease`: a command that runs while a lease is held, and no longer.

mod group;

use std::io::IsTerminal as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use group::Group;
use streamkit_client::{HeldLease, LeaseError, LeaseLost, NewLease};

use crate::arguments::variables::FENCING_TOKEN;
use crate::arguments::{name, some_time};
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::note;
use crate::signals::forwarded::Forwarded;

/// Of a lease's time, the part that is left once the client counts it as lost: nobody else is granted it before.
const LEFT_WHEN_LOST: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Lease {
    /// What may be done by one alone
    #[arg(value_parser = name)]
    key: String,
    /// How long the lease lasts without renewal, up to a day
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "30s")]
    ttl: humantime::Duration,
    /// How long to wait for it while another holds it [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    wait: Option<humantime::Duration>,
    /// Longest end of CMD once it is lost [default: a tenth of --ttl]
    #[arg(long, value_name = "TIME")]
    grace: Option<humantime::Duration>,
    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<std::ffi::OsString>,
    #[command(flatten)]
    connect: Connect,
}

impl Lease {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut signals = Forwarded::new()?;
        let (client, store) = self.connect.server().await?.open_client();
        let wanted = NewLease::new(&self.key)
            .ttl(self.ttl.into())
            .wait(self.wait.map_or(Duration::ZERO, Into::into));
        let held = tokio::select! {
            biased;
            _ = signals.next() => Err(Failure::interrupted()),
            held = store.hold_lease(wanted) => held.map_err(|error| failure(error, self.wait.is_some())),
        };
        let done = match held {
            Ok(held) => {
                let done = self.work(&held, &mut signals).await;
                // It runs out by itself if the server cannot be told, which the log says.
                let _ = held.release().await;
                done
            }
            Err(failure) => Err(failure),
        };
        // What may have been granted to nobody is given back.
        client.close().await;
        done
    }

    /// Runs the command until it ends, or the lease is lost.
    async fn work(&self, held: &HeldLease, signals: &mut Forwarded) -> Result<(), Failure> {
        let mut group = self.spawn(held)?;
        let why = loop {
            tokio::select! {
                biased;
                ended = group.ended() => return passed_on(ended?),
                why = held.lost() => break why,
                signal = signals.next() => group.signal(signal),
            }
        };
        note(format_args!(
            "streamkit: the lease {} is lost, its command is ended",
            self.key
        ));
        let grace = self
            .grace
            .unwrap_or_else(|| (Duration::from(self.ttl) / LEFT_WHEN_LOST).into());
        let had_to_be_killed = group.end_within(grace.into(), signals).await?;
        Err(lost(&self.key, &why, had_to_be_killed))
    }

    fn spawn(&self, held: &HeldLease) -> Result<Group, Failure> {
        let [program, arguments @ ..] = &self.command[..] else {
            return Err(Failure::arguments("there is no command"));
        };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments);
        match held.token() {
            Some(token) => command.env(FENCING_TOKEN, token.0.to_string()),
            // One that is inherited is of another lease.
            None => command.env_remove(FENCING_TOKEN),
        };
        // A group of its own is not in the foreground: whoever reads the terminal there is stopped.
        if std::io::stdin().is_terminal() {
            command.stdin(Stdio::null());
        }
        Group::spawn(command).map_err(|error| {
            let program = program.to_string_lossy();
            Failure::arguments(format!("{program} cannot be run: {error}"))
        })
    }
}

/// The command's own end is that of this one.
fn passed_on(ended: ExitStatus) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt as _;
    /// As shells tell that a signal ended a command: by this and the signal's number.
    const BY_SIGNAL: i32 = 128;
    let code = ended.code().or_else(|| Some(BY_SIGNAL + ended.signal()?));
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::passed_on(code)),
        None => Err(Failure::new(format!(
            "the command ended in a way without a code: {ended}"
        ))),
    }
}

fn failure(error: LeaseError, waited: bool) -> Failure {
    match error {
        LeaseError::NotAsked(error) => Failure::from(error),
        LeaseError::Lost { key, why } => lost(&key, &why, false),
        error if waited => Failure::held(error.to_string()).hint("wait for longer"),
        error => Failure::held(error.to_string()).hint("wait for it with --wait TIME"),
    }
}

fn lost(key: &str, why: &LeaseLost, had_to_be_killed: bool) -> Failure {
    let ended = match had_to_be_killed {
        true => "its command was killed",
        false => "its command was ended",
    };
    let next = "look what it has done before you run it again";
    Failure::lost(format!("the lease {key} was lost: {why}; {ended}")).hint(next)
}
