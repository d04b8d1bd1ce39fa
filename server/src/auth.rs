//! Who may do what: bearer tokens signed with the server's key, and the scopes in them.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use streamkit_engine::StoreId;
use uuid::Uuid;

/// Shortest secret, in bytes: as long as the hash it keys.
const SECRET_BYTES_MIN: usize = 32;

/// Most bytes of a file that holds one.
const KEY_FILE_BYTES_MAX: usize = 64 << 10;

/// The key tokens are signed with. It fixes the algorithm; what a token says of itself is never asked.
#[derive(Clone)]
pub struct Key {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {0}: {1}")]
    Read(String, io::Error),
    /// It is a text that would be another secret than it seems, or no secret at all.
    #[error("the key file {0} {1}; write one with `openssl rand -hex 32`")]
    Unclear(String, &'static str),
    /// Too easy to guess.
    #[error("the key has {0} bytes; HS256 needs at least {SECRET_BYTES_MIN}: write one with `openssl rand -hex 32`")]
    TooShort(usize),
}

impl Key {
    /// HS256 with a raw secret.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::TooShort(secret.len()));
        }
        Ok(Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        })
    }

    /// HS256 with the secret in a file, less a byte order mark and one trailing line end (LF or CRLF), which editors add. A text
    /// with more lines or other control characters is refused; bytes that are no text are the secret as they are.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn hs256_file(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let bytes = read_up_to(path, KEY_FILE_BYTES_MAX).map_err(|error| KeyError::Read(name(), error))?;
        if bytes.len() > KEY_FILE_BYTES_MAX {
            return Err(KeyError::Unclear(name(), "is too large to be one"));
        }
        let secret = secret(&bytes).map_err(|why| KeyError::Unclear(name(), why))?;
        Self::hs256(secret)
    }

    /// Signs a token with these scopes that expires after `ttl`.
    ///
    /// # Errors
    /// What the signing library says.
    pub fn mint(&self, scopes: &[String], ttl: Duration) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Minted {
            exp: unix_seconds().saturating_add(ttl.as_secs()),
            scopes,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// The rights in a token; `None` if it is not ours, expired, or grants nothing. Which of these is not told to anyone.
    pub(crate) fn verify(&self, token: &str) -> Option<Access> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_aud = false;
        // The times are checked below: the library panics where the clock stands before 1970.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let token = jsonwebtoken::decode::<Claims>(token, &self.decoding, &rules).ok()?;
        if token.header.crit.is_some() {
            // It demands that extensions are understood, and we know none (RFC 7515, 4.1.11).
            return None;
        }
        let claims = token.claims;
        let now = unix_seconds() as f64;
        let is_ahead = |time: Option<f64>| time.is_some_and(|time| time > now);
        if is_ahead(claims.iat) || is_ahead(claims.nbf) {
            return None;
        }
        let left = Duration::try_from_secs_f64(claims.exp - now).ok();
        Some(Access {
            scopes: claims.scopes.parse()?,
            expires_in: left.filter(|left| !left.is_zero())?,
        })
    }
}

/// The first bytes of a file, and one more if there is more: it may be a device, which has no end.
fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The secret in a key file.
fn secret(bytes: &[u8]) -> Result<&[u8], &'static str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16, which other programs read as another secret");
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let line = bytes
        .strip_suffix(b"\n")
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let secret = line.unwrap_or(bytes);
    match std::str::from_utf8(secret) {
        Ok(text) if text.contains('\n') => Err("has more than one line"),
        Ok(text) if text.contains(char::is_control) => Err("has control characters in its line"),
        _ => Ok(secret),
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[derive(Serialize)]
struct Minted<'a> {
    exp: u64,
    scopes: &'a [String],
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
    #[serde(default)]
    scopes: ScopeClaim,
}

/// The claim as issuers write it: one text or a list of them. Either is then split at commas, without trimming.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    One(String),
    Many(Vec<serde_json::Value>),
}

impl Default for ScopeClaim {
    fn default() -> Self {
        ScopeClaim::Many(Vec::new())
    }
}

impl ScopeClaim {
    fn parse(&self) -> Option<Scopes> {
        let joined = match self {
            ScopeClaim::One(text) => text.clone(),
            ScopeClaim::Many(items) => {
                let texts = items.iter().map(|item| match item.as_str() {
                    Some(text) => text.to_owned(),
                    None => item.to_string(),
                });
                texts.collect::<Vec<_>>().join(",")
            }
        };
        Scopes::parse(joined.split(','))
    }
}

