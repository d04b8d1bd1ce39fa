//! A server process that is killed while all are at work, again and again, and started again on the same folder and port. Nobody is told:
//! everybody goes on.

use std::path::Path;
use std::time::Duration;

use streamkit_engine::{Dice, Engine, EngineConfig, StoreId, verify};
use tokio::task::JoinSet;

use crate::crew::Crew;
use crate::host::{STORE, Trouble};
use crate::process::Process;
use crate::raw::Raw;
use crate::run::Counts;
use crate::witness::{Broken, Fate};

/// Runs a seed against a server of this program. Returns what it did, and which promises were broken.
///
/// # Errors
/// Nothing could be tried.
pub async fn killed(seed: u64, program: &Path) -> Result<(Counts, Vec<Broken>), Trouble> {
    let folder = tempfile::tempdir()?;
    let mut crew = Crew::new(seed);
    let mut dice = crew.dice(6, 0);
    let options: &[&str] = match dice.chance(1, 3) {
        true => &["--commit-method", "threads"],
        false => &[],
    };
    let mut server = Process::start(program, folder.path(), options).await?;
    let mut others = JoinSet::new();
    crew.follow(server.address, server.address)?;
    crew.work(server.address, false)?;
    let mut kills = 0;
    loop {
        let raw = Raw::connect(server.address, crew.witness.clone(), crew.dice(4, kills)).await?;
        others.spawn(raw.work());
        if all_are_done(&mut crew, &mut dice).await? {
            break;
        }
        kills += 1;
        if let Some(why) = dies(&mut server, &mut dice).await {
            return Ok((Counts::default(), vec![why]));
        }
    }
    // The last raw peer ends with the server that it talks to: then nothing is written any more.
    kills += 1;
    if let Some(why) = dies(&mut server, &mut dice).await {
        return Ok((Counts::default(), vec![why]));
    }
    while let Some(done) = others.join_next().await {
        done?;
    }
    let follows = crew.follows().await?;
    kills += 1;
    server.kill().await?;
    let data = server.data();
    let opened = tokio::task::spawn_blocking(move || {
        let report = verify(&data, &mut |_| {})?;
        if !report.is_clean() {
            return Ok(Err(format!("damage is left: {report:?}")));
        }
        let engine = Engine::open(EngineConfig::new(&data))?;
        let store = engine.open_store(StoreId(STORE))?;
        Ok::<_, Trouble>(Ok((engine, store)))
    });
    let (engine, store) = match opened.await? {
        Ok(Ok(opened)) => opened,
        Ok(Err(why)) => return Ok((Counts::default(), vec![why])),
        Err(why) => return Ok((Counts::default(), vec![format!("what is left does not open: {why}")])),
    };
    let (entries, broken) = crew.judge(&store, &follows).await?;
    let counts = Counts {
        attempts: crew.witness.attempts().len(),
        entries,
        reads: crew.witness.reads().len(),
        bytes: 0,
        kills: kills as usize,
        unanswered: 0,
    };
    tokio::task::spawn_blocking(move || drop((store, engine))).await?;
    Ok((counts, broken))
}

/// Waits until some more was acknowledged, and a moment; whether all have done their work before.
async fn all_are_done(crew: &mut Crew, dice: &mut Dice) -> Result<bool, Trouble> {
    let acknowledged = |crew: &Crew| {
        let attempts = crew.witness.attempts();
        let there = attempts
            .iter()
            .filter(|attempt| matches!(attempt.fate, Fate::There(..)));
        there.count() as u64
    };
    let enough = acknowledged(crew) + 1 + dice.below(400);
    while acknowledged(crew) < enough {
        let pause = Duration::from_millis(1 + dice.below(5));
        if let Ok(done) = tokio::time::timeout(pause, crew.is_done()).await {
            done?;
            return Ok(true);
        }
    }
    tokio::time::sleep(Duration::from_micros(dice.below(3000))).await;
    Ok(false)
}

/// It is killed, and started again a moment later. Why it does not, if so.
async fn dies(server: &mut Process, dice: &mut Dice) -> Option<Broken> {
    if let Err(why) = server.kill().await {
        return Some(why.to_string());
    }
    tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
    server.start_again().await.err().map(|why| why.to_string())
}
