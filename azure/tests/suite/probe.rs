//! An account is tried before anything is trusted to it, and one that does not refuse what it has to is named.

use streamkit_azure::account::{Account, CallError, ProbeError};

use crate::proxy::Fate;
use crate::support::{OnEmulator, Proxied, settings};

#[tokio::test]
async fn the_emulator_passes_and_keeps_nothing_of_the_trial() {
    let on = OnEmulator::new().await;
    let own = settings(on.emulator.blobs, on.emulator.tables);
    let account = Account::new(&own).unwrap();
    account.probe().await.unwrap();
    account.probe().await.unwrap();
    assert!(account.blobs().list("", 10).await.unwrap().is_empty());
    let told = account.clock().last().unwrap();
    assert_eq!(told.skew(), std::time::Duration::ZERO, "they share a clock");
}

fn answer(status: &str, headers: &str) -> Fate {
    Fate::Answer(format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n"))
}

/// The requests of a probe: the table, the container, an insert, one that is to be refused, …
#[tokio::test]
async fn a_storage_that_does_not_refuse_what_it_has_to_is_refused() {
    let etag = "etag: W/\"1\"\r\n";
    for (good, bad) in [
        (2, answer("204 No Content", etag)), // an insert of what is there
        (3, answer("204 No Content", etag)), // a change; then the version is the same, or another one is not refused
        (4, answer("204 No Content", etag)), // a change of another version
        (5, answer("204 No Content", etag)), // a change of what is not there
        (6, answer("204 No Content", etag)), // a look at what is there
    ] {
        let on = Proxied::new().await;
        // Its table is there; that is the first request.
        on.tables.next((0..good).map(|_| Fate::Through).chain([bad]));
        let error = on.account.probe().await.unwrap_err();
        assert!(matches!(error, ProbeError::Unfit(_)), "{good}: {error}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let on = Proxied::new().await;
    let date = "date: Fri, 26 Jun 2015 23:39:12 GMT\r\n";
    // The last answer that has a date is what counts: that to the last delete.
    on.tables.next((0..12).map(|_| Fate::Through));
    on.tables.next([answer("204 No Content", date)]);
    let error = on.account.probe().await.unwrap_err();
    assert!(
        matches!(error, ProbeError::Clock(skew) if skew.as_secs() > 1_000_000),
        "{error}"
    );
}

#[tokio::test]
async fn a_storage_that_is_not_there_is_told() {
    let account = Account::new(&settings(9, 9)).unwrap();
    let error = account.probe().await.unwrap_err();
    assert!(matches!(&error, ProbeError::Call(CallError::Unknown(_))), "{error}");
    // Its host, and no more: an address may have a signature in it.
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1") && !text.contains("127.0.0.1/") && !text.contains("http:"),
        "{error}"
    );
}
