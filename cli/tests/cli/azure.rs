//! `azure`: an account on a real emulator, from its first table to damage in a store.

use std::process::{Command, Output};
use std::sync::Arc;

use bytes::Bytes;
use streamkit_azure::account::table::{Cell, Condition, TableKey, Write};
use streamkit_azure::account::{Account, AccountSettings, Plaintext, Secret};
use streamkit_azure::log::{Boot, Group, GroupBody, GroupId, StoreRoot, first_slot};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{ExtentId, Medium as _, SlotBefore, SlotNumber, Swapped};
use streamkit_engine::format::transaction::Encoded;
use streamkit_engine::{Record, SegmentPath, Sequence, StoreId, Timestamp, Transaction};
use uuid::Uuid;

use crate::emulator::{ACCOUNT, Emulator, KEY};
use crate::program::*;

/// An account on the emulator, with a table and a container of its own that nobody has made yet.
pub struct OnEmulator {
    emulator: Arc<Emulator>,
    /// Of its table, and of its container.
    pub name: String,
}

impl OnEmulator {
    pub fn new() -> Self {
        Self {
            emulator: Emulator::shared(),
            name: format!("t{}", Uuid::new_v4().simple()),
        }
    }

    pub fn connection_string(&self) -> String {
        let Emulator { blobs, tables, .. } = &*self.emulator;
        format!(
            "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{blobs}/{ACCOUNT};\
             TableEndpoint=http://127.0.0.1:{tables}/{ACCOUNT};"
        )
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = streamkit();
        command.arg("azure").args(arguments);
        command.args([
            "--azure-allow-http",
            "--azure-table",
            &self.name,
            "--azure-container",
            &self.name,
        ]);
        command.args(["--azure-table-deadline", "60s"]);
        command.env("AZURE_STORAGE_CONNECTION_STRING", self.connection_string());
        command
    }

    /// Runs a command that may say nothing of the key.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let done = self.command(arguments).output().unwrap();
        for said in [&done.stdout, &done.stderr] {
            assert!(!text(said).contains(&KEY[..20]), "{arguments:?} tells the key");
        }
        done
    }

    pub fn line(&self, arguments: &[&str]) -> serde_json::Value {
        let done = self.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        lines(&done.stdout).remove(0)
    }

    /// Takes a slot out of the only extent of a store.
    pub fn take_slot(&self, store: Uuid, slot: u64) {
        let extent = self.account().table().clone();
        let behind = async move { extent.partition_behind(Some(&key(store))).await.unwrap().unwrap() };
        let extent = tokio::runtime::Runtime::new().unwrap().block_on(behind);
        self.take(&extent, &format!("s{slot:020}"));
    }

    pub fn take_root(&self, store: Uuid) {
        self.take(&key(store), "root");
    }

    fn take(&self, partition: &TableKey, row: &str) {
        let account = self.account();
        let delete = Write::Delete(TableKey::new(row).unwrap(), Condition::Exists);
        let taken = account.table().write(partition, &delete);
        tokio::runtime::Runtime::new().unwrap().block_on(taken).unwrap();
    }

    fn account(&self) -> Arc<Account> {
        let secret = Secret::new(self.connection_string());
        let settings = AccountSettings {
            plaintext: Plaintext::ToEmulator,
            table: self.name.clone(),
            container: self.name.clone(),
            ..AccountSettings::from_connection_string(&secret).unwrap()
        };
        Arc::new(Account::new(&settings).unwrap())
    }
}

/// The partition of a store's root.
fn key(store: Uuid) -> TableKey {
    TableKey::new(store.to_string()).unwrap()
}

/// A store of one extent with two groups of one transaction each.
async fn lay_out(account: Arc<Account>, store: Uuid, first_numbers: [u64; 2]) -> ExtentId {
    let medium = AzureMedium::new(account, StoreId(store));
    let extent = ExtentId(Uuid::new_v4());
    let by = Boot {
        host: Uuid::from_u128(1),
        boot: Uuid::from_u128(2),
    };
    medium.create_extent(extent, first_slot(by)).await.unwrap();
    let mut last = None;
    for (number, (slot, transaction)) in (1..).zip((1..).zip(first_numbers)) {
        let time = Timestamp(1_000 * number as i64);
        let path = SegmentPath::new("orders", "a").unwrap();
        let appended = Transaction::single(path, Sequence(number), vec![Record::new("x")]);
        let body = Encoded::data(&appended).commit(transaction, time).to_vec();
        let id = GroupId { by, number };
        let group = Group {
            id,
            extent,
            slot: SlotNumber(slot),
            predecessor: last,
            time,
            seal: None,
            body: GroupBody::Inline(body.into()),
        };
        medium
            .insert_at(extent, group.slot, group.encode(), SlotBefore::Known)
            .await
            .unwrap();
        last = Some(id);
    }
    let root = StoreRoot::first(Uuid::new_v4(), extent).encode();
    assert!(matches!(medium.swap_root(None, root).await.unwrap(), Swapped::Done(_)));
    extent
}

