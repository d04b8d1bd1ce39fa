//! The call that a task serves, for the lines of the log which it writes. To keep it costs a call next to nothing: other than the
//! fields of a span, nothing is made into text before there is a line.

use std::sync::OnceLock;

use streamkit_engine::Name;
use uuid::Uuid;

use super::CallerTrace;

/// What is known of a call.
#[derive(Debug)]
pub struct Call {
    /// Its store.
    pub store: Uuid,
    /// Its channel.
    pub channel: Uuid,
    /// The trace it belongs to, if its caller has one.
    pub trace_id: Option<u128>,
    names: OnceLock<(Name, Option<Name>)>,
}

tokio::task_local! {
    static CURRENT: Call;
}

impl Call {
    pub(crate) fn new(store: Uuid, channel: Uuid, caller: Option<&CallerTrace>) -> Self {
        Self {
            store,
            channel,
            trace_id: caller.map(|caller| caller.trace_id),
            names: OnceLock::new(),
        }
    }

    /// The space it is about, if it is about one.
    pub fn space(&self) -> Option<&str> {
        self.names.get().map(|(space, _)| space.as_str())
    }

    /// The segment it is about, if it is about one.
    pub fn segment(&self) -> Option<&str> {
        self.names.get()?.1.as_ref().map(Name::as_str)
    }

    /// Notes what the call of this task is about.
    pub(crate) fn is_about(space: &Name, segment: Option<&Name>) {
        let _ = CURRENT.try_with(|call| call.names.set((space.clone(), segment.cloned())));
    }
}

/// Serves a call by `work`.
pub(crate) fn serving<T>(call: Call, work: impl Future<Output = T>) -> impl Future<Output = T> {
    CURRENT.scope(call, work)
}

/// Runs `look` with the call of a peer that the current task serves, if it serves one: for whoever writes the log.
pub fn with_current_call<T>(look: impl FnOnce(Option<&Call>) -> T) -> T {
    let mut look = Some(look);
    let looked = CURRENT.try_with(|call| look.take().map(|look| look(Some(call))));
    match (looked, look) {
        (Ok(Some(looked)), _) => looked,
        (_, Some(look)) => look(None),
        (_, None) => unreachable!("it is taken only where it is called"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_knows_the_call_that_it_serves_and_no_other_does() {
        let space = || with_current_call(|call| call.map(|call| call.space().map(str::to_owned)));
        assert_eq!(space(), None);
        let call = Call::new(Uuid::nil(), Uuid::max(), None);
        let served = serving(call, async {
            assert_eq!(space(), Some(None));
            Call::is_about(&Name::new("orders").unwrap(), None);
            tokio::task::yield_now().await;
            assert_eq!(tokio::spawn(async move { space() }).await.unwrap(), None);
            with_current_call(|call| call.unwrap().channel)
        });
        assert_eq!(served.await, Uuid::max());
        Call::is_about(&Name::new("orders").unwrap(), None);
    }
}