/// What a session may do, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// Which stores, and which verbs.
    pub scopes: Scopes,
    /// Time left when the token was checked.
    pub expires_in: Duration,
}

/// Reading and writing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rights {
    /// Peek, consume, lists, status.
    pub read: bool,
    /// Produce.
    pub write: bool,
}

impl Rights {
    fn or(self, other: Rights) -> Rights {
        Rights {
            read: self.read || other.read,
            write: self.write || other.write,
        }
    }
}

/// The stores a token opens: `streamkit::*` for all, `streamkit::{uuid}` for one; `:read` or `:write` at the end narrows it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Scopes {
    all: Rights,
    stores: BTreeMap<StoreId, Rights>,
}

impl Scopes {
    /// Reads scopes in order. `None` if nothing is granted, or if a malformed store scope stands before the one that
    /// grants everything: a token that was written wrongly is not half believed.
    pub fn parse<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut granted = Scopes::default();
        for scope in scopes {
            let Some(target) = scope.strip_prefix("streamkit::") else {
                continue;
            };
            let (target, rights) = match target.rsplit_once(':') {
                Some((target, "read")) => (
                    target,
                    Rights {
                        read: true,
                        write: false,
                    },
                ),
                Some((target, "write")) => (
                    target,
                    Rights {
                        read: false,
                        write: true,
                    },
                ),
                _ => (
                    target,
                    Rights {
                        read: true,
                        write: true,
                    },
                ),
            };
            if target == "*" {
                granted.all = granted.all.or(rights);
            } else {
                let store = StoreId(Uuid::parse_str(target).ok()?);
                let before = granted.stores.entry(store).or_default();
                *before = before.or(rights);
            }
            if granted.all.read && granted.all.write {
                break;
            }
        }
        let any = granted.all != Rights::default() || !granted.stores.is_empty();
        any.then_some(granted)
    }

    /// The rights on all stores, those that are not there yet among them.
    pub fn on_all(&self) -> Rights {
        self.all
    }

    /// The rights on one store.
    pub fn on(&self, store: StoreId) -> Rights {
        self.all.or(self.stores.get(&store).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10";

    fn store() -> StoreId {
        StoreId(ONE.parse().unwrap())
    }

    #[test]
    fn a_key_file_means_one_line_whatever_the_editor_added_and_nothing_else() {
        let key = b"a key of thirty-two bytes or more".as_slice();
        for (before, after) in [
            ("", ""),
            ("", "\n"),
            ("", "\r\n"),
            ("\u{feff}", ""),
            ("\u{feff}", "\r\n"),
        ] {
            let file = [before.as_bytes(), key, after.as_bytes()].concat();
            assert_eq!(secret(&file), Ok(key), "{before:?} {after:?}");
        }
        for after in ["\n\n", "\r\n\r\n", "\nanother", "\r", "\ttab", "\0"] {
            assert!(secret(&[key, after.as_bytes()].concat()).is_err(), "{after:?}");
        }
        assert!(secret(b"\xff\xfek\0e\0y\0").is_err());
        // Raw bytes are no text; whatever they are, they are the secret.
        assert_eq!(secret(b"\x80\x01\n\x02"), Ok(b"\x80\x01\n\x02".as_slice()));
    }

    #[test]
    fn a_file_that_is_too_large_for_a_key_is_never_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let refused = Key::hs256_file(&path).err().unwrap().to_string();
        assert!(
            refused.contains("too large") && refused.contains(&*path.to_string_lossy()),
            "{refused}"
        );
    }

    #[test]
    fn a_star_scope_opens_all_stores_and_a_store_scope_only_that_one() {
        let both = Rights {
            read: true,
            write: true,
        };
        let all = Scopes::parse(["streamkit::*"]).unwrap();
        assert_eq!((all.on(store()), all.on_all()), (both, both));
        let scope = format!("streamkit::{ONE}");
        let one = Scopes::parse([scope.as_str()]).unwrap();
        assert_eq!(one.on(store()), both);
        assert_eq!(one.on(StoreId(Uuid::from_u128(7))), Rights::default());
        assert_eq!(one.on_all(), Rights::default());
    }

    #[test]
    fn no_scope_a_bad_uuid_and_a_mix_of_good_and_malformed_grant_nothing() {
        let good = format!("streamkit::{ONE}");
        assert_eq!(Scopes::parse([]), None);
        assert_eq!(Scopes::parse(["other::*", " streamkit::*"]), None);
        assert_eq!(Scopes::parse(["streamkit::no-uuid"]), None);
        assert_eq!(Scopes::parse([good.as_str(), "streamkit::no-uuid"]), None);
        assert_eq!(Scopes::parse(["streamkit::no-uuid", "streamkit::*"]), None);
        assert!(Scopes::parse(["streamkit::*", "streamkit::no-uuid"]).is_some());
    }

    #[test]
    fn read_and_write_suffixes_narrow_a_scope() {
        let scope = format!("streamkit::{ONE}:write");
        let scopes = Scopes::parse(["streamkit::*:read", scope.as_str()]).unwrap();
        assert_eq!(
            scopes.on(store()),
            Rights {
                read: true,
                write: true
            }
        );
        assert_eq!(
            scopes.on(StoreId(Uuid::from_u128(7))),
            Rights {
                read: true,
                write: false
            }
        );
    }

    #[test]
    fn expired_unsigned_wrongly_signed_and_endless_tokens_are_refused() {
        let key = Key::hs256(&[b'a'; 32]).unwrap();
        let other = Key::hs256(&[b'b'; 32]).unwrap();
        let scopes = vec!["streamkit::*".to_owned()];
        let sign = |header: Header, claims: serde_json::Value| {
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&[b'a'; 32])).unwrap()
        };
        assert!(
            key.verify(&key.mint(&scopes, Duration::from_secs(60)).unwrap())
                .is_some()
        );
        assert!(key.verify(&key.mint(&scopes, Duration::ZERO).unwrap()).is_none());
        assert!(
            key.verify(&other.mint(&scopes, Duration::from_secs(60)).unwrap())
                .is_none()
        );
        let claims = serde_json::json!({"scopes": scopes, "exp": 4_102_444_800_u64});
        assert!(
            key.verify(&sign(Header::new(Algorithm::HS512), claims.clone()))
                .is_none()
        );
        assert!(key.verify(&sign(Header::default(), claims)).is_some());
        let fraction = serde_json::json!({"scopes": scopes, "exp": 4_102_444_800.5});
        assert!(key.verify(&sign(Header::default(), fraction)).is_some());
        for unreal in [
            serde_json::json!(1e300),
            serde_json::json!(-1.0),
            serde_json::json!("soon"),
        ] {
            let claims = serde_json::json!({"scopes": scopes, "exp": unreal});
            assert!(key.verify(&sign(Header::default(), claims)).is_none(), "{unreal}");
        }
        let demanding = Header {
            crit: Some(vec!["exp".to_owned()]),
            ..Header::default()
        };
        let claims = serde_json::json!({"scopes": ["streamkit::*"], "exp": 4_102_444_800_u64});
        assert!(key.verify(&sign(demanding, claims)).is_none());
        let endless = serde_json::json!({"scopes": ["streamkit::*"]});
        assert!(key.verify(&sign(Header::default(), endless)).is_none());
        for early in ["nbf", "iat"] {
            let claims =
                serde_json::json!({"scopes": ["streamkit::*"], "exp": 4_102_444_800_u64, early: 4_102_444_700_u64});
            assert!(key.verify(&sign(Header::default(), claims)).is_none(), "{early}");
        }
        // {"alg":"none","typ":"JWT"} . {"exp":4102444800,"scopes":["streamkit::*"]} .
        let unsigned =
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJleHAiOjQxMDI0NDQ4MDAsInNjb3BlcyI6WyJzdHJlYW1raXQ6OioiXX0.";
        assert!(key.verify(unsigned).is_none());
        assert!(key.verify("garbage").is_none());
    }

    #[test]
    fn a_short_key_is_refused_and_one_trailing_newline_ignored() {
        assert!(matches!(Key::hs256(&[0; 31]), Err(KeyError::TooShort(31))));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, format!("{}\n", "k".repeat(32))).unwrap();
        let token = Key::hs256_file(&path)
            .unwrap()
            .mint(&["streamkit::*".into()], Duration::from_secs(9))
            .unwrap();
        assert!(Key::hs256(&[b'k'; 32]).unwrap().verify(&token).is_some());
        std::fs::write(&path, format!("{}\n", "k".repeat(31))).unwrap();
        assert!(matches!(Key::hs256_file(&path), Err(KeyError::TooShort(31))));
    }
}
