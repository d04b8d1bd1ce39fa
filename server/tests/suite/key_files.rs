//! Keys in every spelling, with every algorithm. Those in server/tests/keys are of OpenSSL, and for these tests alone.

use std::time::Duration;

use axum::http::Request;
use serde_json::{Value, json};
use streamkit_server_core::{AccessError, Algorithm, Authenticate as _, Key, KeyError, Minting, TokenFault};

use crate::issuers::{public, read_key};

/// What a key makes of a token.
async fn fault(key: &Key, token: &str) -> Option<TokenFault> {
    let request = Request::get("/streamz").header("authorization", format!("Bearer {token}"));
    let (head, ()) = request.body(()).unwrap().into_parts();
    match key.authenticate(&head).await {
        Ok(_) => None,
        Err(AccessError::Unknown(fault)) => Some(fault),
        Err(other) => panic!("{other}"),
    }
}

fn parse(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Key, KeyError> {
    let mut keys = Key::parse(bytes, algorithms)?;
    assert_eq!(keys.len(), 1);
    Ok(keys.remove(0))
}

fn mint(key: &Key, algorithm: Algorithm) -> String {
    let minting = Minting {
        scopes: vec!["streamkit::*".to_owned()],
        ttl: Duration::from_secs(60),
        algorithm: Some(algorithm),
        ..Minting::default()
    };
    key.mint_token(&minting).unwrap()
}

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Files of one key, private ones and public ones, and what it is for.
const KINDS: &[(&[&str], &[&str], &[Algorithm])] = &[
    (
        &["rsa-pkcs1.pem", "rsa-pkcs8.pem", "rsa.jwk"],
        &["rsa-public.pem", "rsa-public-pkcs1.pem", "rsa-certificate.pem"],
        RSA,
    ),
    (
        &["p256-sec1.pem", "p256-pkcs8.pem", "p256.jwk"],
        &["p256-public.pem", "p256-certificate.pem"],
        &[Algorithm::ES256],
    ),
    (
        &["p384-sec1.pem", "p384-pkcs8.pem", "p384.jwk"],
        &["p384-public.pem"],
        &[Algorithm::ES384],
    ),
    (
        &["ed25519-pkcs8.pem", "ed25519.jwk"],
        &["ed25519-public.pem"],
        &[Algorithm::EdDSA],
    ),
];

#[tokio::test]
async fn a_token_of_every_private_spelling_is_right_for_every_public_one_and_for_no_other_key() {
    for (private, public_files, algorithms) in KINDS {
        let other = KINDS.iter().find(|(_, _, others)| others != algorithms).unwrap();
        let other = parse(&read_key(other.1[0]), RSA).unwrap();
        let mut checking: Vec<Key> = Vec::new();
        for file in private.iter().chain(*public_files) {
            checking.push(parse(&read_key(file), algorithms).unwrap_or_else(|why| panic!("{file} {why}")));
        }
        let jwk = public(private.last().unwrap());
        checking.push(parse(jwk.to_string().as_bytes(), algorithms).unwrap());
        for file in *private {
            let key = parse(&read_key(file), algorithms).unwrap();
            assert!(
                key.can_sign() && key.algorithms().eq(algorithms.iter().copied()),
                "{key:?}"
            );
            for algorithm in *algorithms {
                let token = mint(&key, *algorithm);
                for check in &checking {
                    assert_eq!(fault(check, &token).await, None, "{file} {algorithm}");
                }
                assert_eq!(
                    fault(&other, &token).await,
                    Some(TokenFault::Algorithm),
                    "{file} {algorithm}"
                );
            }
        }
        for key in &checking[private.len()..] {
            assert!(!key.can_sign() && key.mint(&[], Duration::ZERO).is_err(), "{key:?}");
        }
    }
}

#[tokio::test]
async fn tokens_of_another_library_are_right_and_it_believes_ours() {
    use jsonwebtoken::{DecodingKey, EncodingKey, Validation};
    let pem = |file: &str| read_key(file);
    let secret = [0xf7; 64];
    let rsa = (
        EncodingKey::from_rsa_pem(&pem("rsa-pkcs8.pem")).unwrap(),
        DecodingKey::from_rsa_pem(&pem("rsa-public.pem")).unwrap(),
    );
    let ec = |curve: &str| {
        (
            EncodingKey::from_ec_pem(&pem(&format!("{curve}-pkcs8.pem"))).unwrap(),
            DecodingKey::from_ec_pem(&pem(&format!("{curve}-public.pem"))).unwrap(),
        )
    };
    let ed = (
        EncodingKey::from_ed_pem(&pem("ed25519-pkcs8.pem")).unwrap(),
        DecodingKey::from_ed_pem(&pem("ed25519-public.pem")).unwrap(),
    );
    let (p256, p384) = (ec("p256"), ec("p384"));
    let hmac = (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret));
    for algorithm in Algorithm::ALL {
        let (theirs, ours) = match algorithm.name() {
            "ES256" => (&p256, pem("p256-pkcs8.pem")),
            "ES384" => (&p384, pem("p384-pkcs8.pem")),
            "EdDSA" => (&ed, pem("ed25519-pkcs8.pem")),
            name if name.starts_with("HS") => (&hmac, secret.to_vec()),
            _ => (&rsa, pem("rsa-pkcs8.pem")),
        };
        let ours = parse(&ours, &[algorithm]).unwrap();
        let header = jsonwebtoken::Header::new(algorithm.name().parse().unwrap());
        let claims = json!({"exp": 4_102_444_800_u64, "scopes": ["streamkit::*"]});
        let token = jsonwebtoken::encode(&header, &claims, &theirs.0).unwrap();
        assert_eq!(fault(&ours, &token).await, None, "{algorithm}");
        let rules = Validation::new(algorithm.name().parse().unwrap());
        let token = mint(&ours, algorithm);
        let read = jsonwebtoken::decode::<Value>(&token, &theirs.1, &rules).unwrap();
        assert_eq!(read.claims["scopes"], json!(["streamkit::*"]), "{algorithm}");
    }
}

