//! Tests of [`super`].

use super::*;
use crate::runtime::pace::LOOK_MAX;

#[tokio::test]
async fn every_job_runs_whether_a_thread_looks_or_sleeps() {
    let workers = Workers::new("test", 2, LOOK_MAX, None).unwrap();
    for round in 0..2000_u32 {
        if round % 500 == 0 {
            tokio::time::sleep(2 * LOOK_MAX).await;
        }
        let job = |add| workers.run(move || round + add);
        let results = tokio::join!(job(0), job(1), job(2));
        assert_eq!(results, (Some(round), Some(round + 1), Some(round + 2)));
    }
}
