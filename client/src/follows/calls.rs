//! The call on a store that follows it.

use super::stream::Follows;
use crate::asked::Follow;
use crate::store::StoreClient;

impl StoreClient {
    /// Follows any mix of segments, prefixes and spaces: what is there, then what is committed, each entry once. Nothing is sent before
    /// the stream is polled, and nothing is lost by waiting for the next again and again, such as within `select!`.
    ///
    /// Over v2 entries come in the order of the log. Over v1 the client composes the follow of consumes and subscriptions: entries of one segment
    /// come in their order, and a transaction may come in pieces; across segments there is no order. Cursors of the two are not the same:
    /// one over v2 has at most 64 bytes, one over v1 some bytes for each part, and it is good for the same parts and filter alone.
    ///
    /// # Errors
    /// In the stream: [`Error`](crate::Error); [`Error::UnfitCursor`](crate::Error::UnfitCursor) where the cursor is of another follow.
    pub fn follow(&self, follow: Follow) -> Follows {
        Follows::new(self.clone(), follow)
    }
}
