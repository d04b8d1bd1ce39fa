//! The budget of *frames*: messages that arrive. Peers hold it for as long as they take to send, so those of one tenant have half of it
//! at most, and wait for more in a line of their own: whoever opens ever more connections that send slowly keeps their own tenant
//! waiting. Who may do everything in all stores is no tenant, and has no such line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uuid::Uuid;

use super::budget::{Budget, Share};

/// The budget.
pub(crate) struct FramesBudget {
    all: Arc<Budget>,
    bytes: usize,
    /// Of each tenant that has a connection.
    tenants: Mutex<HashMap<Uuid, Weak<TenantFrames>>>,
}

/// It as one tenant sees it.
pub(crate) struct TenantFrames {
    of: Arc<FramesBudget>,
    own: Option<(Uuid, Arc<Budget>)>,
}

/// Room for a message, given back when dropped.
pub(crate) struct FramesRoom {
    _own: Option<Share>,
    _all: Share,
}

impl FramesBudget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Budget::new(bytes),
            bytes,
            tenants: Mutex::default(),
        })
    }

    /// As a tenant sees it; `None`: who is none.
    pub(crate) fn of(self: &Arc<Self>, tenant: Option<Uuid>) -> Arc<TenantFrames> {
        let new = |own| {
            let of = self.clone();
            Arc::new(TenantFrames { of, own })
        };
        let Some(tenant) = tenant else {
            return new(None);
        };
        let mut tenants = self.tenants();
        let there = tenants.get(&tenant).and_then(Weak::upgrade);
        there.unwrap_or_else(|| {
            let made = new(Some((tenant, Budget::new(self.bytes / 2))));
            tenants.insert(tenant, Arc::downgrade(&made));
            made
        })
    }

    /// Bytes that are taken, or put aside for the one that waits longest.
    pub(crate) fn held(&self) -> usize {
        self.all.held()
    }

    /// How many wait, in their tenants' lines and behind them.
    pub(crate) fn waiting(&self) -> usize {
        // None of them may be dropped while the lock is held: it would want that as well.
        let tenants: Vec<_> = self.tenants().values().filter_map(Weak::upgrade).collect();
        let of_own = |tenant: &Arc<TenantFrames>| tenant.own.as_ref().map_or(0, |(_, own)| own.waiting());
        self.all.waiting() + tenants.iter().map(of_own).sum::<usize>()
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<Uuid, Weak<TenantFrames>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TenantFrames {
    /// Room for a message of so many bytes, as soon as there is as much; of more than all there is, all.
    ///
    /// Cancel safe.
    pub(crate) async fn take(self: Arc<Self>, bytes: usize) -> FramesRoom {
        let own = match &self.own {
            Some((_, own)) => Some(own.take(bytes).await),
            None => None,
        };
        FramesRoom {
            _own: own,
            _all: self.of.all.take(bytes).await,
        }
    }

    /// Whether somebody waits for what this tenant holds.
    pub(crate) fn is_wanted(&self) -> bool {
        self.of.all.is_wanted() || self.own.as_ref().is_some_and(|(_, own)| own.is_wanted())
    }
}

impl Drop for TenantFrames {
    fn drop(&mut self) {
        let Some((tenant, _)) = &self.own else { return };
        let mut tenants = self.of.tenants();
        // Another of the same tenant may have come meanwhile.
        if tenants.get(tenant).is_some_and(|there| there.strong_count() == 0) {
            tenants.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn tenant(number: u128) -> Option<Uuid> {
        Some(Uuid::from_u128(number))
    }

    #[test]
    fn a_tenant_has_half_at_most_and_its_line_keeps_no_other_waiting() {
        let budget = FramesBudget::new(100);
        let (one, other) = (budget.of(tenant(1)), budget.of(tenant(2)));
        let held = [(); 5].map(|()| one.clone().take(10).now_or_never().unwrap());
        let mut lines = [(); 20].map(|()| Box::pin(one.clone().take(10)));
        assert!(lines.iter_mut().all(|waits| waits.as_mut().now_or_never().is_none()));
        assert_eq!((budget.held(), budget.waiting()), (50, 20));
        assert!(one.is_wanted() && !other.is_wanted());
        let beside = other
            .clone()
            .take(30)
            .now_or_never()
            .expect("others have the half that is left");
        let all = budget.of(None).take(20).now_or_never();
        assert!(all.is_some());
        drop(held);
        assert!(
            lines[0].as_mut().now_or_never().is_some(),
            "whoever came first is first"
        );
        drop(beside);
    }

    #[test]
    fn a_message_of_more_than_half_has_its_turn() {
        let budget = FramesBudget::new(100);
        let one = budget.of(tenant(1));
        let room = one.clone().take(80).now_or_never().unwrap();
        assert_eq!(budget.held(), 80);
        assert!(
            one.clone().take(1).now_or_never().is_none(),
            "it counts as all that the tenant may have"
        );
        drop(room);
        assert_eq!((budget.held(), budget.waiting()), (0, 0));
    }

    #[test]
    fn of_a_tenant_without_connections_nothing_is_kept() {
        let budget = FramesBudget::new(100);
        let (first, again) = (budget.of(tenant(1)), budget.of(tenant(1)));
        drop(first);
        assert_eq!(budget.tenants().len(), 1);
        drop(again);
        assert_eq!(budget.tenants().len(), 0);
    }
}
