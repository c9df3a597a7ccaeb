//! Checkpoints (C2SP tlog-checkpoint): the head of the tree as a signed note.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::merkle::Hash;
use super::note::{self, NoteError, NoteKey};

/// What a checkpoint says: this log has so many entries, with this root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that the log's key signs.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads a checkpoint that `key` signed, and whose origin is the key's name.
    pub fn open(note: &str, key: &NoteKey) -> Result<Self, NoteError> {
        let checkpoint = Self::from_text(key.open(note)?)?;
        if checkpoint.origin == key.name() {
            Ok(checkpoint)
        } else {
            Err(NoteError::Malformed("its origin is not the name of its key"))
        }
    }

    /// Reads a checkpoint without a look at its signatures: what was kept on our own disk.
    pub fn read_unverified(note: &str) -> Result<Self, NoteError> {
        Self::from_text(note::parts(note)?.0)
    }

    fn from_text(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let mut line = || {
            let next = lines.next().filter(|line| !line.is_empty());
            next.ok_or(NoteError::Malformed("it has fewer than three lines"))
        };
        let (origin, digits, encoded) = (line()?, line()?, line()?);
        let canonical = digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let size = digits.parse().ok().filter(|_| canonical);
        let size = size.ok_or(NoteError::Malformed("its size is no number"))?;
        let root = STANDARD.decode(encoded).ok().and_then(|root| Hash::try_from(root).ok());
        let root = root.ok_or(NoteError::Malformed("its root is no hash"))?;
        Ok(Self { origin: origin.into(), size, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::PublicKey;

    #[test]
    fn reads_the_specifications_example() {
        let note = "example.com/behind-the-sofa\n20852163\n\
            CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let read = Checkpoint::read_unverified(note).unwrap();
        assert_eq!((read.origin.as_str(), read.size), ("example.com/behind-the-sofa", 20_852_163));
        assert!(note.starts_with(&read.text()));
        for (from, to) in [
            ("20852163", "020852163"),
            ("20852163", "+20852163"),
            ("20852163", "-1"),
            ("q2I=", "q2I"),
            ("CsUY", "CsU"),
            ("\n20852163\n", "\n\n20852163\n"),
        ] {
            assert!(Checkpoint::read_unverified(&note.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn opens_what_the_logs_key_signed_for_the_log() {
        for (key, _) in super::super::tests::log_keys() {
            let public = PublicKey::from_openssl(&key.public()).unwrap();
            let note_key = NoteKey::new("ca.example/log", public).unwrap();
            let mut checkpoint =
                Checkpoint { origin: "ca.example/log".into(), size: 0, root: [7; 32] };
            let note = |checkpoint: &Checkpoint| {
                let text = checkpoint.text();
                let signature = super::super::tests::sign(&key, text.as_bytes());
                note_key.assemble(&text, &signature).unwrap()
            };
            let signed = note(&checkpoint);
            assert_eq!(Checkpoint::open(&signed, &note_key), Ok(checkpoint.clone()));
            let extended = signed.replace("\n\n", "\nextension\n\n");
            assert!(Checkpoint::open(&extended, &note_key).is_err());
            assert!(Checkpoint::read_unverified(&extended).is_ok());
            checkpoint.origin = "other".into();
            assert!(Checkpoint::open(&note(&checkpoint), &note_key).is_err());
        }
    }
}
