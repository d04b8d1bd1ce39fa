//! The real server keeps every promise.

use streamkit_wire_conformance::run::Plan;

use crate::host::{Host, plan};

#[tokio::test(flavor = "multi_thread")]
async fn every_check_is_true_of_the_real_server_and_nothing_is_left_behind() {
    let host = Host::start().await;
    let plan = plan(host.address);
    let prefix = Plan::prefix();
    let mut untrue = Vec::new();
    let tell = |check: &streamkit_wire_conformance::check::Check,
                verdict: &streamkit_wire_conformance::run::Verdict| {
        println!("{} {:?} {:?}", check.name, verdict.took, verdict.result);
    };
    let verdicts = plan.run(&prefix, tell).await.unwrap();
    untrue.extend(verdicts.iter().filter(|verdict| verdict.result.is_err()));
    assert!(untrue.is_empty(), "{untrue:#?}");
    plan.remove(&prefix).await.unwrap();
    let again = Plan {
        only: "handshake/".to_owned(),
        ..plan.clone()
    };
    assert!(!again.run(&prefix, |_, _| ()).await.unwrap().is_empty());
    host.stop().await;
}
