//! What happens to clients and their server: links that pause and break, and a server that is stopped, killed and started again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use streamkit_engine::Dice;

use super::link::Link;
use crate::program::Served;

pub struct Fate(JoinHandle<(Served, Blows)>);

/// How often what happened.
#[derive(Default)]
pub struct Blows(BTreeMap<&'static str, u64>);

impl fmt::Display for Blows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blows: Vec<String> = self.0.iter().map(|(what, times)| format!("{times} {what}")).collect();
        f.write_str(&blows.join(", "))
    }
}

impl Fate {
    /// Until a moment; the server runs then, and no link is paused. `process` says which server it is.
    pub fn begin(mut served: Served, links: Vec<Arc<Link>>, process: Arc<AtomicU32>, until: Instant) -> Self {
        let mut dice = Dice::new(7);
        Self(std::thread::spawn(move || {
            let mut blows = Blows::default();
            while Instant::now() < until {
                sleep(Duration::from_millis(200 + dice.below(1500)));
                let some: Vec<&Arc<Link>> = links.iter().filter(|_| dice.chance(1, 3)).collect();
                let what = match dice.below(8) {
                    0..3 => {
                        some.iter().for_each(|link| link.cut());
                        "times cut links"
                    }
                    3..5 => {
                        some.iter().for_each(|link| link.pause(true));
                        sleep(Duration::from_millis(100 + dice.below(7000)));
                        some.iter().for_each(|link| link.pause(false));
                        "times paused links"
                    }
                    5 => {
                        served.signal("STOP");
                        sleep(Duration::from_millis(100 + dice.below(3000)));
                        served.signal("CONT");
                        "pauses of the server"
                    }
                    6 => {
                        served.signal("TERM");
                        assert!(served.wait().success());
                        restart(&mut served, &process, &mut dice);
                        "servers stopped"
                    }
                    _ => {
                        served.kill();
                        restart(&mut served, &process, &mut dice);
                        "servers killed"
                    }
                };
                *blows.0.entry(what).or_default() += 1;
            }
            (served, blows)
        }))
    }

    pub fn end(self) -> (Served, Blows) {
        self.0.join().unwrap()
    }
}

fn restart(served: &mut Served, process: &AtomicU32, dice: &mut Dice) {
    process.store(0, Ordering::Relaxed);
    sleep(Duration::from_millis(dice.below(1000)));
    served.restart();
    process.store(served.process(), Ordering::Relaxed);
}
