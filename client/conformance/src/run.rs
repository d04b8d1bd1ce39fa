//! Runs checks one after another, each within its deadline, and removes what they wrote.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::check::Check;
use crate::checks;
use crate::connection::Connection;
use crate::dial::Server;
use crate::fault::{Fault, Step};
use crate::world::{Restricted, World};

/// What is to be tried.
#[derive(Clone)]
pub struct Plan {
    /// The server.
    pub server: Server,
    /// The token that opens the store for everything.
    pub token: String,
    /// Tokens that open less.
    pub restricted: Restricted,
    /// The store to write into.
    pub store: Uuid,
    /// Only checks whose names contain this; empty: all.
    pub only: String,
    /// How long a frame may take that has to come.
    pub patience: Duration,
    /// How long a check may take.
    pub deadline: Duration,
}

/// What a check came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Which.
    pub check: &'static str,
    /// Why it is not true, or cannot tell.
    pub result: Result<(), Fault>,
    /// How long it took.
    pub took: Duration,
}

/// The checks that a plan is of.
pub fn chosen(only: &str) -> impl Iterator<Item = &'static Check> {
    checks::ALL
        .iter()
        .copied()
        .flatten()
        .filter(move |check| check.name.contains(only))
}

impl Plan {
    /// The name with which all spaces of a run begin; each run has its own.
    pub fn prefix() -> String {
        let random = Uuid::new_v4().simple().to_string();
        format!("conformance-{}", &random[..12])
    }

    /// Runs the checks, and tells each verdict as it comes.
    ///
    /// # Errors
    /// Nothing can be tried: there is no server, the token does not open the store, or a server does not speak v2.
    pub async fn run(
        &self,
        prefix: &str,
        mut tell: impl FnMut(&'static Check, &Verdict),
    ) -> Result<Vec<Verdict>, String> {
        let world = self.world(prefix, "");
        self.reach(&world).await?;
        let mut verdicts = Vec::new();
        for check in chosen(&self.only) {
            let began = Instant::now();
            let world = self.world(prefix, check.name);
            let result = match tokio::time::timeout(self.deadline, (check.run)(&world)).await {
                Ok(result) => result.map_err(short),
                Err(_) => Err(Fault::Broken(format!("it was not over within {:?}", self.deadline))),
            };
            let verdict = Verdict {
                check: check.name,
                result,
                took: began.elapsed(),
            };
            tell(check, &verdict);
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    fn world(&self, prefix: &str, check: &str) -> World {
        World {
            server: self.server.clone(),
            token: self.token.clone(),
            restricted: self.restricted.clone(),
            store: self.store,
            prefix: prefix.to_owned(),
            space: format!("{prefix}/{check}"),
            patience: self.patience,
        }
    }

    /// Whether the server can be tried at all.
    async fn reach(&self, world: &World) -> Result<(), String> {
        let reached: Step<()> = async {
            let mut connection = world.dial().await?;
            connection.status(&[]).await??;
            connection.close().await;
            Ok(())
        }
        .await;
        reached.map_err(|fault| match fault {
            Fault::Broken(why) | Fault::Untried(why) => why,
        })
    }

    /// Removes all segments of this run's spaces.
    ///
    /// # Errors
    /// What is left there, and why.
    pub async fn remove(&self, prefix: &str) -> Result<(), String> {
        let world = self.world(prefix, "");
        let removed: Step<()> = async {
            let mut connection = world.dial().await?;
            for space in connection.spaces().await?? {
                if space.starts_with(prefix) {
                    empty(&mut connection, &space).await?;
                }
            }
            Ok(())
        }
        .await;
        removed.map_err(|fault| match fault {
            Fault::Broken(why) | Fault::Untried(why) => format!("spaces that begin with {prefix} are left: {why}"),
        })
    }
}

/// What was seen, as much as somebody reads.
fn short(fault: Fault) -> Fault {
    const CHARACTERS: usize = 800;
    match fault {
        Fault::Broken(seen) if seen.chars().count() > CHARACTERS => {
            let half = |all: &mut dyn Iterator<Item = char>| all.take(CHARACTERS / 2).collect::<Vec<_>>();
            let (front, mut back) = (half(&mut seen.chars()), half(&mut seen.chars().rev()));
            back.reverse();
            Fault::Broken(front.into_iter().chain(" … ".chars()).chain(back).collect())
        }
        other => other,
    }
}

async fn empty(connection: &mut Connection, space: &str) -> Step<()> {
    for segment in connection.segments(space, "", u32::MAX).await?? {
        connection.delete(space, &segment).await??;
    }
    Ok(())
}
