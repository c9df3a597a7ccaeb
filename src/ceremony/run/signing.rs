//! How something gets its signature: lint a copy signed with a throw-away key, record the bytes, sign,
//! compare, lint again. A crash at any point makes no second signature over other bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::RunError;
use super::room::{Key, Room};
use super::throw_away::ThrowAway;
use crate::ceremony::artefact::{Finding, Linted};
use crate::ceremony::transcript::{Artefact, Fact};
use crate::pki::{SerialNumber, SignatureAlgorithm, signed};

/// One thing that is to be signed.
pub(super) struct Structure<'a> {
    /// The step.
    pub(super) step: &'a str,
    /// What it is, unique in the step.
    pub(super) form: &'a str,
    /// The key's name in the plan.
    pub(super) key: &'a Key,
    /// How it is signed.
    pub(super) algorithm: SignatureAlgorithm,
    /// Lints that the plan skips.
    pub(super) skip: &'a [String],
}

impl Room<'_> {
    /// The bytes that were to be signed before an interruption.
    pub(super) fn earlier(&self, step: &str, form: &str) -> Option<Vec<u8>> {
        self.past.iter().find_map(|f| match f {
            Fact::ToBeSigned { step: s, form: o, tbs, .. } if s == step && o == form => {
                BASE64.decode(tbs).ok()
            }
            _ => None,
        })
    }

    /// Signs `tbs`; `lint` looks at a whole structure. Returns the whole structure.
    pub(super) fn sign(
        &mut self,
        what: &Structure<'_>,
        tbs: &[u8],
        lint: &dyn Fn(&[u8]) -> Linted,
    ) -> Result<Vec<u8>, RunError> {
        let step = what.step;
        let copy = self.lint_copy(what, tbs)?;
        self.lint(what, "before the signature", &lint(&copy))?;
        self.announce(step, what.form, what.key, tbs)?;
        let signature = match self.earlier_signature(what, tbs) {
            Some(signature) => signature,
            None => {
                let key = what.key;
                let made = self.bench.sign(&key.token, &key.id, &key.public, what.algorithm, tbs);
                self.calls()?;
                let signature = made?;
                self.record(Fact::Signature {
                    step: format!("{step} {}", what.form),
                    key: key.record.key.clone(),
                    algorithm: what.algorithm.to_string(),
                    signature: BASE64.encode(&signature),
                })?;
                signature
            }
        };
        what.key
            .public
            .verify(what.algorithm, tbs, &signature)
            .map_err(|e| Self::stop(step, format!("the signature is not good: {e}")))?;
        let whole = signed(tbs, what.algorithm, &signature)?;
        if inner(&whole) != inner(&copy) {
            return Err(Self::stop(step, "what was signed is not what the lints looked at"));
        }
        self.lint(what, "after the signature", &lint(&whole))?;
        Ok(whole)
    }

    /// Records what is about to be signed, once.
    pub(super) fn announce(
        &mut self,
        step: &str,
        form: &str,
        key: &Key,
        tbs: &[u8],
    ) -> Result<(), RunError> {
        let (place, bytes) = (format!("{step} {form}"), tbs.len());
        let sha256 = hex::encode(openssl::sha::sha256(tbs));
        self.listing.push(format!("to be signed: {place}, {bytes} bytes, SHA-256 {sha256}"));
        self.structures.push((place, tbs.to_vec()));
        if self.earlier(step, form).is_some() {
            return Ok(());
        }
        self.record(Fact::ToBeSigned {
            step: step.to_owned(),
            form: form.to_owned(),
            key: key.record.key.clone(),
            tbs: BASE64.encode(tbs),
            sha256,
        })
    }

    /// The signature of before an interruption, if it is over the same bytes.
    fn earlier_signature(&self, what: &Structure<'_>, tbs: &[u8]) -> Option<Vec<u8>> {
        let place = format!("{} {}", what.step, what.form);
        let signature = self.past.iter().find_map(|f| match f {
            Fact::Signature { step, signature, .. } if *step == place => {
                BASE64.decode(signature).ok()
            }
            _ => None,
        })?;
        what.key.public.verify(what.algorithm, tbs, &signature).is_ok().then_some(signature)
    }

    /// The same bytes, signed with a throw-away key of the same kind.
    fn lint_copy(&self, what: &Structure<'_>, tbs: &[u8]) -> Result<Vec<u8>, RunError> {
        // A key for the copies alone: RSA of 2048 bits is as good as any, for only the bytes count.
        let kind = match what.key.public.kind() {
            crate::pki::KeyKind::Rsa(_) => crate::pki::KeyKind::Rsa(2048),
            other => other,
        };
        let key = ThrowAway::new(kind)?;
        let signature = key.sign(what.algorithm, tbs)?;
        Ok(signed(tbs, what.algorithm, &signature)?)
    }

    fn lint(&mut self, what: &Structure<'_>, moment: &str, found: &Linted) -> Result<(), RunError> {
        let (skipped, findings): (Vec<&Finding>, Vec<&Finding>) =
            found.findings.iter().partition(|f| what.skip.iter().any(|s| s == f.lint));
        let text = |all: &[&Finding]| -> Vec<String> {
            all.iter().map(|f| format!("{}: {}", f.lint, f.problem)).collect()
        };
        let passed = (found.rules - found.findings.len()) as u64;
        let findings = text(&findings);
        self.record(Fact::Lint {
            step: what.step.to_owned(),
            moment: format!("{}, {moment}", what.form),
            passed,
            findings: findings.clone(),
            skipped: text(&skipped),
        })?;
        if findings.is_empty() {
            return Ok(());
        }
        Err(Self::stop(
            what.step,
            format!(
                "{} breaks rules: {}; change the plan, or name the lint in skip_lints with the policy's \
                 consent",
                what.form,
                findings.join("; ")
            ),
        ))
    }

    /// A serial number of 128 random bits behind a 1: positive, never zero, 17 octets. The token's
    /// randomness is mixed in where there is a token.
    pub(super) fn new_serial(&mut self, token: Option<&str>) -> Result<SerialNumber, RunError> {
        let mut bytes: [u8; 16] = crate::random::bytes(self.options.random.as_ref())?;
        if let Some(more) = token.and_then(|t| self.bench.random(t, 16)) {
            for (byte, other) in bytes.iter_mut().zip(more) {
                *byte ^= other;
            }
        }
        Ok(SerialNumber::from_content(&[&[1], bytes.as_slice()].concat()))
    }

    /// Writes a file and records it, once.
    pub(super) fn write(
        &mut self,
        step: &str,
        file: &str,
        form: &str,
        bytes: &[u8],
    ) -> Result<(), RunError> {
        self.output.write(file, bytes)?;
        let artefact = Artefact {
            file: file.to_owned(),
            form: form.to_owned(),
            bytes: bytes.len() as u64,
            sha256: hex::encode(openssl::sha::sha256(bytes)),
        };
        let fact = Fact::Artefact { step: step.to_owned(), artefact };
        if !self.past.contains(&fact) {
            self.record(fact)?;
        }
        self.desk.show(&format!("Written: artefacts/{file}"));
        let files = self.files.entry(step.to_owned()).or_default();
        files.push((file.to_owned(), form.to_owned()));
        Ok(())
    }
}

/// The first element of a SEQUENCE: what is signed.
fn inner(whole: &[u8]) -> Option<&[u8]> {
    use der::Decode as _;
    let outer = der::asn1::AnyRef::from_der(whole).ok()?;
    let content = outer.value();
    let mut reader = der::SliceReader::new(content).ok()?;
    der::Reader::tlv_bytes(&mut reader).ok()
}
