//! What a token says once its signature is found right.

use std::time::Duration;

use serde::Deserialize;

use super::rules::TokenRules;
use crate::auth::access::Access;
use crate::auth::fault::TokenFault;
use crate::auth::scopes::Scopes;

/// The claims that mean something here.
#[derive(Deserialize)]
pub(super) struct Claims {
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
    iss: Option<serde_json::Value>,
    aud: Option<serde_json::Value>,
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

impl Claims {
    /// A JSON object; of a claim that stands there twice none is believed.
    pub(super) fn read(payload: &[u8]) -> Result<Self, TokenFault> {
        serde_json::from_slice(payload).map_err(|_| TokenFault::Malformed)
    }

    /// What they open at a time, in seconds since 1970.
    pub(super) fn access(&self, rules: &TokenRules, now: f64) -> Result<Access, TokenFault> {
        let leeway = rules.leeway.as_secs_f64();
        let is_ahead = |time: Option<f64>| time.is_some_and(|time| time > now + leeway);
        if is_ahead(self.iat) || is_ahead(self.nbf) {
            return Err(TokenFault::NotYet);
        }
        let left = match self.exp + leeway - now {
            left if left <= 0.0 => return Err(TokenFault::Expired),
            // Further than any time that there is.
            left => Duration::try_from_secs_f64(left).map_err(|_| TokenFault::Malformed)?,
        };
        let is_one_of = |known: &[String], claim: &serde_json::Value| known.iter().any(|one| claim == one.as_str());
        if !rules.issuers.is_empty() && !self.iss.as_ref().is_some_and(|iss| is_one_of(&rules.issuers, iss)) {
            return Err(TokenFault::Issuer);
        }
        let for_us = |claim: &serde_json::Value| match claim {
            serde_json::Value::Array(several) => several.iter().any(|one| is_one_of(&rules.audiences, one)),
            one => is_one_of(&rules.audiences, one),
        };
        if !rules.audiences.is_empty() && !self.aud.as_ref().is_some_and(for_us) {
            return Err(TokenFault::Audience);
        }
        Ok(Access {
            scopes: self.scopes.parse().ok_or(TokenFault::Scopes)?,
            expires_in: left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(claims: serde_json::Value, rules: &TokenRules) -> Result<Access, TokenFault> {
        let mut all = serde_json::json!({"exp": 1000, "scopes": ["streamkit::*"]});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        Claims::read(&serde_json::to_vec(&all).unwrap()).and_then(|claims| claims.access(rules, 900.5))
    }

    fn fault(claims: serde_json::Value, rules: &TokenRules) -> Option<TokenFault> {
        access(claims, rules).err()
    }

    #[test]
    fn times_count_to_the_fraction_and_the_leeway_works_both_ways() {
        let none = TokenRules::default();
        let left = access(serde_json::json!({}), &none).unwrap().expires_in;
        assert_eq!(left, Duration::from_millis(99_500));
        let some = TokenRules {
            leeway: Duration::from_secs(5),
            ..TokenRules::default()
        };
        for (claims, strict) in [
            (serde_json::json!({"exp": 900.5}), TokenFault::Expired),
            (serde_json::json!({"exp": 896}), TokenFault::Expired),
            (serde_json::json!({"nbf": 905}), TokenFault::NotYet),
            (serde_json::json!({"iat": 901}), TokenFault::NotYet),
        ] {
            assert_eq!(fault(claims.clone(), &none), Some(strict), "{claims}");
            assert_eq!(fault(claims.clone(), &some), None, "{claims}");
        }
        assert_eq!(fault(serde_json::json!({"exp": 895}), &some), Some(TokenFault::Expired));
        let unreal = [
            serde_json::json!(1e300),
            serde_json::json!("soon"),
            serde_json::json!(null),
        ];
        for unreal in unreal {
            let claims = serde_json::json!({"exp": unreal});
            assert_eq!(fault(claims, &none), Some(TokenFault::Malformed), "{unreal}");
        }
        assert_eq!(
            fault(serde_json::json!({"exp": -1.0}), &none),
            Some(TokenFault::Expired)
        );
    }

    #[test]
    fn audience_and_issuer_are_asked_for_only_where_they_are_configured() {
        let rules = TokenRules {
            audiences: vec!["orders".to_owned(), "ledger".to_owned()],
            issuers: vec!["https://issuer.example".to_owned()],
            ..TokenRules::default()
        };
        let with = |aud: serde_json::Value, iss: &str| serde_json::json!({"aud": aud, "iss": iss});
        let issuer = "https://issuer.example";
        for aud in [serde_json::json!("orders"), serde_json::json!(["x", "ledger"])] {
            assert_eq!(fault(with(aud, issuer), &rules), None);
        }
        for aud in [
            serde_json::json!("order"),
            serde_json::json!("Orders"),
            serde_json::json!([]),
            serde_json::json!([["orders"]]),
            serde_json::json!(null),
            serde_json::json!({"orders": true}),
        ] {
            assert_eq!(
                fault(with(aud.clone(), issuer), &rules),
                Some(TokenFault::Audience),
                "{aud}"
            );
        }
        let aud = serde_json::json!("orders");
        let other = "https://issuer.example/";
        assert_eq!(fault(with(aud.clone(), other), &rules), Some(TokenFault::Issuer));
        assert_eq!(fault(serde_json::json!({"aud": aud}), &rules), Some(TokenFault::Issuer));
        assert_eq!(
            fault(serde_json::json!({"aud": "x", "iss": "y"}), &TokenRules::default()),
            None
        );
    }

    #[test]
    fn of_a_claim_that_stands_there_twice_none_is_believed() {
        let twice = br#"{"exp":1000,"exp":2000,"scopes":["streamkit::*"]}"#;
        assert_eq!(Claims::read(twice).err(), Some(TokenFault::Malformed));
        for not_an_object in ["[]", "1", "\"x\"", "", "{", "null"] {
            assert!(Claims::read(not_an_object.as_bytes()).is_err(), "{not_an_object}");
        }
    }
}
