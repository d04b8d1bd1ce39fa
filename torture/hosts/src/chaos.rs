//! What happens to hosts: one thing after the other, to one of them each time.

use std::time::Duration;

use streamkit_engine::Dice;
use streamkit_torture_wire::host::Trouble;
use streamkit_torture_wire::process::Process;

use crate::account::Ways;

/// One host and its ways.
pub struct Victim {
    /// The process.
    pub process: Process,
    /// Its ways to the account.
    pub ways: Ways,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Longest {
    /// A process that is stopped.
    pub stop: Duration,
    /// A way that is cut.
    pub cut: Duration,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trick {
    /// SIGKILL, and a start some time later.
    Kill,
    /// SIGSTOP, and SIGCONT some time later.
    Stop,
    /// Its ways to the storage are cut.
    Cut,
    /// Nothing moves on them.
    Silence,
    /// What it asks is carried out, and it hears nothing.
    Mute,
    /// The way of other hosts to it is cut.
    CutLink,
    /// Nothing moves on that.
    SilenceLink,
    /// What other hosts ask of it is carried out, and they hear nothing.
    MuteLink,
}

impl Trick {
    /// Any of them.
    pub fn any(dice: &mut Dice) -> Self {
        match dice.below(9) {
            0 | 1 => Self::Kill,
            2 => Self::Stop,
            3 => Self::Cut,
            4 => Self::Silence,
            5 => Self::Mute,
            6 => Self::CutLink,
            7 => Self::SilenceLink,
            _ => Self::MuteLink,
        }
    }
}

impl Victim {
    /// It happens, and is over when this returns.
    ///
    /// # Errors
    /// The process ended by itself, or does not start again.
    pub async fn suffers(&mut self, trick: Trick, dice: &mut Dice, longest: Longest) -> Result<(), Trouble> {
        let mut some = |most: Duration| Duration::from_millis(dice.below(most.as_millis() as u64 + 1));
        match trick {
            Trick::Kill => {
                self.process.kill().await?;
                tokio::time::sleep(some(longest.cut)).await;
                self.process.start_again().await?;
            }
            Trick::Stop => {
                self.process.stop()?;
                tokio::time::sleep(some(longest.stop)).await;
                self.process.go_on()?;
            }
            Trick::Cut => {
                let time = some(longest.cut);
                tokio::join!(self.ways.tables.cut(time), self.ways.blobs.cut(time));
            }
            Trick::Silence => {
                let time = some(longest.cut);
                tokio::join!(self.ways.tables.silence(time), self.ways.blobs.silence(time));
            }
            Trick::Mute => {
                let time = some(longest.cut);
                tokio::join!(self.ways.tables.mute(time), self.ways.blobs.mute(time));
            }
            Trick::CutLink => self.ways.link.cut(some(longest.cut)).await,
            Trick::SilenceLink => self.ways.link.silence(some(longest.cut)).await,
            Trick::MuteLink => self.ways.link.mute(some(longest.cut)).await,
        }
        Ok(())
    }
}
