//! The ledger's own key, and where its head is remembered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::model::Config;
use super::reader::Reader;
use super::schema::{choice, section};
use super::token::KeyPlace;
use crate::ledger::WitnessKey;
use crate::ledger::note::NoteKey;

section! {
    /// What proves the ledger: checkpoints of its Merkle tree, signed by a key of its own, and a memory of
    /// the newest one outside the ledger's folder. Outside a laboratory `log_key`, `verifier` and an anchor
    /// are required.
    pub struct Ledger {
        /// The key that signs checkpoints: Ed25519, or P-256 where the token has no Ed25519. It signs
        /// nothing else.
        log_key: Option<KeyPlace>,
        /// The public half of `log_key` with the log's name, as `chancery ledger key` prints it
        /// (`name+id+key`, the verifier's text of signed notes). Without it nobody could tell another
        /// ledger's checkpoint from this one's. Give it to auditors and witnesses.
        verifier: Option<String>,
        /// How soon after new entries the next checkpoint is signed: each is an operation of the HSM.
        checkpoint_interval: Duration ["1s", "60s"] = "10s",
        /// How long after a verification of the whole ledger in the background the next one begins. The
        /// first begins with the signer. Where it finds damage nothing more is signed.
        verify_every: Duration ["1s", "366d"] = "24h",
        /// A file that keeps the newest checkpoint, on another path than the ledger, best on another file
        /// system. With a ledger that ends before it or has other entries the signer signs nothing. It
        /// withstands a cut or an exchanged ledger, not a restored disk that has both.
        anchor_file: Option<PathBuf>,
        /// A data object in the HSM's token that keeps the newest checkpoint, written once a minute. It
        /// withstands a restored disk.
        anchor_object: Option<AnchorObject>,
        /// What of the ledger the frontend serves to anybody, below `/log/`, as tlog-tiles: `off`
        /// nothing; `hashes` the signed checkpoint and the tree's hashes, which say nothing of what is in
        /// the entries; `entries` also the entries, with the names of devices and people.
        publish: Publish = "hashes",
        /// Who cosigns the checkpoints (C2SP tlog-witness), by a name that `chancery status` shows. A
        /// witness is another's machine that remembers this log: it withstands a restored disk.
        witness: BTreeMap<super::values::Name, Witness> = {},
    }
}

section! {
    /// A witness. The frontend carries the checkpoints to it, the signer verifies what it answers.
    pub struct Witness {
        /// Its public key (`name+id+key`, of type 0x04), from whoever runs it.
        key: String,
        /// Where it is asked: an `http://` URL, to which `/add-checkpoint` is added. What travels is
        /// public and signed by both sides; for a witness that speaks HTTPS alone name a local proxy.
        url: String,
    }
}

choice! {
    /// What of the ledger anybody may read.
    pub enum Publish ("one of") {
        /// Nothing.
        Off = "off",
        /// Checkpoint and hashes.
        Hashes = "hashes",
        /// Checkpoint, hashes and entries.
        Entries = "entries",
    }
}

section! {
    /// A data object (CKO_DATA) in a token.
    pub struct AnchorObject {
        /// The token that holds it: the NAME of a `[token.NAME]`.
        token: super::values::Name,
        /// The object's CKA_LABEL. It is made where it is not there.
        label: String,
    }
}

impl Ledger {
    /// The key of the checkpoints; none where the ledger is not signed.
    pub fn note_key(&self) -> Option<NoteKey> {
        // The cross-checks have read it.
        self.verifier.as_deref().and_then(|text| NoteKey::from_text(text).ok())
    }
}

/// Adds what is wrong with the section as a whole.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let ledger = &config.ledger;
    match (&ledger.log_key, &ledger.verifier) {
        (Some(_), None) => reader.fail(
            "ledger",
            "the log's key has no `verifier`",
            "add what `chancery ledger key` prints",
        ),
        (None, Some(_)) => reader.fail(
            "ledger.verifier",
            "there is no `log_key` that it is the public half of",
            "name the key in `log_key`, or remove this key",
        ),
        _ => {}
    }
    if let Some(text) = &ledger.verifier
        && let Err(e) = NoteKey::from_text(text)
    {
        reader.fail("ledger.verifier", e.to_string(), "copy what `chancery ledger key` prints");
    }
    let anchored = ledger.anchor_file.is_some() || ledger.anchor_object.is_some();
    if anchored && ledger.log_key.is_none() {
        reader.fail(
            "ledger",
            "an anchor keeps signed checkpoints, and no key signs them",
            "add `log_key` and `verifier`, or remove the anchor",
        );
    }
    let inside = |path: &PathBuf| path.starts_with(config.signer.ledger_dir());
    if ledger.anchor_file.as_ref().is_some_and(inside) {
        reader.fail(
            "ledger.anchor_file",
            "it lies in the ledger's own folder and would be exchanged with it",
            "choose a path outside, best on another file system",
        );
    }
    for (name, witness) in &ledger.witness {
        let key = format!("ledger.witness.{name}");
        if let Err(e) = WitnessKey::from_text(&witness.key) {
            let next = "copy the verifier's key that the witness publishes, whole";
            reader.fail(&format!("{key}.key"), e.to_string(), next);
        }
        let url: Result<hyper::Uri, _> = witness.url.parse();
        let plain = |url: hyper::Uri| {
            url.scheme_str() == Some("http") && url.host().is_some() && url.query().is_none()
        };
        if !url.is_ok_and(plain) {
            reader.fail(
                &format!("{key}.url"),
                "it is no http:// URL without a query",
                "for a witness that speaks HTTPS alone name a local proxy, as docs/ledger.md shows",
            );
        }
        if ledger.log_key.is_none() {
            reader.fail(&key, "no key signs checkpoints for it", "add `log_key` and `verifier`");
        }
    }
    if let Some(object) = &ledger.anchor_object {
        super::cross::refer(
            "ledger.anchor_object.token",
            &object.token,
            "token",
            &config.token,
            reader,
        );
    }
}

/// Adds what a signer that is no laboratory must have. Told apart from [`check`], so that a
/// configuration to which these lines are still to be added can be read by `chancery ledger key`.
pub(super) fn check_required(config: &Config, reader: &mut Reader<'_>) {
    let ledger = &config.ledger;
    if config.lab {
        return;
    }
    if ledger.log_key.is_none() {
        reader.fail(
            "ledger",
            "nothing signs the ledger's checkpoints, so nobody could prove what was in it",
            "make a key for it in a ceremony (purpose `log-sign`) and add what `chancery ledger key` prints; \
             a laboratory (`lab = true`) goes without",
        );
    }
    if ledger.anchor_file.is_none() && ledger.anchor_object.is_none() {
        reader.fail(
            "ledger",
            "nothing outside the ledger remembers its head: an older copy would not be found",
            "add `anchor_object` or `anchor_file`",
        );
    }
}
