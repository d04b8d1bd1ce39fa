//! Each kind of credential opens the emulator, and a wrong one is told without being shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Value, json};
use streamkit_azure::account::table::Write;
use streamkit_azure::account::{
    Account, AccountKey, AccountSettings, CallError, Conditional, Credential, Endpoints, Plaintext, Sas, Secret,
    SettingsError,
};

use crate::emulator::{ACCOUNT, Emulator, KEY};
use crate::support::{OnEmulator, key, number, settings};

/// A signature of the account for tables and blobs.
fn sas() -> String {
    let (expiry, version) = ("2100-01-01T00:00:00Z", "2020-12-06");
    let text = format!("{ACCOUNT}\nrwdlacu\nbt\nsco\n\n{expiry}\n\nhttps,http\n{version}\n\n");
    let own = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
    let signature = STANDARD.encode(hmac::sign(&own, text.as_bytes()));
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv={version}&ss=bt&srt=sco&sp=rwdlacu&se=2100-01-01T00%3A00%3A00Z&spr=https,http&sig={signature}")
}

#[tokio::test]
async fn a_shared_access_signature_opens_tables_and_blobs() {
    let on = OnEmulator::new().await;
    let signature = Sas::new(Secret::new(sas())).unwrap();
    let own = AccountSettings {
        credential: Credential::Sas(signature),
        ..settings(on.emulator.blobs, on.emulator.tables)
    };
    Account::new(&own).unwrap().probe().await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_or_signature_is_denied_and_not_shown() {
    let on = OnEmulator::new().await;
    let wrong = "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc=";
    let other_key = AccountKey::new(&Secret::new(wrong.to_owned())).unwrap();
    let other_sas = sas().replace("sig=", "sig=s3cr3t");
    let other_sas = Sas::new(Secret::new(other_sas)).unwrap();
    for credential in [Credential::Key(other_key), Credential::Sas(other_sas)] {
        let own = AccountSettings {
            credential,
            ..settings(on.emulator.blobs, on.emulator.tables)
        };
        let account = Account::new(&own).unwrap();
        let error = account.table().get(&key("p"), &key("r")).await.unwrap_err();
        assert!(matches!(error, CallError::Denied(_)), "{error}");
        let blob = account.blobs().get("b").await.unwrap_err();
        assert!(matches!(blob, CallError::Denied(_)), "{blob}");
        let shown = format!("{error} {error:?} {blob:?} {own:?} {account:?}");
        assert!(
            !shown.contains("s3cr3t") && !shown.contains("sig=") && !shown.contains("d3Jv"),
            "{shown}"
        );
    }
}

/// Gives tokens as Entra ID would, of which the emulator looks at what they claim.
#[derive(Debug, Default)]
struct Tokens {
    given: AtomicU32,
    fails: bool,
}

#[async_trait]
impl TokenCredential for Tokens {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://storage.azure.com/.default"]);
        self.given.fetch_add(1, Ordering::SeqCst);
        if self.fails {
            let kind = azure_core::error::ErrorKind::Io;
            return Err(azure_core::Error::with_message(kind, "nobody is logged in"));
        }
        let until = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        Ok(AccessToken::new(token(), until))
    }
}

/// A token as Entra ID gives it, but for the signature.
pub fn token() -> String {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({
        "aud": "https://storage.azure.com", "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
        "nbf": now - 60, "iat": now - 60, "exp": now + 3600,
    });
    format!("{}.{}.x", part(json!({"alg": "none", "typ": "JWT"})), part(claims))
}

/// An emulator with TLS, and what to trust for that.
pub fn with_tls() -> (Emulator, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, secret) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&secret, made.signing_key.serialize_pem()).unwrap();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let emulator = Emulator::start(&["--oauth", "basic", "--cert", &text(&cert), "--key", &text(&secret)]);
    (emulator, made.cert.pem().into_bytes())
}

#[tokio::test]
async fn tokens_and_keys_open_blobs_over_tls_and_are_asked_for_once() {
    let (emulator, trusted) = with_tls();
    let address = |port| format!("https://127.0.0.1:{port}/{ACCOUNT}").parse().unwrap();
    let plain = settings(emulator.blobs, emulator.tables);
    let own = AccountSettings {
        endpoints: Endpoints {
            account: ACCOUNT.to_owned(),
            blobs: address(emulator.blobs),
            tables: address(emulator.tables),
        },
        plaintext: Plaintext::Refused,
        trusted: Some(trusted),
        ..plain
    };
    Account::new(&own).unwrap().probe().await.unwrap();

    let tokens = Arc::new(Tokens::default());
    let with_tokens = |tokens: &Arc<Tokens>| AccountSettings {
        credential: Credential::Tokens(Arc::clone(tokens) as Arc<dyn TokenCredential>),
        ..own.clone()
    };
    let account = Account::new(&with_tokens(&tokens)).unwrap();
    let blobs = account.blobs();
    for name in ["a", "b", "c"] {
        assert_eq!(
            blobs.put(name, Bytes::from_static(b"x")).await,
            Ok(Conditional::Applied(()))
        );
        assert_eq!(blobs.get(name).await, Ok(Some(Bytes::from_static(b"x"))));
    }
    assert_eq!(tokens.given.load(Ordering::SeqCst), 1);

    let none = Arc::new(Tokens {
        fails: true,
        ..Tokens::default()
    });
    let account = Account::new(&with_tokens(&none)).unwrap();
    let error = account.blobs().get("a").await.unwrap_err();
    assert!(
        matches!(&error, CallError::Denied(why) if why.contains("nobody is logged in")),
        "{error}"
    );
    let write = Write::Insert(key("r"), number(1));
    let error = account.table().write(&key("p"), &write).await.unwrap_err();
    assert!(matches!(&error, CallError::Denied(_)), "{error}");

    // A certificate that nobody trusts.
    let untrusted = AccountSettings { trusted: None, ..own };
    let error = Account::new(&untrusted).unwrap().blobs().get("a").await.unwrap_err();
    assert!(
        matches!(&error, CallError::Unknown(why) if why.contains("certificate")),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_never_goes_without_tls() {
    let on = OnEmulator::new().await;
    let tokens = Arc::new(Tokens::default());
    let own = AccountSettings {
        credential: Credential::Tokens(Arc::clone(&tokens) as Arc<dyn TokenCredential>),
        ..settings(on.emulator.blobs, on.emulator.tables)
    };
    assert!(matches!(Account::new(&own), Err(SettingsError::PlaintextToken(_))));
    let no_pem = AccountSettings {
        trusted: Some(b"no certificate".to_vec()),
        ..settings(on.emulator.blobs, on.emulator.tables)
    };
    assert!(matches!(Account::new(&no_pem), Err(SettingsError::Http(_))));
}
