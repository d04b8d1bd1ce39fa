//! The promises of every store, as tests against [`Stores`] and [`Store`] alone. Any implementation can run them.
//!
//! ```ignore
//! streamkit_conformance::suite!(crate::fixture);
//! ```
//! makes one test for each promise; `crate::fixture` is a `fn() -> Fixture` that returns new, empty stores each time.

mod calls;
pub mod conditions;
pub mod leases;
pub mod limits;
pub mod lists;
pub mod reads;
pub mod removal;
pub mod writes;

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use streamkit_engine::{Store, StoreId, Stores};
use uuid::Uuid;

/// The stores under test.
pub struct Fixture {
    stores: Arc<dyn Stores>,
    _held: Box<dyn Any>,
}

impl Fixture {
    /// Empty stores. `held` lives as long as they do: a folder, a server.
    pub fn new(stores: Arc<dyn Stores>, held: impl Any) -> Self {
        Self {
            stores,
            _held: Box::new(held),
        }
    }

    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        self.stores.store(StoreId(Uuid::from_u128(7))).await.expect("it opens")
    }

    pub(crate) async fn other_store(&self) -> Arc<dyn Store> {
        self.stores.store(StoreId(Uuid::from_u128(8))).await.expect("it opens")
    }
}

/// Checks one promise. For [`suite!`].
///
/// # Panics
/// If it is broken.
pub fn check<F: Future<Output = ()>>(promise: impl FnOnce(Fixture) -> F, fixture: impl FnOnce() -> Fixture) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async { promise(fixture()).await });
}

/// Makes one test for each promise. Takes the path of a function that returns a [`Fixture`].
#[macro_export]
macro_rules! suite {
    ($fixture:path) => {
        $crate::suite! {
            @ $fixture;
            writes: what_was_appended_is_read_back_whole, names_are_exact, losers_are_told_the_actual_head, of_many_racers_exactly_one_wins_each_sequence, a_retry_of_the_same_transaction_is_a_success, a_transaction_over_several_segments_is_all_or_nothing, whoever_publishes_comes_after_the_head_whoever_else_does, the_tail_moves_with_each_commit, whoever_asks_from_mark_to_mark_hears_of_every_segment_that_changed, stores_do_not_see_each_other, a_closed_store_refuses_and_says_so;
            conditions: a_transaction_is_stored_only_if_all_its_conditions_hold, a_condition_of_a_segment_that_is_written_is_of_the_time_before, what_takes_the_next_sequence_is_told_which, of_many_who_take_the_next_sequence_each_gets_its_own, of_many_who_demand_that_a_segment_is_absent_one_is_stored, a_retry_is_answered_though_its_conditions_hold_no_more, an_id_that_is_sent_twice_at_once_is_stored_once, an_id_that_is_stored_with_other_records_is_refused, too_many_conditions_are_refused;
            reads: bounds_are_inclusive_by_sequence_and_exclusive_below_by_time, a_space_is_read_in_log_order_and_resumes_after_any_entry_without_gap_or_repeat, several_spaces_are_merged_in_log_order_each_after_its_own_cursor, a_cursor_whose_entry_never_was_goes_on_by_its_time, a_cursor_whose_entry_is_gone_skips_nothing_that_was_committed_with_it, a_read_that_was_given_up_half_way_never_looks_ended, pieces_hold_the_same_entries_and_a_cursor_goes_on_behind_them, a_cursor_of_another_log_is_an_error, newest_first_is_the_reverse, a_reader_tells_the_place_to_which_it_has_come, a_read_that_ends_at_the_head_tells_nothing_of_what_comes_later, the_position_includes_what_is_told;
            leases: a_lease_is_one_holders_until_it_is_released_or_runs_out, a_token_grows_with_each_grant_and_stays_with_each_renewal, what_is_appended_under_a_lease_of_before_is_refused_and_its_retry_answered, of_many_who_ask_at_once_one_is_granted_the_lease, a_lease_that_cannot_be_is_refused;
            lists: lists_are_sorted_by_bytes_and_paged, missing_things_are_empty_not_errors;
            limits: limits_are_refused_before_anything_is_written, the_largest_records_and_transactions_are_read_back;
            removal: trimmed_entries_are_gone_and_the_head_stays, a_deleted_segment_is_gone_and_may_begin_again;
        }
    };
    (@ $fixture:path; $room:ident: $($promise:ident),+; $($rest:tt)*) => {
        mod $room {
            $(
                #[test]
                fn $promise() {
                    $crate::check($crate::$room::$promise, $fixture);
                }
            )+
        }
        $crate::suite! { @ $fixture; $($rest)* }
    };
    (@ $fixture:path;) => {};
}
