//! Leases: to be granted one, to renew it, to give it back. Each runs to its end once begun, as what changes a store does.

use streamkit_engine::Store;

use super::boundary::{Answers, Batch as _};
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::verb::{LeaseChange, LeaseRequest};

pub(super) async fn run<A: Answers>(asked: LeaseRequest, store: &dyn Store, out: &Outgoing<A>) -> Result<(), Failure> {
    let LeaseRequest { key, holder, change } = asked;
    let done = match change {
        LeaseChange::Acquire(ttl) => store.acquire_lease(&key, &holder, ttl).await,
        LeaseChange::Renew(ttl) => store.renew_lease(&key, &holder, ttl).await,
        LeaseChange::Release => store.release_lease(&key, &holder).await,
    };
    let lease = done.map_err(|error| Failure::of_write("a change of a lease", error))?;
    let mut batch = out.batch();
    batch.lease(lease.as_ref());
    out.acknowledge(batch).await
}
