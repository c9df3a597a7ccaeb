//! Signed notes (C2SP signed-note): a text with signature lines, as checkpoints and backup manifests
//! are. No crate: the format is a page, and the keys are in an HSM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::pki::{Digest, KeyKind, PublicKey, SignatureAlgorithm};

/// The most octets of a note that is read: sixteen signatures of the largest kind, and a text, of which
/// the longest names the thousands of files of a large backup.
const MAX_NOTE_LEN: usize = 1 << 20;

/// Why a note is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is no signed note.
    #[error("this is no signed note: {0}")]
    Malformed(&'static str),
    /// The name or the key cannot be that of a note's signer.
    #[error("a note cannot be signed like that: {0}")]
    BadKey(String),
    /// No signature line is by the key that was expected.
    #[error("it is not signed by {0}")]
    NotSigned(String),
    /// A signature line by the key does not verify.
    #[error("the signature by {0} does not verify")]
    BadSignature(String),
}

/// A key that signs notes: its name and its public half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: PublicKey,
    /// The signature type's octet and the key as it stands in a verifier's text.
    encoded: Vec<u8>,
    id: [u8; 4],
}

/// Ed25519 over the text.
const ED25519: u8 = 1;
/// ECDSA over the text, in DER.
const ECDSA: u8 = 2;

/// What stands before an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410 section 4).
pub(super) const ED25519_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

impl NoteKey {
    /// The key of a signer: Ed25519, or ECDSA where the token has no Ed25519. The name must have
    /// neither spaces nor a plus sign.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, NoteError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(bad) {
            return Err(NoteError::BadKey(format!("«{name}» is no name for a key")));
        }
        let (kind, octets) = match key.kind() {
            KeyKind::Ed25519 => {
                (ED25519, key.spki().get(ED25519_PREFIX.len()..).unwrap_or_default())
            }
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => (ECDSA, key.spki()),
            other => return Err(NoteError::BadKey(format!("its key is {other}"))),
        };
        let encoded = [&[kind], octets].concat();
        let digest = match kind {
            ED25519 => openssl::sha::sha256(&[name.as_bytes(), b"\n", &encoded].concat()),
            _ => openssl::sha::sha256(octets),
        };
        let id = [digest[0], digest[1], digest[2], digest[3]];
        Ok(Self { name: name.into(), key, encoded, id })
    }

    /// Reads a verifier's text: `name+id+key`, the id in hexadecimal, the key in base64.
    pub fn from_text(text: &str) -> Result<Self, NoteError> {
        let (name, id, encoded) = verifier_parts(text)?;
        let spki = match encoded.split_first().ok_or_else(not_a_verifier)? {
            (&ED25519, key) if key.len() == 32 => [&ED25519_PREFIX, key].concat(),
            (&ECDSA, spki) => spki.to_vec(),
            _ => return Err(NoteError::BadKey("its type is neither Ed25519 nor ECDSA".into())),
        };
        let key = PublicKey::from_spki(&spki).map_err(|e| NoteError::BadKey(e.to_string()))?;
        let key = Self::new(name, key)?;
        if hex::encode(key.id) == id { Ok(key) } else { Err(not_a_verifier()) }
    }

    /// The verifier's text of this key.
    pub fn text(&self) -> String {
        format!("{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(&self.encoded))
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// How the key must sign a note's text: by Ed25519, or by ECDSA with SHA-256.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        match self.key.kind() {
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
            _ => SignatureAlgorithm::Ecdsa(Digest::Sha256),
        }
    }

    /// The note of `text` with the signature that the key made over it.
    pub fn assemble(&self, text: &str, signature: &[u8]) -> Result<String, NoteError> {
        if !text.ends_with('\n') || text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Malformed("its text does not end in a line or has controls"));
        }
        let verified = self.key.verify(self.algorithm(), text.as_bytes(), signature);
        verified.map_err(|_| NoteError::BadSignature(self.name.clone()))?;
        let line = STANDARD.encode([&self.id[..], signature].concat());
        Ok(format!("{text}\n\u{2014} {} {line}\n", self.name))
    }

    /// The text of `note`, if this key signed it. Signatures of other keys are ignored.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, lines) = parts(note)?;
        let mut signed = false;
        for line in lines.lines() {
            let (name, octets) = signature_line(line)?;
            let Some((id, signature)) = octets.split_first_chunk::<4>() else {
                return Err(NoteError::Malformed("a signature is too short"));
            };
            if name == self.name && *id == self.id {
                let verified = self.key.verify(self.algorithm(), text.as_bytes(), signature);
                verified.map_err(|_| NoteError::BadSignature(self.name.clone()))?;
                signed = true;
            }
        }
        if signed { Ok(text) } else { Err(NoteError::NotSigned(self.name.clone())) }
    }
}

