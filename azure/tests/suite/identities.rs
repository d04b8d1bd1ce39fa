//! Identities of Entra ID, each from where it really comes from, as far as that can stand on this machine: a process of its own has the
//! environment of an app in Azure, and a program `az`.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;
use streamkit_azure::account::{
    Account, AccountSettings, Conditional, Credential, Endpoints, Identity, Plaintext, SettingsError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::credentials::{token, with_tls};
use crate::emulator::ACCOUNT;
use crate::support::settings;

/// Where the process finds the emulator's ports, and what to trust.
const PORTS: &str = "STREAMKIT_TEST_PORTS";
const TRUSTED: &str = "STREAMKIT_TEST_TRUSTED";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";

#[tokio::test]
async fn tokens_come_from_a_managed_identity_and_from_the_command_line() {
    let (emulator, trusted) = with_tls();
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("trusted.pem");
    std::fs::write(&pem, trusted).unwrap();
    let expires = azure_core::time::OffsetDateTime::now_utc().unix_timestamp() + 3600;
    let printed = json!({"accessToken": token(), "expires_on": expires, "tokenType": "Bearer"});
    let az = folder.path().join("az");
    std::fs::write(&az, format!("#!/bin/sh\ncat <<'END'\n{printed}\nEND\n")).unwrap();
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o700)).unwrap();

    // The endpoint that Azure gives to each app.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/msi/token", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let answer = json!({
        "access_token": token(), "expires_on": expires.to_string(), "resource": "https://storage.azure.com", "token_type": "Bearer",
    });
    let answer = answer.to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && client.read_buf(&mut request).await.unwrap() > 0 {}
            seen.lock().unwrap().push(String::from_utf8(request).unwrap());
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            client.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
        }
    });

    let path = std::env::var("PATH").unwrap();
    let done = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "identities::in_an_app_of_azure", "--ignored", "--nocapture"])
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env("IDENTITY_ENDPOINT", endpoint)
        .env("IDENTITY_HEADER", "s3cr3t")
        .env(PORTS, format!("{} {}", emulator.blobs, emulator.tables))
        .env(TRUSTED, pem)
        .env_remove("AZURE_TENANT_ID")
        .output()
        .await
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "once for each identity: {asked:?}");
    assert!(
        asked
            .iter()
            .all(|asked| asked.contains("resource=https%3A%2F%2Fstorage.azure.com")),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.to_lowercase().contains("x-identity-header: s3cr3t")),
        "{asked:?}"
    );
    assert!(
        !asked[0].contains("client_id") && asked[1].contains(CLIENT),
        "{asked:?}"
    );
}

#[tokio::test]
#[ignore = "the test above runs it, in a process with an environment for it"]
async fn in_an_app_of_azure() {
    let ports = std::env::var(PORTS).expect("the test above sets it");
    let (blobs, tables) = ports.split_once(' ').unwrap();
    let address = |port: &str| format!("https://127.0.0.1:{port}/{ACCOUNT}").parse().unwrap();
    for identity in [
        Identity::Managed { client_id: None },
        Identity::Managed {
            client_id: Some(CLIENT.to_owned()),
        },
        Identity::Cli,
    ] {
        let own = AccountSettings {
            endpoints: Endpoints {
                account: ACCOUNT.to_owned(),
                blobs: address(blobs),
                tables: address(tables),
            },
            credential: Credential::of_identity(&identity).unwrap(),
            plaintext: Plaintext::Refused,
            trusted: Some(std::fs::read(std::env::var(TRUSTED).unwrap()).unwrap()),
            ..settings(9, 9)
        };
        let account = Account::new(&own).unwrap();
        account.blobs().create().await.unwrap();
        for name in ["a", "b"] {
            let put = account.blobs().put(name, Bytes::from_static(b"x")).await;
            assert_eq!(put, Ok(Conditional::Applied(())), "{identity:?}");
        }
    }
    let error = Credential::of_identity(&Identity::Workload).unwrap_err();
    assert!(
        matches!(&error, SettingsError::Identity { why, .. } if why.contains("tenant")),
        "{error}"
    );
}