fn tokio(work: impl Future) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        work.await;
    });
}

#[test]
fn an_account_is_made_ready_and_its_stores_are_listed_described_checked_and_reckoned() {
    let on = OnEmulator::new();
    let early = on.run(&["status"]);
    assert_eq!(early.status.code(), Some(1), "{}", text(&early.stderr));
    assert!(text(&early.stderr).contains("azure init"), "{}", text(&early.stderr));
    for _ in 0..2 {
        let ready = on.line(&["init"]);
        assert_eq!(
            (&ready["table"], &ready["fit"]),
            (&on.name.clone().into(), &true.into())
        );
    }
    assert!(on.run(&["status"]).stdout.is_empty());

    let (store, name) = (Uuid::new_v4(), |store: Uuid| store.to_string());
    let mut extent = None;
    tokio(async { extent = Some(lay_out(on.account(), store, [1, 2]).await) });
    let listed = on.line(&["status"]);
    assert_eq!(
        (&listed["store"], &listed["state"]),
        (&name(store).into(), &"there".into())
    );
    let stands = on.line(&["status", &name(store)]);
    assert_eq!(
        (&stands["live_groups"], &stands["history_extents"]),
        (&2.into(), &0.into())
    );
    assert_eq!(stands["hosts"][0]["groups"], 2);
    let whole = on.line(&["verify", &name(store)]);
    assert_eq!((&whole["transactions"], &whole["entries"]), (&2.into(), &2.into()));
    assert_eq!((&whole["damaged"], &whole["last_time"]), (&0.into(), &2000.into()));
    assert_eq!(whole["archived_files"], 0);
    let cost = on.line(&["cost", &name(store), "--price-table-gb", "0", "--groups", "1"]);
    assert_eq!(cost["sampled_groups"], 1);
    assert!(cost["monthly_cost"].as_f64().unwrap() >= 0.0 && !cost["assumed"][0].is_null());

    // A transaction is missing in another one.
    let other = Uuid::new_v4();
    tokio(async { _ = lay_out(on.account(), other, [1, 3]).await });
    let holed = on.run(&["verify", &name(other), "--json"]);
    assert_eq!(holed.status.code(), Some(6));
    assert!(
        text(&holed.stdout).contains("transaction 3 stands where 2"),
        "{}",
        text(&holed.stdout)
    );

    // A row is not what was written.
    tokio(async {
        let account = on.account();
        let key = |text: String| TableKey::new(text).unwrap();
        let partition = key(format!("{store}!{}", extent.unwrap()));
        let row = key(format!("s{:020}", 2));
        let mut cells = account.table().get(&partition, &row).await.unwrap().unwrap().cells;
        cells.insert("b00".to_owned(), Cell::Binary(Bytes::from_static(b"rot")));
        let write = Write::Replace(row, cells, Condition::Exists);
        account.table().write(&partition, &write).await.unwrap();
    });
    let rotten = on.run(&["verify", &name(store)]);
    assert_eq!(rotten.status.code(), Some(6), "{}", text(&rotten.stderr));
    let told = &lines(&rotten.stdout)[0];
    let place = told["damage"][0]["place"].as_str().unwrap();
    assert!(place.contains("extent 1") && place.contains("slot"), "{told}");
    let none = on.run(&["verify", &name(Uuid::new_v4())]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("azure status"), "{}", text(&none.stderr));
}

