//! How a command fails: what happened and why on standard error, and an exit code a script can act on.

use std::process::ExitCode;

use streamkit_client::{Error, TlsError};

use crate::called::called;

/// The exit codes, each with what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Also where the reader of our output went away and nothing else is wrong: that is its right.
    Done = 0,
    Failed = 1,
    Arguments = 2,
    Conflict = 3,
    Token = 4,
    NoAnswer = 5,
    Damage = 6,
    Held = 120,
    Lost = 121,
    Interrupted = 130,
}

impl Exit {
    /// All of them, as help and documentation list them.
    pub(crate) const ALL: [(Exit, &str); 10] = [
        (Exit::Done, "done"),
        (Exit::Failed, "failed, for another reason than those below"),
        (Exit::Arguments, "wrong arguments, nothing was done"),
        (Exit::Conflict, "sequence conflict: another producer was first"),
        (Exit::Token, "the token was refused, or does not allow this"),
        (Exit::NoAnswer, "no connection, or no answer"),
        (Exit::Damage, "damage found"),
        (Exit::Held, "another holds the lease, nothing was done"),
        (Exit::Lost, "the lease was lost, and what ran under it was ended"),
        (Exit::Interrupted, "interrupted by Ctrl-C"),
    ];
}

/// The exit codes, as help lists them.
pub(crate) fn exit_codes() -> String {
    let lines = Exit::ALL.map(|(exit, meaning)| format!("\n  {:<5}{meaning}", exit as u8));
    format!("Exit codes:{}", lines.concat())
}

/// A failure to report.
pub(crate) struct Failure {
    /// Empty: another has said it.
    message: String,
    exit: u8,
}

impl Failure {
    fn of(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit: exit as u8,
        }
    }

    /// For a reason without a code of its own.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::of(Exit::Failed, message)
    }

    /// Arguments that exclude each other, or do not suffice.
    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self::of(Exit::Arguments, message)
    }

    /// The head is not the expected one.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::of(Exit::Conflict, message)
    }

    /// The token was refused, or does not suffice.
    pub(crate) fn token(message: impl Into<String>) -> Self {
        Self::of(Exit::Token, message)
    }

    /// Nobody answered, or not to the end.
    pub(crate) fn no_answer(message: impl Into<String>) -> Self {
        Self::of(Exit::NoAnswer, message)
    }

    /// Stored bytes are not what was written.
    pub(crate) fn damage(message: impl Into<String>) -> Self {
        Self::of(Exit::Damage, message)
    }

    /// Another holds the lease.
    #[cfg(unix)]
    pub(crate) fn held(message: impl Into<String>) -> Self {
        Self::of(Exit::Held, message)
    }

    /// The lease is held no longer.
    #[cfg(unix)]
    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Self::of(Exit::Lost, message)
    }

    /// The exit code of a command that was run, which has said what there is to say.
    #[cfg(unix)]
    pub(crate) fn passed_on(code: u8) -> Self {
        Self {
            message: String::new(),
            exit: code,
        }
    }

    /// Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::of(Exit::Interrupted, "interrupted")
    }

    /// Whether it is Ctrl-C, or a second signal.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.exit == Exit::Interrupted as u8 && !self.message.is_empty()
    }

    /// Standard output took no more, though somebody may read it.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        Self::new(format!("cannot write to standard output: {error}"))
    }

    /// Puts what was being done before the message.
    pub(crate) fn during(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Says it in other words.
    pub(crate) fn because(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, next: impl std::fmt::Display) -> Self {
        self.message = format!("{}; {next}", self.message);
        self
    }

    /// The same after Ctrl-C.
    pub(crate) fn hint_if_interrupted(self, next: impl std::fmt::Display) -> Self {
        match self.is_interrupted() {
            true => self.hint(next),
            false => self,
        }
    }

    pub(crate) fn report(self) -> ExitCode {
        self.say();
        ExitCode::from(self.exit)
    }

    /// Reports it and ends the program at once, whatever its other threads wait for.
    pub(crate) fn exit(self) -> ! {
        self.say();
        std::process::exit(i32::from(self.exit))
    }

    fn say(&self) {
        crate::terminal::log::release();
        if !self.message.is_empty() {
            crate::terminal::log::complain(&format!("streamkit: {}", crate::terminal::shown::shown(&self.message)));
        }
        crate::terminal::log::flush();
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let fresh = format!("; get a fresh one with `{} token` and set STREAMKIT_TOKEN", called());
        let (exit, next) = match &error {
            Error::Conflict { .. } | Error::Conflicts { .. } => (Exit::Conflict, ""),
            Error::Invalid(_) => (Exit::Arguments, ""),
            Error::Unauthorized | Error::TokenExpired { .. } => (Exit::Token, fresh.as_str()),
            Error::AccessDenied => (
                Exit::Token,
                "; check STREAMKIT_STORE, or get a token with another scope",
            ),
            Error::Connect { .. } => (Exit::NoAnswer, "; is the server running, and is STREAMKIT_URL right?"),
            Error::Tls { why, .. } => tls(why),
            Error::Unknown(_) => (Exit::NoAnswer, "; peek before you try again"),
            damage if damage.is_damage() => (Exit::Damage, ""),
            // From here damage, which stays, looks like a disk that hangs, which passes.
            Error::NotBegun(why) if why == "store unavailable" => (
                Exit::NoAnswer,
                "; the server's log says why: unless that is damage, try again",
            ),
            // It says itself that only a restart helps, or when to try again.
            Error::TryLater { .. } => (Exit::NoAnswer, ""),
            Error::Unavailable(why) if why.contains("restart to recover") || why.contains("try again") => {
                (Exit::NoAnswer, "")
            }
            Error::ConnectionLost(_)
            | Error::Timeout(_)
            | Error::Unavailable(_)
            | Error::NotThereYet { .. }
            | Error::NotBegun(_) => (Exit::NoAnswer, "; try again"),
            _ => (Exit::Failed, ""),
        };
        Self::of(exit, format!("{error}{next}"))
    }
}

/// What to do about a server that TLS cannot be spoken with.
fn tls(why: &TlsError) -> (Exit, &'static str) {
    match why {
        TlsError::File(..) => (Exit::Arguments, ""),
        TlsError::UnknownIssuer => (
            Exit::NoAnswer,
            "; if that is right, give the certificate of its authority: --ca-cert FILE or STREAMKIT_CA_CERT",
        ),
        TlsError::IsAuthority | TlsError::BadCertificate(_) => (
            Exit::NoAnswer,
            "; give the server one that an authority signed for a server, and clients that authority (docs/OPERATING.md, TLS)",
        ),
        TlsError::CertificateWanted => (Exit::NoAnswer, "; give one: --client-cert FILE --client-key FILE"),
        TlsError::CertificateRefused => (Exit::NoAnswer, "; give another: --client-cert FILE --client-key FILE"),
        TlsError::OtherName(_) => (Exit::NoAnswer, "; use a name that stands in it"),
        TlsError::NotSpoken => (Exit::NoAnswer, "; without TLS its address begins with ws://"),
        _ => (Exit::NoAnswer, ""),
    }
}

impl From<streamkit_engine::OpenError> for Failure {
    fn from(error: streamkit_engine::OpenError) -> Self {
        Self::new(error.to_string())
    }
}