#[test]
fn a_key_that_is_weak_locked_doubled_or_of_another_kind_is_refused_with_the_reason() {
    let twice = [read_key("rsa-public.pem"), read_key("p256-public.pem")].concat();
    let cut = read_key("rsa-public.pem")[..200].to_vec();
    for (bytes, why) in [
        (read_key("rsa-1024-public.pem"), "1024 bits"),
        (read_key("rsa-2047-public.pem"), "2047 bits"),
        (read_key("encrypted-pkcs8.pem"), "encrypted"),
        (read_key("encrypted-pkcs1.pem"), "encrypted"),
        (read_key("p521-public.pem"), "signs no tokens"),
        (read_key("p521-pkcs8.pem"), "signs no tokens"),
        (twice, "more than one"),
        (cut, "cut off"),
        (
            b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n".to_vec(),
            "damaged",
        ),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_vec(),
            "signs no tokens",
        ),
        (
            b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n".to_vec(),
            "no key for tokens",
        ),
        (b"{}".to_vec(), "no JSON Web Key"),
        (b"{\"keys\":[]}".to_vec(), "no key that can check"),
        (b"{\"kty\":\"oct\",\"k\":\"AAAA\"}".to_vec(), "3 bytes"),
        (vec![b'k'; (64 << 10) + 1], "too large"),
    ] {
        let refused = Key::parse(&bytes, RSA)
            .err()
            .or(Key::parse(&bytes, &Algorithm::UNSAID).err());
        let refused = refused.unwrap_or_else(|| panic!("taken, though {why}")).to_string();
        let strict = Key::parse(&bytes, &Algorithm::UNSAID).unwrap_err().to_string();
        assert!(
            refused.contains(why) || strict.contains(why),
            "{refused} {strict} {why}"
        );
    }
}

