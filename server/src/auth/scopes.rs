//! Which stores a session opens, and what it may do there.

use std::collections::BTreeMap;

use streamkit_engine::StoreId;
use uuid::Uuid;

/// One thing that a session may do in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Right {
    /// Peek, consume, lists, status.
    Read,
    /// Produce, trim, delete.
    Write,
}

/// Some of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rights {
    read: bool,
    write: bool,
}

impl Rights {
    /// Nothing.
    pub const NONE: Rights = Rights {
        read: false,
        write: false,
    };
    /// [`Right::Read`] alone.
    pub const READ: Rights = Rights {
        read: true,
        ..Rights::NONE
    };
    /// [`Right::Write`] alone.
    pub const WRITE: Rights = Rights {
        write: true,
        ..Rights::NONE
    };
    /// All that there are.
    pub const ALL: Rights = Rights {
        read: true,
        write: true,
    };

    /// Whether `right` is among them.
    pub fn has(self, right: Right) -> bool {
        match right {
            Right::Read => self.read,
            Right::Write => self.write,
        }
    }

    /// What is among these or those.
    pub fn or(self, other: Rights) -> Rights {
        Rights {
            read: self.read || other.read,
            write: self.write || other.write,
        }
    }
}

/// The stores that a session opens; none by default. Tokens spell them `streamkit::*` for all, `streamkit::{uuid}` for one; `:read`
/// or `:write` at the end narrows it, and both together say the same as none of them. A store's UUID means the same store in each
/// of its spellings.
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
            let (target, rights) = narrowed(target);
            granted = match target {
                "*" => granted.with_all(rights),
                store => granted.with(StoreId(Uuid::parse_str(store).ok()?), rights),
            };
            if granted.all == Rights::ALL {
                break;
            }
        }
        let any = granted != Scopes::default();
        any.then_some(granted)
    }

    /// These, and `rights` on all stores, those that are not there yet among them.
    #[must_use]
    pub fn with_all(mut self, rights: Rights) -> Self {
        self.all = self.all.or(rights);
        self
    }

    /// These, and `rights` on one store.
    #[must_use]
    pub fn with(mut self, store: StoreId, rights: Rights) -> Self {
        let held = self.stores.entry(store).or_default();
        *held = held.or(rights);
        self
    }

    /// Whose these are: the first of their stores, if it is not all of them. Tenants that share no store are told apart by it.
    pub(crate) fn tenant(&self) -> Option<StoreId> {
        match self.all == Rights::NONE {
            true => self.stores.keys().next().copied(),
            false => None,
        }
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

/// What stands before `:read` and `:write`, each at most once, and what these leave.
fn narrowed(scope: &str) -> (&str, Rights) {
    let (mut target, mut named) = (scope, Rights::NONE);
    while let Some((before, suffix)) = target.rsplit_once(':') {
        let right = match suffix {
            "read" if !named.read => Rights::READ,
            "write" if !named.write => Rights::WRITE,
            _ => break,
        };
        (target, named) = (before, named.or(right));
    }
    match named {
        Rights::NONE => (target, Rights::ALL),
        named => (target, named),
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
    fn a_star_scope_opens_all_stores_and_a_store_scope_only_that_one() {
        let both = Rights::ALL;
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
        assert_eq!(scopes.on(store()), Rights::ALL);
        assert_eq!(scopes.on(StoreId(Uuid::from_u128(7))), Rights::READ);
        for both in ["streamkit::*:read:write", "streamkit::*:write:read"] {
            assert_eq!(Scopes::parse([both]).unwrap().on_all(), Rights::ALL);
        }
        for wrong in [
            "*:read:read",
            "*:admin",
            "*:READ",
            ":read",
            "*:",
            "*: read",
            "*:read:",
            "**",
            "",
            "read",
        ] {
            assert_eq!(
                Scopes::parse([format!("streamkit::{wrong}").as_str()]),
                None,
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn each_spelling_of_a_uuid_is_that_store_and_no_other_text_is_one() {
        let plain = ONE.replace('-', "");
        for spelled in [
            ONE.to_owned(),
            ONE.to_uppercase(),
            plain.clone(),
            format!("urn:uuid:{ONE}"),
            format!("{{{ONE}}}"),
        ] {
            for (suffix, rights) in [("", Rights::ALL), (":read", Rights::READ), (":write", Rights::WRITE)] {
                let scopes = Scopes::parse([format!("streamkit::{spelled}{suffix}").as_str()]).unwrap();
                let only = Scopes::default().with(store(), rights);
                assert_eq!(scopes, only, "{spelled}{suffix}");
            }
        }
        for wrong in [
            format!(" {ONE}"),
            format!("{ONE} "),
            format!("{ONE}\0"),
            format!("{ONE}/*"),
            format!("{{{ONE}"),
            format!("urn:uuid:{{{ONE}}}"),
            format!("urn:uuid:urn:uuid:{ONE}"),
            format!("{plain}0"),
            plain[1..].to_owned(),
            ONE.replace('6', "６"),
            ONE.replacen('-', "_", 1),
            "*".repeat(36),
        ] {
            assert_eq!(
                Scopes::parse([format!("streamkit::{wrong}").as_str()]),
                None,
                "{wrong:?}"
            );
        }
    }
}
