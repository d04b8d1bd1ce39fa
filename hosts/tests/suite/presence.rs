//! Presence in a table of a real emulator. On several threads: whoever stops the emulator waits for it, and it waits for our connections.

use std::sync::Arc;

use streamkit_azure::account::{Account, AccountSettings, Plaintext, Secret};
use streamkit_hosts::host::{Host, HostId};
use streamkit_hosts::presence::{HOSTS_MAX, Presence, Register, TableRegister};
use uuid::Uuid;

use crate::emulator::{ACCOUNT, Emulator, KEY};

struct OnEmulator {
    register: Arc<TableRegister>,
    account: Account,
    _emulator: Arc<Emulator>,
}

async fn on_emulator() -> OnEmulator {
    let emulator = Emulator::shared();
    let (blobs, tables) = (emulator.blobs, emulator.tables);
    let text = format!(
        "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{blobs}/{ACCOUNT};\
         TableEndpoint=http://127.0.0.1:{tables}/{ACCOUNT};"
    );
    let settings = AccountSettings {
        plaintext: Plaintext::ToEmulator,
        table_deadline: std::time::Duration::from_secs(60),
        table: format!("t{}", Uuid::new_v4().simple()),
        ..AccountSettings::from_connection_string(&Secret::new(text)).unwrap()
    };
    let account = Account::new(&settings).unwrap();
    account.table().create().await.unwrap();
    OnEmulator {
        register: Arc::new(TableRegister::new(account.table().clone())),
        account,
        _emulator: emulator,
    }
}

fn host(n: u128) -> Host {
    Host::new(
        HostId(Uuid::from_u128(n)),
        Uuid::new_v4(),
        &format!("ws://10.0.0.{n}:7400"),
        "0.1.0",
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_written_again_and_again_read_by_others_and_removed_by_its_version_alone() {
    let on = on_emulator().await;
    let (one, two) = (host(1), host(2));
    assert_eq!(on.register.read(HOSTS_MAX).await.unwrap(), []);
    on.register.remove(one.id, None).await.unwrap();
    for sequence in 1..=3 {
        on.register.write(&one, sequence).await.unwrap();
    }
    on.register.write(&two, 1).await.unwrap();
    let rows = on.register.read(HOSTS_MAX).await.unwrap();
    let read: Vec<(&Host, u64)> = rows.iter().map(|row| (&row.host, row.sequence)).collect();
    assert_eq!(read, [(&one, 3), (&two, 1)]);
    assert_eq!(on.register.read(1).await.unwrap().len(), 1);

    let before = rows[0].version.clone();
    on.register.write(&one, 4).await.unwrap();
    on.register.remove(one.id, Some(&before)).await.unwrap();
    let rows = on.register.read(HOSTS_MAX).await.unwrap();
    assert_eq!(rows.len(), 2, "it was written since");
    assert_ne!(rows[0].version, before);
    on.register.remove(one.id, Some(&rows[0].version)).await.unwrap();
    on.register.remove(two.id, None).await.unwrap();
    assert_eq!(on.register.read(HOSTS_MAX).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_row_of_a_host_is_left_out() {
    use streamkit_azure::account::table::{Cell, TableKey, Write};
    let on = on_emulator().await;
    on.register.write(&host(1), 1).await.unwrap();
    let partition = TableKey::new("hosts").unwrap();
    for key in ["0a", "00000000000000000000000000000005"] {
        let cells = [("sequence".to_owned(), Cell::Number(1))].into();
        let write = Write::Insert(TableKey::new(key).unwrap(), cells);
        on.account.table().write(&partition, &write).await.unwrap();
    }
    let rows = on.register.read(HOSTS_MAX).await.unwrap();
    assert_eq!(rows.len(), 1);
}

/// Waits until a host knows exactly these others.
async fn knows(presence: &Presence, others: &[HostId]) {
    let mut known = presence.others();
    let are = |hosts: &Arc<[Host]>| hosts.iter().map(|host| host.id).eq(others.iter().copied());
    known.wait_for(are).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hosts_see_each_other_one_leaves_and_one_dies() {
    let on = on_emulator().await;
    let hosts = [host(1), host(2), host(3)];
    let ids = [hosts[0].id, hosts[1].id, hosts[2].id];
    // What a host left that died long ago.
    on.register.write(&host(9), 7).await.unwrap();
    let [one, two, three] = hosts.map(|host| Presence::begin(on.register.clone(), host));
    knows(&one, &[ids[1], ids[2]]).await;
    knows(&two, &[ids[0], ids[2]]).await;
    three.leave().await;
    let rows = on.register.read(HOSTS_MAX).await.unwrap();
    assert!(rows.iter().all(|row| row.host.id != ids[2]), "it removed its own row");
    knows(&one, &[ids[1]]).await;
    // A host that hangs, or is killed, removes nothing: its row stays as it was.
    two.leave().await;
    knows(&one, &[]).await;
    // It comes back. No call is given up half-way: the emulator would wait for it when it is to stop.
    let (again, known) = (host(2), one.others());
    for sequence in 1.. {
        on.register.write(&again, sequence).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if known.borrow().iter().any(|host| host.boot == again.boot) {
            break;
        }
    }
    knows(&one, &[]).await;
    one.leave().await;
}