#[test]
fn a_probe_measures_and_leaves_nothing() {
    let on = OnEmulator::new();
    let done = on.run(&["probe", "--calls", "2", "--bytes", "65536"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let rows = lines(&done.stdout);
    assert!(rows.len() >= 8, "{rows:?}");
    for row in &rows {
        assert_eq!((&row["calls"], &row["failed"]), (&2.into(), &0.into()), "{row}");
        assert!(row["p50_ms"].as_f64() <= row["p99_ms"].as_f64(), "{row}");
    }
    assert!(on.run(&["status"]).stdout.is_empty());
}

#[test]
fn what_is_wrong_with_an_account_is_told_with_what_to_do_and_without_its_key() {
    let on = OnEmulator::new();
    let said = |command: &mut Command, code: i32, said: &str| {
        let done = command.output().unwrap();
        let told = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{told}");
        assert!(told.contains(said), "{told}");
        assert!(!told.contains("c2VjcmV0") && !told.contains("s3cr3t"), "{told}");
    };
    let bare = || {
        let mut command = streamkit();
        command.args(["azure", "status"]);
        command
    };
    said(&mut bare(), 2, "AZURE_STORAGE_CONNECTION_STRING");
    // Each way to open one.
    for way in [
        "managed",
        "workload",
        "cli",
        "key",
        "sas",
        "--azure-secret-file",
        "signature",
        "AZURE_STORAGE_CONNECTION_STRING",
    ] {
        for account in ["orders1", "https://orders1.blob.core.windows.net"] {
            said(bare().args(["--azure-account", account]), 2, way);
        }
    }
    said(
        bare().args(["--azure-account", "Orders_1", "--azure-credential", "cli"]),
        2,
        "name",
    );
    said(
        bare().args(["--azure-account", "orders1", "--azure-credential", "key"]),
        2,
        "--azure-secret-file",
    );
    let plain = "AccountName=a;AccountKey=c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==;BlobEndpoint=http://127.0.0.1:9/a;\
                 TableEndpoint=http://127.0.0.1:9/a";
    let of = |text: &str| {
        let mut command = bare();
        command.env("AZURE_STORAGE_CONNECTION_STRING", text);
        command
    };
    said(&mut of(plain), 2, "TLS");
    said(of(plain).arg("--azure-allow-http"), 5, "try again");
    said(&mut of("AccountKey=s3cr3t"), 2, "account key");
    said(
        bare().args(["--azure-connection-string", "s3cr3t"]),
        2,
        "connection string",
    );
    said(
        bare().args(["--azure-account", "http://s3cr3t@orders1.blob.core.windows.net"]),
        2,
        "",
    );
    // A key of another account.
    let other = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    let wrong = on.connection_string().replace(KEY, other);
    let mut denied = on.command(&["status"]);
    denied.env("AZURE_STORAGE_CONNECTION_STRING", wrong);
    said(&mut denied, 4, "credential");
    // The same key from a file, with the account's address.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "no key\n").unwrap();
    let with_file = |kind: &str| {
        let mut command = bare();
        command.args(["--azure-account", "orders1", "--azure-credential", kind]);
        command.arg("--azure-secret-file").arg(&file);
        command
    };
    said(&mut with_file("key"), 2, "account key");
    said(&mut with_file("sas"), 2, "signature");
    let help = text(
        &streamkit()
            .args(["azure", "status", "--help"])
            .env("STREAMKIT_AZURE_CONNECTION_STRING", plain)
            .output()
            .unwrap()
            .stdout,
    );
    assert!(
        help.contains("STREAMKIT_AZURE_CONNECTION_STRING") && !help.contains("c2VjcmV0"),
        "{help}"
    );
}

#[test]
fn the_fields_of_the_results_are_documented() {
    let on = OnEmulator::new();
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COMMANDS.md")).unwrap();
    let section = documented
        .split("\n## azure\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let mut results = vec![on.line(&["init"])];
    let store = Uuid::new_v4();
    tokio(async { _ = lay_out(on.account(), store, [1, 1]).await });
    let store = store.to_string();
    for arguments in [
        &["status"][..],
        &["status", &store],
        &["verify", &store],
        &["cost", &store],
    ] {
        results.extend(lines(&on.run(arguments).stdout));
    }
    results.extend(lines(&on.run(&["probe", "--calls", "1", "--bytes", "1024"]).stdout));
    fn fields(value: &serde_json::Value, all: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, value) in map {
                    all.push(name.clone());
                    fields(value, all);
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| fields(value, all)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    results.iter().for_each(|result| fields(result, &mut names));
    assert!(names.len() > 50);
    for name in names {
        assert!(section.contains(&format!("`{name}`")), "{name} is not documented");
    }
}
