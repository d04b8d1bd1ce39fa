//! What the client promises of a store, tried once more on stores that three hosts share: the same tests as those of
//! `server/tests/suite/served`, by clients that know one address, of a balancer that asks no host how he is. Two connections
//! of a test usually lead to two hosts.

mod fixture;
mod hosts;
#[path = "../../../../server/tests/suite/served/mod.rs"]
mod served;
#[expect(dead_code, reason = "no memory leads to another process")]
#[path = "../../../../server/tests/suite/via.rs"]
mod via;
