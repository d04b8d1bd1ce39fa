//! JSON Web Keys, and sets of them: [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517).

use aws_lc_rs::rsa::KeyPairComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::error::KeyError;
use super::key::Key;
use super::material::{Material, Public};
use super::signer::Signer;
use crate::auth::algorithm::Algorithm;

/// Most keys of a set. Tokens without a `kid` are tried with all of them.
const SET_KEYS_MAX: usize = 100;

/// Issuers write with padding and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where keys come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// A file of the operator's.
    File,
    /// The network, where everybody may read: a secret there is none, and a private key is not ours.
    Fetched,
}

/// One key. What it has beyond this is ignored.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys in a JSON text that is a key or a set.
pub(super) fn keys(text: &[u8], unsaid: &[Algorithm], trust: Trust) -> Result<Vec<Key>, KeyError> {
    let json: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| KeyError::unclear(format!("is no JSON: {error}")))?;
    match json.get("keys") {
        Some(_) => of_set(json, unsaid, trust),
        None => Ok(vec![key(json, unsaid, trust)?]),
    }
}

/// The keys in the text of a set.
pub(crate) fn keys_of_set(text: &[u8], unsaid: &[Algorithm], trust: Trust) -> Result<Vec<Key>, KeyError> {
    let json = serde_json::from_slice(text).map_err(|error| KeyError::unclear(format!("is no JSON: {error}")))?;
    of_set(json, unsaid, trust)
}

/// Those that are for us. A set may have others, of which each is told.
fn of_set(mut json: serde_json::Value, unsaid: &[Algorithm], trust: Trust) -> Result<Vec<Key>, KeyError> {
    let Some(serde_json::Value::Array(all)) = json.get_mut("keys").map(serde_json::Value::take) else {
        return Err(KeyError::unclear("is no set of JSON Web Keys"));
    };
    if all.len() > SET_KEYS_MAX {
        return Err(KeyError::unclear(format!("has more than {SET_KEYS_MAX} keys")));
    }
    let mut keys = Vec::new();
    for (place, one) in all.into_iter().enumerate() {
        match key(one, unsaid, trust) {
            Ok(key) => keys.push(key),
            Err(why) => tracing::debug!(place, "a key of a set is not used: it {why}"),
        }
    }
    match keys.is_empty() {
        false => Ok(keys),
        true => Err(KeyError::unclear("has no key that can check tokens")),
    }
}

fn key(json: serde_json::Value, unsaid: &[Algorithm], trust: Trust) -> Result<Key, KeyError> {
    // What is wrong with a value must not be told with the value.
    let jwk: Jwk = serde_json::from_value(json).map_err(|_| KeyError::unclear("is no JSON Web Key"))?;
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err(KeyError::unclear("has a key that is not for signatures"));
    }
    let may = |operation: &str| {
        let list = jwk.key_ops.as_ref();
        list.is_none_or(|list| list.iter().any(|known| known == operation))
    };
    let material = jwk.material(trust)?;
    // Who signs with a key may check with it.
    let signs = may("sign") && !matches!(material, Material::Public(_));
    if !may("verify") && !signs {
        return Err(KeyError::unclear("has a key that may not check signatures"));
    }
    let own;
    let algorithms = match &jwk.alg {
        None => unsaid,
        Some(name) => {
            let known = name.parse().ok().filter(|algorithm| material.can_be_for(*algorithm));
            own = [known.ok_or_else(|| KeyError::unclear("has a key whose `alg` is not for such a key"))?];
            &own
        }
    };
    Key::of(material, jwk.kid, algorithms, signs)
}

fn incomplete() -> KeyError {
    KeyError::unclear("has a key that is incomplete, contradicts itself, or is of a kind that signs no tokens here")
}

/// The bytes of a member.
fn bytes(member: &Option<String>) -> Result<Vec<u8>, KeyError> {
    let text = member.as_ref().ok_or_else(incomplete)?;
    BASE64.decode(text).map_err(|_| incomplete())
}

/// The same of a number, which some issuers write with zeros in front.
fn number(member: &Option<String>) -> Result<Vec<u8>, KeyError> {
    let bytes = bytes(member)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

impl Jwk {
    fn material(&self, trust: Trust) -> Result<Material, KeyError> {
        let is_private = self.d.is_some() && trust == Trust::File;
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) if trust == Trust::Fetched => Err(KeyError::unclear(
                "has a secret, which everybody can read there: it must not be believed",
            )),
            ("oct", _) => Ok(Material::Secret(bytes(&self.k)?)),
            ("RSA", _) if is_private => self.rsa_private().map(Material::Private),
            ("RSA", _) => self.rsa_public().map(Material::Public),
            ("EC", Some(curve @ ("P-256" | "P-384"))) => self.curve(curve, is_private),
            ("OKP", Some("Ed25519")) => self.ed25519(is_private),
            _ => Err(incomplete()),
        }
    }

    fn rsa_public(&self) -> Result<Public, KeyError> {
        let (n, e) = (number(&self.n)?, number(&self.e)?);
        let parsed = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        let parsed = parsed.map_err(|_| incomplete())?;
        Ok(Public::Rsa(parsed.as_ref().to_vec()))
    }

    fn rsa_private(&self) -> Result<Signer, KeyError> {
        // A key that is too short is told as such.
        Material::Public(self.rsa_public()?).checks(&[Algorithm::RS256])?;
        let components = KeyPairComponents {
            public_key: RsaPublicKeyComponents {
                n: number(&self.n)?,
                e: number(&self.e)?,
            },
            d: bytes(&self.d)?,
            p: bytes(&self.p)?,
            q: bytes(&self.q)?,
            dP: bytes(&self.dp)?,
            dQ: bytes(&self.dq)?,
            qInv: bytes(&self.qi)?,
        };
        let pair = RsaKeyPair::from_components(&components).map_err(|_| incomplete())?;
        Ok(Signer::Rsa(pair))
    }

    fn curve(&self, curve: &str, is_private: bool) -> Result<Material, KeyError> {
        let is_short = curve == "P-256";
        let coordinate = if is_short { 32 } else { 48 };
        let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
        if x.len() != coordinate || y.len() != coordinate {
            return Err(incomplete());
        }
        let point = [&[4], x.as_slice(), &y].concat();
        if !is_private {
            return Ok(Material::Public(match is_short {
                true => Public::P256(point),
                false => Public::P384(point),
            }));
        }
        let d = bytes(&self.d)?;
        let scheme = match is_short {
            true => &ECDSA_P256_SHA256_FIXED_SIGNING,
            false => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::from_private_key_and_public_key(scheme, &d, &point).map_err(|_| incomplete())?;
        Ok(Material::Private(match is_short {
            true => Signer::P256(pair),
            false => Signer::P384(pair),
        }))
    }

    fn ed25519(&self, is_private: bool) -> Result<Material, KeyError> {
        let x = bytes(&self.x)?;
        if x.len() != 32 {
            return Err(incomplete());
        }
        if !is_private {
            return Ok(Material::Public(Public::Ed25519(x)));
        }
        let seed = bytes(&self.d)?;
        let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &x).map_err(|_| incomplete())?;
        Ok(Material::Private(Signer::Ed25519(pair)))
    }
}
