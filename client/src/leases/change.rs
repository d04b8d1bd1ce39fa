//! One change of a lease, in the version that the server speaks.

use std::time::Duration;

use streamkit_protocol::v2::{Lease, LeaseChange, Leased};
use streamkit_protocol::{LeaseAcquire, LeaseRelease, LeaseResult, Request};
use streamkit_record::FencingToken;

use crate::call::Call;
use crate::channel::Channel;
use crate::error::Error;
use crate::verbs;

/// Changes a lease. It is asked for again if its connection is lost: who holds what is decided by the holder's name, so the second answer is
/// that of the first.
pub(super) async fn change(call: &Call, lease: Lease) -> Result<Leased, Error> {
    if call.is_v2().await? {
        return verbs::lease(call, lease).await;
    }
    let (request, ttl) = over_v1(&lease);
    call.ask(|channel| ask(channel, &request, ttl)).await
}

/// The request of v1, which counts whole seconds: a lease never lasts for less than was asked for.
fn over_v1(lease: &Lease) -> (Request, Duration) {
    let (key, holder) = (lease.key.to_string(), lease.holder.to_string());
    let seconds = u64::try_from(lease.ttl.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    let acquire = |key, holder| LeaseAcquire {
        key,
        holder,
        ttl_seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
    };
    let request = match lease.change {
        LeaseChange::Acquire => Request::LeaseAcquire(acquire(key, holder)),
        LeaseChange::Renew => Request::LeaseRenew(acquire(key, holder)),
        LeaseChange::Release => Request::LeaseRelease(LeaseRelease { key, holder }),
    };
    (request, Duration::from_secs(seconds))
}

async fn ask(mut channel: Channel, request: &Request, ttl: Duration) -> Result<Leased, Error> {
    channel.request(request).await?;
    let message = channel.receive().await?;
    let message = message.ok_or_else(|| Error::Protocol("a lease call ended without a result".to_owned()))?;
    let result = LeaseResult::decode(&message).map_err(Error::malformed)?;
    if !result.ok && !result.message.is_empty() {
        return Err(Error::Refused(result.message));
    }
    Ok(match result.ok {
        true => Leased {
            token: Some(FencingToken(result.fencing_token)),
            ttl,
        },
        false => Leased {
            token: None,
            ttl: Duration::ZERO,
        },
    })
}

#[cfg(test)]
mod tests {
    use streamkit_record::Name;

    use super::*;

    #[test]
    fn v1_is_never_asked_for_less_time() {
        for (millis, seconds) in [(1, 1), (1000, 1), (1001, 2), (86_400_000, 86_400)] {
            let lease = Lease {
                change: LeaseChange::Renew,
                key: Name::new("k").unwrap(),
                holder: Name::new("h").unwrap(),
                ttl: Duration::from_millis(millis),
            };
            let (request, ttl) = over_v1(&lease);
            assert!(matches!(request, Request::LeaseRenew(renew) if renew.ttl_seconds == seconds));
            assert_eq!(ttl, Duration::from_secs(seconds.unsigned_abs()));
        }
    }
}
