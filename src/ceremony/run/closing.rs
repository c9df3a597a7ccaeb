//! The end: inventories, the seal, the fingerprint; and what is restored of finished steps after an
//! interruption.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::RunError;
use super::room::{Key, Room};
use crate::ceremony::plan::{Action, Step};
use crate::ceremony::transcript::{Fact, Mode, Outcome};
use crate::ceremony::words;
use crate::pki::{Certificate, CertificateRequest, PublicKey};

impl Room<'_> {
    /// Everything after the last step.
    pub(super) fn close(&mut self) -> Result<(), RunError> {
        let seal = self.plan.seal.clone();
        self.listing.push("\nClosing".into());
        let tokens: Vec<String> = self.plan.tokens.keys().cloned().collect();
        for token in tokens.iter().filter(|t| self.bench.is_open(t)).cloned().collect::<Vec<_>>() {
            self.take_inventory(&token, "after")?;
        }
        if let Some(seal) = seal {
            self.seal(&seal.key)?;
        }
        for token in &tokens {
            self.bench.close(token);
        }
        self.calls()?;
        self.record(Fact::End { outcome: Outcome::Done, reason: String::new() })?;
        if self.options.mode == Mode::DryRun {
            return Ok(());
        }
        let head = self.journal.head();
        self.desk.show("\nThe ceremony has ended. Write its fingerprint on paper and sign it:");
        self.desk.show(&format!("    {}", words::grouped_hex(&head)));
        for line in words::words(&head).split(' ').collect::<Vec<_>>().chunks(8) {
            self.desk.show(&format!("    {}", line.join(" ")));
        }
        Ok(())
    }

    fn seal(&mut self, name: &str) -> Result<(), RunError> {
        let missing = || RunError::Refused(format!("there is no key {name} to seal with"));
        let key = self.keys.get(name).cloned().ok_or_else(missing)?;
        // The last access is announced before, so that the head covers it.
        self.log_in(&key.token)?;
        self.calls()?;
        let head = self.journal.head();
        let algorithm = key.public.kind().default_signature();
        let message = seal_message(&head);
        let signed = self.bench.sign(&key.token, &key.id, &key.public, algorithm, &message);
        let calls = self.bench.take_calls();
        let signed = match signed {
            Ok(signed) => signed,
            Err(e) => {
                self.record_calls(calls)?;
                return Err(e);
            }
        };
        self.listing.push(format!("to be signed: the transcript's head, by the key {name}"));
        self.record(Fact::Seal {
            key: name.to_owned(),
            spki_sha256: key.record.spki_sha256,
            algorithm: algorithm.to_string(),
            head: hex::encode(head),
            signature: BASE64.encode(signed),
        })?;
        self.record_calls(calls)
    }

    /// What a finished step had made, read from the transcript and the files.
    pub(super) fn restore(&mut self, step: &Step) -> Result<(), RunError> {
        let id = step.id.as_str();
        let past = self.past.clone();
        for fact in &past {
            match fact {
                Fact::Key { step, key, .. } if step == id => {
                    let public = BASE64.decode(&key.spki).ok();
                    let public = public.and_then(|b| PublicKey::from_spki(&b).ok());
                    let Action::KeyGenerate(plan) = &find(self, id)?.action else { continue };
                    if let (Some(public), Ok(id_bytes)) = (public, hex::decode(&key.id)) {
                        let record = key.clone();
                        let (token, label) = (key.token.clone(), key.label.clone());
                        let purpose = plan.purpose;
                        let made = Key { token, id: id_bytes, label, purpose, public, record };
                        self.keys.insert(id.to_owned(), made);
                    }
                }
                Fact::Artefact { step, artefact } if step == id => {
                    self.restore_file(id, &artefact.file, &artefact.form, &artefact.sha256)?;
                }
                Fact::Input { step, content, form, .. } if step == id && form == "csr" => {
                    let bytes = BASE64.decode(content).unwrap_or_default();
                    if let Action::ImportCsr(_) = &find(self, id)?.action {
                        self.restore_request(id, &bytes)?;
                    }
                }
                Fact::KeyDestroyed { step, key, .. } if step == id => {
                    self.keys.remove(key);
                }
                _ => {}
            }
        }
        match &step.action {
            Action::TokenInit(s) => {
                self.log_in(&s.token)?;
                self.is_the_same(&s.token)?;
                self.take_inventory(&s.token, "before")
            }
            Action::TokenClose(s) => {
                self.bench.close(&s.token);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a token is the one that was initialised before the interruption.
    fn is_the_same(&mut self, token: &str) -> Result<(), RunError> {
        let found = self.bench.describe(token)?;
        self.calls()?;
        let before = self.past.iter().find_map(|f| match f {
            Fact::TokenInitialised { token: t, serial, .. } if t == token => Some(serial.clone()),
            _ => None,
        });
        if let Some(before) = before.filter(|before| *before != found.serial) {
            return Err(RunError::Refused(format!(
                "the token {token} has the serial number {}, and the one that was initialised had {before}; \
                 use the right token",
                found.serial
            )));
        }
        self.record(Fact::Token { token: token.to_owned(), found })
    }

    fn restore_request(&mut self, step: &str, bytes: &[u8]) -> Result<(), RunError> {
        let der = if bytes.first() == Some(&b'{') {
            let message = crate::ceremony::exchange::read(bytes)?;
            let item = message.payload.items.iter().find(|i| i.form == "csr");
            item.map(|i| i.bytes()).transpose()?.unwrap_or_default()
        } else {
            bytes.to_vec()
        };
        let der = match der::pem::decode_vec(&der) {
            Ok((_, der)) => der,
            Err(_) => der,
        };
        let request =
            CertificateRequest::from_der(&der).map_err(|e| Self::stop(step, e.to_string()))?;
        self.requests.insert(step.to_owned(), request);
        self.imported.insert(step.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn restore_file(
        &mut self,
        step: &str,
        file: &str,
        form: &str,
        sha256: &str,
    ) -> Result<(), RunError> {
        let bytes = self.output.read(file)?;
        if hex::encode(openssl::sha::sha256(&bytes)) != sha256 {
            return Err(Self::stop(
                step,
                format!("artefacts/{file} was changed since it was written"),
            ));
        }
        match form {
            "certificate" => {
                let certificate = Certificate::from_pem(&bytes)?;
                self.certificates.insert(step.to_owned(), certificate);
            }
            "crl" => {
                self.crls.insert(step.to_owned(), bytes);
            }
            "csr" => {
                let der = der::pem::decode_vec(&bytes).map(|(_, der)| der).unwrap_or_default();
                let request = CertificateRequest::from_der(&der)
                    .map_err(|e| Self::stop(step, e.to_string()))?;
                self.requests.insert(step.to_owned(), request);
            }
            _ => {}
        }
        let entry = (file.to_owned(), form.to_owned());
        self.files.entry(step.to_owned()).or_default().push(entry);
        Ok(())
    }
}

fn find<'p>(room: &Room<'p>, id: &str) -> Result<&'p Step, RunError> {
    let found = room.plan.steps.iter().find(|s| s.id == id);
    found.ok_or_else(|| RunError::Refused(format!("the plan has no step {id}")))
}

/// What the seal signs: the chain's head before it.
pub(crate) fn seal_message(head: &[u8; 32]) -> Vec<u8> {
    [b"chancery-transcript-1 seal\0", head.as_slice()].concat()
}
