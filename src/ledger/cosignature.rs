//! Cosignatures of witnesses (C2SP tlog-cosignature, tlog-witness): others sign that the log whose
//! checkpoint this is went on from the one that they saw before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::merkle::Hash;
use super::note::{self, NoteError};
use crate::clock::Timestamp;
use crate::pki::{PublicKey, SignatureAlgorithm};

/// Ed25519 over the text with the time before it.
const TIMESTAMPED_ED25519: u8 = 4;

/// A witness's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: PublicKey,
    id: [u8; 4],
}

/// A cosignature that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// When the witness says that it saw the checkpoint.
    pub time: Timestamp,
    /// The signature line, with its end.
    pub line: String,
}

impl WitnessKey {
    /// Reads a verifier's text: `name+id+key` with a key of type 0x04.
    pub fn from_text(text: &str) -> Result<Self, NoteError> {
        let bad = |why: &str| NoteError::BadKey(why.into());
        let (name, id, encoded) = note::verifier_parts(text)?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(bad("it has no name that a signature could carry"));
        }
        let octets = match encoded.split_first() {
            Some((&TIMESTAMPED_ED25519, key)) if key.len() == 32 => key,
            _ => return Err(bad("it is no key of a witness (type 0x04, Ed25519 with a time)")),
        };
        let key = PublicKey::from_spki(&[&note::ED25519_PREFIX, octets].concat());
        let key = key.map_err(|e| bad(&e.to_string()))?;
        let digest = openssl::sha::sha256(&[name.as_bytes(), b"\n", &encoded].concat());
        let own = [digest[0], digest[1], digest[2], digest[3]];
        if hex::encode(own) != id {
            return Err(bad("its id is not that of its name and key"));
        }
        Ok(Self { name: name.into(), key, id: own })
    }

    /// The name that the witness signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cosignature of this witness on `checkpoint`, a note, among the signature lines `lines`. Those
    /// of others are ignored; one of this witness that does not verify is an error.
    pub fn find(&self, checkpoint: &str, lines: &str) -> Result<Cosignature, NoteError> {
        let (text, _) = note::parts(checkpoint)?;
        for line in lines.lines() {
            let (name, octets) = note::signature_line(line)?;
            let Some((id, rest)) = octets.split_first_chunk::<4>() else {
                return Err(NoteError::Malformed("a signature is too short"));
            };
            if name != self.name || *id != self.id {
                continue;
            }
            let Some((time, signature)) = rest.split_first_chunk::<8>() else {
                return Err(NoteError::Malformed("a cosignature has no time"));
            };
            let seconds = u64::from_be_bytes(*time);
            let signed = format!("cosignature/v1\ntime {seconds}\n{text}");
            self.key
                .verify(SignatureAlgorithm::Ed25519, signed.as_bytes(), signature)
                .map_err(|_| NoteError::BadSignature(self.name.clone()))?;
            let time = Timestamp::from_unix_seconds(seconds);
            return Ok(Cosignature { time, line: format!("{line}\n") });
        }
        Err(NoteError::NotSigned(self.name.clone()))
    }
}

/// The body of a witness's `add-checkpoint`: it saw `old` entries, and `path` leads from there to
/// `checkpoint`.
pub fn add_checkpoint(old: u64, path: &[Hash], checkpoint: &str) -> String {
    let mut body = format!("old {old}\n");
    for hash in path {
        body.push_str(&STANDARD.encode(hash));
        body.push('\n');
    }
    body.push('\n');
    body.push_str(checkpoint);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::pkey::PKey;
    use openssl::sign::Signer;

    #[test]
    fn a_cosignature_is_over_the_text_and_its_time() {
        let key = PKey::generate_ed25519().unwrap();
        let encoded = [&[4][..], &key.raw_public_key().unwrap()].concat();
        let digest = openssl::sha::sha256(&[b"witness.example\n", encoded.as_slice()].concat());
        let id = &digest[..4];
        let vkey = |kind: u8, id: &[u8]| {
            let encoded = [&[kind], &encoded[1..]].concat();
            format!("witness.example+{}+{}", hex::encode(id), STANDARD.encode(encoded))
        };
        let witness = WitnessKey::from_text(&vkey(4, id)).unwrap();
        assert_eq!(witness.name(), "witness.example");
        assert!(WitnessKey::from_text(&vkey(1, id)).is_err());
        assert!(WitnessKey::from_text(&vkey(4, &[0; 4])).is_err());

        let text = "log.example\n3\nAAAA\n";
        let checkpoint = format!("{text}\n\u{2014} log.example AAAAAAAA\n");
        let line = |time: u64, signed: &str| {
            let mut signer = Signer::new_without_digest(&key).unwrap();
            let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap();
            let octets = [id, &time.to_be_bytes(), &signature].concat();
            format!("\u{2014} witness.example {}\n", STANDARD.encode(octets))
        };
        let good = line(7, &format!("cosignature/v1\ntime 7\n{text}"));
        let others = "\u{2014} other AAAAAAAA\n";
        let found = witness.find(&checkpoint, &format!("{others}{good}")).unwrap();
        assert_eq!((found.time, &found.line), (Timestamp::from_unix_seconds(7), &good));
        let refused = |lines: &str| witness.find(&checkpoint, lines).unwrap_err();
        let bad = NoteError::BadSignature("witness.example".into());
        assert_eq!(refused(&line(8, &format!("cosignature/v1\ntime 7\n{text}"))), bad);
        assert_eq!(refused(&line(7, text)), bad);
        assert_eq!(refused(others), NoteError::NotSigned("witness.example".into()));
        assert_eq!(witness.find(&checkpoint.replace("\n3\n", "\n4\n"), &good), Err(bad));
    }

    #[test]
    fn the_request_is_that_of_the_specification() {
        let body = add_checkpoint(20, &[[0; 32]], "note\n");
        assert_eq!(body, format!("old 20\n{}=\n\nnote\n", "A".repeat(43)));
        assert_eq!(add_checkpoint(0, &[], "note\n"), "old 0\n\nnote\n");
    }
}