#[test]
fn no_public_key_becomes_a_secret_whatever_it_has_lost() {
    use base64::Engine as _;
    let hmac = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    for file in [
        "rsa-public.pem",
        "rsa-public-pkcs1.pem",
        "rsa-certificate.pem",
        "p256-public.pem",
        "ed25519-public.pem",
        "rsa-pkcs8.pem",
    ] {
        let pem = String::from_utf8(read_key(file)).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(&body).unwrap();
        let spellings: [(&str, Vec<u8>); 6] = [
            ("as it is", pem.clone().into_bytes()),
            (
                "with a text before",
                format!("a secret of thirty-two bytes or more\n{pem}").into_bytes(),
            ),
            (
                "without its last line",
                pem.trim_end().rsplit_once('\n').unwrap().0.as_bytes().to_vec(),
            ),
            ("as one line of base64", body.clone().into_bytes()),
            ("the same with a line end", format!("{body}\r\n").into_bytes()),
            ("as DER", der),
        ];
        for (how, bytes) in spellings {
            // A curve says what it is for; nothing else may come of it.
            let taken = Key::parse(&bytes, &hmac).unwrap_or_default();
            let algorithms: Vec<_> = taken.iter().flat_map(Key::algorithms).collect();
            assert!(
                algorithms.iter().all(|algorithm| !hmac.contains(algorithm)),
                "{file} {how}"
            );
        }
    }
    for line in [
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ me@here",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me",
    ] {
        assert!(Key::parse(line.as_bytes(), &hmac).is_err(), "{line}");
    }
    let listed = format!("[{}]", public("rsa.jwk"));
    assert!(Key::parse(listed.as_bytes(), &hmac).is_err());
}

#[tokio::test]
async fn a_short_secret_counts_once_it_is_filled_up_and_stays_the_same_key() {
    // As the Go system signs it.
    let short = b"top-secret";
    let claims = json!({"exp": 4_102_444_800_u64, "scopes": ["streamkit::*"]});
    let sign = |name: &str| {
        let header = jsonwebtoken::Header::new(name.parse().unwrap());
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(short)).unwrap()
    };
    let refused = Key::parse(short, &Algorithm::UNSAID).unwrap_err().to_string();
    assert!(refused.contains("truncate -s 32 FILE"), "{refused}");
    for (algorithm, bytes) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        let mut file = short.to_vec();
        file.resize(bytes, 0);
        let key = parse(&file, &[algorithm]).unwrap();
        assert_eq!(fault(&key, &sign(algorithm.name())).await, None, "{algorithm}");
        file.pop();
        assert!(matches!(parse(&file, &[algorithm]), Err(KeyError::TooShort { least, .. }) if least == bytes));
    }
    let golden = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInNjb3BlcyI6WyJzdHJlYW1raXQ6OioiXSwidGVuYW50X2lkIjoiM\
                  mMxZDFlMGEtNWQwYy00ZjZlLTliOWUtMGU4YTZiMWY3YzU1In0.8welK20bevlK-eTsmtbmnB77ezVfH6cDXP2Qzqkoxts";
    let mut file = short.to_vec();
    file.resize(32, 0);
    assert_eq!(fault(&parse(&file, &Algorithm::UNSAID).unwrap(), golden).await, None);
}

#[tokio::test]
async fn a_secret_is_for_hs256_unless_more_is_said_and_a_token_chooses_nothing_else() {
    let secret = [b's'; 64];
    let (narrow, wide) = (
        parse(&secret, &Algorithm::UNSAID).unwrap(),
        parse(&secret, &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]).unwrap(),
    );
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = mint(&wide, algorithm);
        assert_eq!(fault(&wide, &token).await, None);
        assert_eq!(fault(&narrow, &token).await, Some(TokenFault::Algorithm));
    }
    let rsa = parse(&read_key("rsa-pkcs8.pem"), RSA).unwrap();
    let narrow = parse(&read_key("rsa-public.pem"), &Algorithm::UNSAID).unwrap();
    assert_eq!(
        fault(&narrow, &mint(&rsa, Algorithm::PS256)).await,
        Some(TokenFault::Algorithm)
    );
    assert!(Key::parse(&read_key("rsa-public.pem"), &[Algorithm::HS256]).is_err());
}