/// The text of a note and its signature lines; no signature is verified.
pub(super) fn parts(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > MAX_NOTE_LEN {
        return Err(NoteError::Malformed("it is too long"));
    }
    if note.chars().any(|c| c < ' ' && c != '\n') || !note.ends_with('\n') {
        return Err(NoteError::Malformed("it has controls or does not end in a line"));
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no empty line"))?;
    let (text, lines) = (&note[..=split], &note[split + 2..]);
    if lines.is_empty() {
        return Err(NoteError::Malformed("it has no signature"));
    }
    Ok((text, lines))
}

/// Name, id and encoded key of a verifier's text.
pub(super) fn verifier_parts(text: &str) -> Result<(&str, &str, Vec<u8>), NoteError> {
    let mut parts = text.trim().splitn(3, '+');
    let mut part = || parts.next().ok_or_else(not_a_verifier);
    let (name, id, encoded) = (part()?, part()?, part()?);
    Ok((name, id, STANDARD.decode(encoded).map_err(|_| not_a_verifier())?))
}

fn not_a_verifier() -> NoteError {
    NoteError::BadKey("it is not of the form name+id+key".into())
}

pub(super) fn signature_line(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let rest = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
    let (name, encoded) = rest.ok_or(NoteError::Malformed("a signature line is none"))?;
    let octets = STANDARD.decode(encoded);
    Ok((name, octets.map_err(|_| NoteError::Malformed("a signature is not in base64"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of checkpoints, with the key of its test vectors.
    #[test]
    fn reads_what_gos_note_package_signed() {
        // golang.org/x/mod/sumdb/note: the example of its documentation.
        let key = NoteKey::from_text(
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        )
        .unwrap();
        let note = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\n\
            \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let text = key.open(note).unwrap();
        assert!(text.ends_with("your problem is.\n"));
        assert_eq!(
            key.text(),
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        );
        let changed = note.replace("answer", "Answer");
        assert_eq!(key.open(&changed), Err(NoteError::BadSignature("PeterNeumann".into())));
    }

    #[test]
    fn signs_and_opens_with_both_kinds_of_keys() {
        for (key, algorithm) in super::super::tests::log_keys() {
            let public = PublicKey::from_openssl(&key.public()).unwrap();
            let note_key = NoteKey::new("log.example/x", public).unwrap();
            assert_eq!(note_key.algorithm(), algorithm);
            let text = "one\n\ntwo\n";
            let signature = super::super::tests::sign(&key, text.as_bytes());
            let note = note_key.assemble(text, &signature).unwrap();
            assert_eq!(note_key.open(&note), Ok(text));
            assert_eq!(NoteKey::from_text(&note_key.text()), Ok(note_key.clone()));
            assert!(note_key.assemble("other\n", &signature).is_err());
            let other = NoteKey::new("other", note_key.public_key().clone()).unwrap();
            assert_eq!(other.open(&note), Err(NoteError::NotSigned("other".into())));
            for broken in [&note[1..], &note[..note.len() - 1], "", "\n\n", "a\n\nb\n"] {
                assert!(note_key.open(broken).is_err(), "{broken:?}");
            }
        }
    }

    #[test]
    fn refuses_names_that_a_note_cannot_carry() {
        let (key, _) = &super::super::tests::log_keys()[0];
        let public = PublicKey::from_openssl(&key.public()).unwrap();
        for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
            assert!(NoteKey::new(name, public.clone()).is_err(), "{name:?}");
        }
    }
}
