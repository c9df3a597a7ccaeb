//! Messages that people carry between an offline CA and an online one: a request with certification
//! requests out, a response with certificates and CRLs back. Each is signed by its ceremony's log key,
//! whose identity the people compare on paper; a response repeats the request's nonce and digest, so
//! that it answers this request and no other, and both expire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical;
use crate::clock::Timestamp;
use crate::pki::PublicKey;

const FORMAT: &str = "chancery-exchange-1";

/// What a message carries and says, beside its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// `chancery-exchange-1`.
    pub format: String,
    /// Request or response.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// 32 random bytes in hexadecimal; a response repeats its request's.
    pub nonce: String,
    /// The plan by which it was made.
    pub plan_sha256: String,
    /// When, in Unix seconds.
    pub created: u64,
    /// Until when it may be imported, in Unix seconds.
    pub expires: u64,
    /// SHA-256 of the whole request, in a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_sha256: Option<String>,
    /// What is carried.
    pub items: Vec<Item>,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To the offline CA.
    Request,
    /// Back from it.
    Response,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its name, without a folder.
    pub name: String,
    /// `csr`, `certificate`, `crl`.
    pub form: String,
    /// Its bytes in base64.
    pub content: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    payload: Payload,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    spki: String,
    value: String,
}

/// Why a message is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// It cannot be read.
    #[error("this is no exchange message: {0}")]
    Malformed(String),
    /// The signature is wrong.
    #[error("the exchange message was changed, or its signature is not by the key that it names")]
    Signature,
    /// It is signed by another key than the people expect.
    #[error("the exchange message is signed by the key {found}, and {expected} was expected")]
    Signer {
        /// SHA-256 of the SubjectPublicKeyInfo that was found.
        found: String,
        /// The one that was expected.
        expected: String,
    },
    /// It is too old or from the future.
    #[error("the exchange message may be imported from {from} to {to}, and it is {now}")]
    Expired {
        /// When it was made.
        from: String,
        /// Until when.
        to: String,
        /// Now.
        now: String,
    },
    /// It answers something else.
    #[error("the response does not answer this request: {0}")]
    Unrelated(&'static str),
    /// It is of the other kind.
    #[error("this is a {0}, where the other kind is wanted")]
    Kind(&'static str),
}

/// A message whose signature verifies.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says.
    pub payload: Payload,
    /// Who signed it.
    pub signer: PublicKey,
    /// SHA-256 of the whole message.
    pub sha256: String,
}

impl Item {
    /// A file to carry.
    pub fn new(name: &str, form: &str, bytes: &[u8]) -> Self {
        Self { name: name.into(), form: form.into(), content: BASE64.encode(bytes) }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Result<Vec<u8>, ExchangeError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return Err(ExchangeError::Malformed("an item's name is no file name".into()));
        }
        BASE64.decode(&self.content).map_err(|e| ExchangeError::Malformed(e.to_string()))
    }
}

impl Payload {
    /// A new payload.
    pub fn new(kind: Kind, nonce: String, plan_sha256: String, items: Vec<Item>) -> Self {
        let format = FORMAT.to_owned();
        Self {
            format,
            kind,
            nonce,
            plan_sha256,
            created: 0,
            expires: 0,
            request_sha256: None,
            items,
        }
    }

    /// What is signed.
    pub fn to_be_signed(&self) -> Result<Vec<u8>, ExchangeError> {
        let value = serde_json::to_value(self).map_err(malformed)?;
        Ok([b"chancery-exchange-1\0", text(&value)?.as_bytes()].concat())
    }

    /// The whole message.
    pub fn message(self, signer: &PublicKey, signature: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        let signature =
            Signature { spki: BASE64.encode(signer.spki()), value: BASE64.encode(signature) };
        let value =
            serde_json::to_value(Message { payload: self, signature }).map_err(malformed)?;
        Ok(text(&value)?.into_bytes())
    }
}

