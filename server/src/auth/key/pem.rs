//! A key in PEM: [RFC 7468](https://www.rfc-editor.org/rfc/rfc7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::KeyError;
use super::material::{Material, Public, private_of_der};
use crate::certificate::CertificateFields;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Whether a file is PEM, or should be.
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// The one key in it.
pub(super) fn key(bytes: &[u8]) -> Result<Material, KeyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeyError::unclear("is no text, though PEM is"))?;
    let mut found = None;
    for (label, der) in blocks(text)? {
        if label == "EC PARAMETERS" {
            // `openssl ecparam -genkey` writes the curve before the key, which names it again.
            continue;
        }
        if found.replace(read(label, &der)?).is_some() {
            return Err(KeyError::unclear(
                "has more than one key or certificate; write each into a file of its own",
            ));
        }
    }
    found.ok_or_else(|| KeyError::unclear("is PEM without a key"))
}

fn read(label: &str, der: &[u8]) -> Result<Material, KeyError> {
    let unknown = || {
        KeyError::unclear(format!(
            "has a {label} of a kind that signs no tokens here; RSA from 2048 to 8192 bits, P-256, P-384 and Ed25519 do"
        ))
    };
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Public::of_der(der).map(Material::Public).ok_or_else(unknown),
        "CERTIFICATE" => CertificateFields::of(der)
            .and_then(|certificate| Public::of_der(certificate.public_key))
            .map(Material::Public)
            .ok_or_else(unknown),
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            private_of_der(der).map(Material::Private).ok_or_else(unknown)
        }
        "ENCRYPTED PRIVATE KEY" => Err(KeyError::unclear(
            "has an encrypted private key; decrypt it with `openssl pkcs8 -in FILE`",
        )),
        other => Err(KeyError::unclear(format!("has a {other}, which is no key for tokens"))),
    }
}

/// The labels and bytes of all blocks.
fn blocks(text: &str) -> Result<Vec<(&str, Vec<u8>)>, KeyError> {
    let broken = || KeyError::unclear("is PEM that is cut off or damaged");
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, block)) = rest.split_once(BEGIN) {
        let (label, block) = block.split_once(DASHES).ok_or_else(broken)?;
        let (body, behind) = block.split_once(END).ok_or_else(broken)?;
        let (end, behind) = behind.split_once(DASHES).ok_or_else(broken)?;
        if end != label {
            return Err(broken());
        }
        if body.contains(':') && label.ends_with("PRIVATE KEY") {
            return Err(KeyError::unclear(
                "has an encrypted private key; decrypt it with `openssl pkey -in FILE`",
            ));
        }
        let body: String = body.split_whitespace().collect();
        blocks.push((label, STANDARD.decode(body).map_err(|_| broken())?));
        rest = behind;
    }
    Ok(blocks)
}
