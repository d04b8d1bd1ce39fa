//! Two processes race for the same sequences.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use streamkit_client::{Client, Error, NewRecord};

use crate::program::*;

const TASKS_EACH: usize = 32;
const SEQUENCES: u64 = 150;

#[test]
fn of_two_processes_with_32_tasks_each_one_wins_each_sequence_and_the_losers_are_told_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    // A neighbour whose name goes on where the contested one ends.
    assert!(served.run_with(&["produce", "s/order-12"], "other\n").status.success());
    let racers = ["red", "blue"]
        .map(|name| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "race::racer", "--ignored", "--nocapture"])
                .env("RACER", name)
                .env("RACER_URL", &served.url)
                .env("RACER_TOKEN", &served.token)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .map(|child| child.wait_with_output().unwrap());
    let mut winners = BTreeMap::new();
    let (mut lost, mut won) = (0, Vec::new());
    for racer in racers {
        assert!(racer.status.success(), "{}", text(&racer.stdout));
        let before = winners.len();
        for line in text(&racer.stdout).lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["won", sequence, task] => {
                    let before = winners.insert(sequence.parse::<u64>().unwrap(), task.to_owned());
                    assert_eq!(before, None, "two winners of {sequence}");
                }
                ["lost", count] => lost += count.parse::<u64>().unwrap(),
                _ => {}
            }
        }
        won.push(winners.len() - before);
    }
    assert!(winners.keys().copied().eq(1..=SEQUENCES));
    assert!(
        won.iter().all(|&won| won > 0) && lost > 0,
        "no race: {won:?} won, {lost} lost"
    );
    println!("{won:?} sequences won, {lost} conflicts told");
    let stored = served.run(&["consume", "s/order-1"]);
    for (line, (sequence, winner)) in text(&stored.stdout).lines().zip(&winners) {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&entry["sequence"], &entry["payload"]),
            (&(*sequence).into(), &winner.as_str().into())
        );
        assert_eq!(entry["segment"], "order-1");
    }
    assert_eq!(text(&stored.stdout).lines().count() as u64, SEQUENCES);
}

/// One of the two processes; run by the test above only.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "one of the two processes of the race above, which runs it"]
async fn racer() {
    let variable = |name| std::env::var(name).expect("run by the race");
    let client = Client::builder(variable("RACER_URL"))
        .token(variable("RACER_TOKEN"))
        .build();
    let store = client.store(STORE.parse().unwrap());
    let tasks = (0..TASKS_EACH).map(|task| {
        let (store, name) = (store.clone(), format!("{}-{task}", variable("RACER")));
        tokio::spawn(async move {
            let (mut next, mut lost, mut won) = (1, 0, Vec::new());
            while next <= SEQUENCES {
                match store
                    .produce_all("s", "order-1", next, [NewRecord::new(name.clone())])
                    .await
                {
                    Ok(status) => {
                        assert_eq!(status.last_sequence, next);
                        won.push((next, name.clone()));
                        next += 1;
                    }
                    Err(Error::Conflict { head, got }) => {
                        assert!(got == next && head >= next, "told {head} for {next}");
                        lost += 1;
                        next = head + 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            (won, lost)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut all_lost = 0;
    for task in tasks {
        let (won, lost) = task.await.unwrap();
        all_lost += lost;
        for (sequence, name) in won {
            println!("won {sequence} {name}");
        }
    }
    println!("lost {all_lost}");
}
