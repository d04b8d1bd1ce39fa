//! Small runs of the torture, with the program as it was built beside this test.

use std::time::Duration;

use streamkit_torture_hosts::account::program;
use streamkit_torture_hosts::balanced::{BalancedPlan, End, balanced};
use streamkit_torture_hosts::chaos::Longest;
use streamkit_torture_hosts::run::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_stopped_and_cut_off_lose_nothing_and_agree() {
    let plan = Plan {
        program: program(),
        hosts: 3,
        tricks: 8,
        longest: Longest {
            stop: Duration::from_secs(3),
            cut: Duration::from_secs(1),
        },
        attempts: Some(30),
        crews: 1,
        options: Vec::new(),
    };
    let (counts, broken) = run(1, &plan, &mut |_| ()).await.unwrap();
    assert_eq!(broken, Vec::<String>::new());
    assert!(counts.acknowledged > 0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_behind_a_balancer_see_nothing_of_hosts_that_go_one_after_the_other() {
    let plan = BalancedPlan {
        program: program(),
        hosts: 3,
        rounds: vec![End::Killed, End::Asked],
        producers: 4,
        appends: 10,
        away: Duration::from_millis(300),
        options: Vec::new(),
    };
    let (counts, broken) = balanced(&plan).await.unwrap();
    assert_eq!(broken, Vec::<String>::new());
    println!("{counts:?}");
    assert_eq!(counts.stalls.len(), 6);
    assert!(counts.reads > 0, "{counts:?}");
    // Each host was there for some of them, and the follow was on one of those that went.
    assert!(counts.lost_by_follow > 0, "{counts:?}");
}
