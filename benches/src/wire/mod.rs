//! What going over the network costs: our server as a child process of this program, called by our client over loopback, over v1 and
//! v2, beside the engine in this process and the floors of the same run. `wire` prints what [`measure`] finds.

mod bars;
mod child;
mod follow;
mod memory;
pub mod record;
mod scattered;

use serde_json::{Value, json};

pub use bars::{cells, rows};
pub use child::serve;
pub use follow::Followers;
pub use memory::Idle;

use crate::machine::{self, Machine};
use crate::servers::programs::Programs;
use crate::side_by_side::{Plan, run};
use crate::{Outcome, figures};

/// What is measured.
pub struct Asked {
    /// The loads of writers and readers; without works: none.
    pub plan: Plan,
    /// Followers; `None`: none.
    pub followers: Option<Followers>,
    /// Segments that one follows by name; `None`: nobody does.
    pub scattered: Option<usize>,
    /// Connections that do nothing; `None`: none.
    pub idle: Option<Idle>,
}

/// Measures what was asked for, and says on standard error what it is at.
///
/// # Errors
/// Of the floors, the server and its client; if something that was acknowledged is not there, or not as it was written.
pub fn measure(asked: &Asked) -> Outcome<Value> {
    let plan = &asked.plan;
    let mut found = match plan.works.is_empty() {
        true => json!({
            "date": machine::date(),
            "commit": machine::commit(),
            "machine": Machine::of(&plan.dir)?.to_json(),
            "quick": plan.quick,
        }),
        false => run::measure(plan, child::KINDS, &Programs::of(&plan.dir))?,
    };
    for subject in found["subjects"].as_array().into_iter().flatten() {
        if let Some(reason) = subject["absent"].as_str() {
            return Err(format!("{}: {reason}", subject["name"].as_str().unwrap_or_default()).into());
        }
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(followers) = &asked.followers {
        let mut rounds = Vec::new();
        for round in 1..=plan.rounds {
            eprintln!("round {round} of {}: {followers} …", plan.rounds);
            rounds.push(follow::round(&runtime, plan, followers)?);
        }
        found["follow"] = figures::Figures::median(&rounds).to_json();
        found["follow"]["of"] = followers.to_string().into();
    }
    if let Some(segments) = asked.scattered {
        found["scattered"] = scattered::measure(&runtime, plan, segments)?;
    }
    if let Some(idle) = &asked.idle {
        found["memory"] = memory::measure(&runtime, plan, idle)?;
    }
    Ok(found)
}