#[tokio::test]
async fn what_a_json_web_key_says_of_itself_holds() {
    let with = |file: &str, more: Value| {
        let mut jwk: Value = serde_json::from_slice(&read_key(file)).unwrap();
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        parse(jwk.to_string().as_bytes(), &Algorithm::UNSAID)
    };
    for (file, more) in [
        ("rsa.jwk", json!({"use": "enc"})),
        ("rsa.jwk", json!({"key_ops": ["encrypt"]})),
        ("rsa.jwk", json!({"key_ops": []})),
        ("rsa.jwk", json!({"alg": "RSA-OAEP"})),
        ("rsa.jwk", json!({"alg": "ES256"})),
        ("rsa.jwk", json!({"alg": "HS256"})),
        ("rsa.jwk", json!({"alg": "none"})),
        ("rsa.jwk", json!({"alg": 5})),
        ("rsa.jwk", json!({"n": "AQAB"})),
        ("rsa.jwk", json!({"n": ""})),
        ("rsa.jwk", json!({"q": "AQAB"})),
        ("rsa.jwk", json!({"e": "AA"})),
        ("p256.jwk", json!({"crv": "P-384"})),
        ("p256.jwk", json!({"x": "AQAB"})),
        ("p256.jwk", json!({"d": "AQAB"})),
        ("p256.jwk", json!({"y": "A".repeat(43)})),
        ("ed25519.jwk", json!({"x": "AQAB"})),
        ("ed25519.jwk", json!({"x": "A".repeat(43)})),
        ("ed25519.jwk", json!({"kty": "oct"})),
    ] {
        assert!(with(file, more.clone()).is_err(), "{file} {more}");
    }
    let checking = with("rsa.jwk", json!({"key_ops": ["verify"], "alg": "PS384", "use": "sig"})).unwrap();
    assert!(!checking.can_sign() && checking.algorithms().eq([Algorithm::PS384]));
    let signing = with("rsa.jwk", json!({"key_ops": ["sign"], "alg": "PS384"})).unwrap();
    let token = signing
        .mint(&["streamkit::*".to_owned()], Duration::from_secs(60))
        .unwrap();
    assert_eq!(fault(&checking, &token).await, None);
    let other = with("rsa.jwk", json!({"alg": "PS384", "kid": "other"})).unwrap();
    assert_eq!(fault(&other, &token).await, Some(TokenFault::KeyId));
    let octets = json!({"kty": "oct", "k": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "key_ops": ["verify"]});
    let octets = parse(octets.to_string().as_bytes(), &Algorithm::UNSAID).unwrap();
    assert!(!octets.can_sign());
    let token = mint(&Key::hs256(&[b'A'; 32]).unwrap(), Algorithm::HS256);
    assert_eq!(fault(&octets, &token).await, None);
}

#[tokio::test]
async fn tokens_that_are_none_are_refused_for_what_they_are() {
    use base64::Engine as _;
    let part = |json: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
    let key = Key::hs256(&[b'a'; 32]).unwrap();
    let good = key.mint(&["streamkit::*".to_owned()], Duration::from_secs(60)).unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let claims = signed.split_once('.').unwrap().1;
    assert_eq!(fault(&key, &good).await, None);
    let header = |json: Value| format!("{}.{claims}.{signature}", part(json));
    for (token, why) in [
        (String::new(), TokenFault::Malformed),
        ("garbage".to_owned(), TokenFault::Malformed),
        ("..".to_owned(), TokenFault::Malformed),
        (signed.to_owned(), TokenFault::Malformed),
        (format!("{good}."), TokenFault::Malformed),
        (format!("{good}="), TokenFault::Malformed),
        (format!("{good}.{signature}"), TokenFault::Malformed),
        (format!(" {good}"), TokenFault::Malformed),
        (format!("{signed}."), TokenFault::Signature),
        (format!("{signed}.{}", "A".repeat(43)), TokenFault::Signature),
        ("a".repeat(20_000), TokenFault::Malformed),
        (header(json!({"alg": "none"})), TokenFault::Algorithm),
        (header(json!({"alg": "hs256"})), TokenFault::Algorithm),
        (header(json!({"alg": "RS256"})), TokenFault::Algorithm),
        (header(json!({"alg": ["HS256"]})), TokenFault::Malformed),
        (header(json!({})), TokenFault::Malformed),
        (header(json!({"alg": "HS256", "crit": ["exp"]})), TokenFault::Malformed),
        (header(json!({"alg": "HS256", "crit": []})), TokenFault::Malformed),
        (header(json!({"alg": "HS256", "kid": 1})), TokenFault::Malformed),
        (header(json!({"alg": "HS256"})), TokenFault::Signature),
        (
            format!("{}.{claims}.", part(json!({"alg": "none"}))),
            TokenFault::Algorithm,
        ),
    ] {
        assert_eq!(fault(&key, &token).await, Some(why), "{token}");
    }
    // Other bits behind the last byte would be a second spelling of the same token.
    let mut last = good.clone().into_bytes();
    let end = last.last_mut().unwrap();
    *end = if *end == b'A' { b'B' } else { *end + 1 };
    assert!(fault(&key, &String::from_utf8(last).unwrap()).await.is_some());
}