/// Reads a message and verifies its signature; says nothing about who may have signed it.
pub fn read(bytes: &[u8]) -> Result<Verified, ExchangeError> {
    if bytes.len() > 1 << 20 {
        return Err(ExchangeError::Malformed("it is larger than 1 MiB".into()));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    if text(&value)?.as_bytes() != bytes {
        return Err(ExchangeError::Malformed("it is not in canonical form".into()));
    }
    let Message { payload, signature } = serde_json::from_value(value).map_err(malformed)?;
    if payload.format != FORMAT {
        return Err(ExchangeError::Malformed("its format is not known".into()));
    }
    let decode = |t: &str| BASE64.decode(t).map_err(|e| ExchangeError::Malformed(e.to_string()));
    let signer = PublicKey::from_spki(&decode(&signature.spki)?)
        .map_err(|e| ExchangeError::Malformed(e.to_string()))?;
    signer
        .verify(
            signer.kind().default_signature(),
            &payload.to_be_signed()?,
            &decode(&signature.value)?,
        )
        .map_err(|_| ExchangeError::Signature)?;
    Ok(Verified { payload, signer, sha256: hex::encode(openssl::sha::sha256(bytes)) })
}

impl Verified {
    /// SHA-256 of the signer's SubjectPublicKeyInfo, in hexadecimal.
    pub fn signer_sha256(&self) -> String {
        hex::encode(self.signer.fingerprint())
    }

    /// That it is of the wanted kind, signed by the wanted key where one is wanted, and in time.
    pub fn check(
        &self,
        kind: Kind,
        signer_sha256: Option<&str>,
        now: Timestamp,
    ) -> Result<(), ExchangeError> {
        if self.payload.kind != kind {
            return Err(ExchangeError::Kind(match self.payload.kind {
                Kind::Request => "request",
                Kind::Response => "response",
            }));
        }
        if let Some(expected) = signer_sha256
            && !expected.eq_ignore_ascii_case(&self.signer_sha256())
        {
            let (found, expected) = (self.signer_sha256(), expected.to_owned());
            return Err(ExchangeError::Signer { found, expected });
        }
        let (from, to) = (self.payload.created, self.payload.expires);
        // An hour's difference between the two clocks is forgiven.
        if now.unix_seconds() + 3600 < from || now.unix_seconds() > to {
            let time = |s| Timestamp::from_unix_seconds(s).to_string();
            return Err(ExchangeError::Expired {
                from: time(from),
                to: time(to),
                now: now.to_string(),
            });
        }
        Ok(())
    }

    /// That a response answers `request`.
    pub fn answers(&self, request: &Self) -> Result<(), ExchangeError> {
        if self.payload.nonce != request.payload.nonce {
            return Err(ExchangeError::Unrelated("the nonce is another"));
        }
        if self.payload.request_sha256.as_ref() != Some(&request.sha256) {
            return Err(ExchangeError::Unrelated("the request's digest is another"));
        }
        Ok(())
    }
}

fn text(value: &Value) -> Result<String, ExchangeError> {
    canonical::to_string(value).map_err(malformed)
}

fn malformed(e: impl std::fmt::Display) -> ExchangeError {
    ExchangeError::Malformed(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::run::throw_away::ThrowAway;
    use crate::pki::KeyKind;

    fn message(kind: Kind, answers: Option<&Verified>) -> Vec<u8> {
        let key = ThrowAway::new(KeyKind::P256).unwrap();
        let public = key.public().unwrap();
        let nonce = answers.map_or_else(|| "ab".repeat(32), |v| v.payload.nonce.clone());
        let items = vec![Item::new("i1.csr", "csr", b"request")];
        let mut payload = Payload::new(kind, nonce, "00".repeat(32), items);
        (payload.created, payload.expires) = (1_000, 9_000);
        payload.request_sha256 = answers.map(|v| v.sha256.clone());
        let tbs = payload.to_be_signed().unwrap();
        let signature = key.sign(KeyKind::P256.default_signature(), &tbs).unwrap();
        payload.message(&public, &signature).unwrap()
    }

    #[test]
    fn a_response_answers_its_request_alone() {
        let request = read(&message(Kind::Request, None)).unwrap();
        let other = read(&message(Kind::Request, None)).unwrap();
        let response = read(&message(Kind::Response, Some(&request))).unwrap();
        response.answers(&request).unwrap();
        assert!(matches!(response.answers(&other), Err(ExchangeError::Unrelated(_))));
        let now = Timestamp::from_unix_seconds(2_000);
        response.check(Kind::Response, Some(&response.signer_sha256()), now).unwrap();
        assert!(matches!(response.check(Kind::Request, None, now), Err(ExchangeError::Kind(_))));
        assert!(matches!(
            response.check(Kind::Response, Some("00"), now),
            Err(ExchangeError::Signer { .. })
        ));
        let late = Timestamp::from_unix_seconds(9_001);
        assert!(matches!(
            response.check(Kind::Response, None, late),
            Err(ExchangeError::Expired { .. })
        ));
    }

    #[test]
    fn every_changed_byte_is_found() {
        let bytes = message(Kind::Request, None);
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(read(&changed).is_err(), "byte {place}");
        }
    }

    #[test]
    fn names_do_not_leave_the_folder() {
        for name in ["../x", "/x", "", ".x", "a/b"] {
            assert!(Item::new(name, "csr", b"x").bytes().is_err());
        }
    }
}
