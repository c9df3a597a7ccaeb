//! Steps that sign certificates, requests and CRLs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::RunError;
use super::room::{Key, Room};
use super::signing::Structure;
use crate::ceremony::artefact::{
    CertificateTerms, CrlEntry, CrlTerms, Finding, LintContext, Linted, PreviousCrl, check_path,
    lint_certificate, lint_crl, name, request_info, tbs_certificate, tbs_crl,
};
use crate::ceremony::plan::{
    CertificateProfile, CrossSign, CsrCreate, Issue, Rekey, Renew, SelfSigned, SignCrl,
};
use crate::ceremony::transcript::Fact;
use crate::clock::Timestamp;
use crate::pki::{Certificate, CertificateRequest, PublicKey, SerialNumber, pem};

/// A certificate that is to be made.
struct Wanted<'a> {
    step: &'a str,
    form: &'a str,
    profile: &'a str,
    subject: Vec<u8>,
    key: PublicKey,
    key_identifier: Vec<u8>,
    issuer: Option<Certificate>,
    not_before: Option<&'a str>,
    skip: &'a [String],
    out: &'a str,
}

impl Room<'_> {
    fn profile(&self, step: &str, name: &str) -> Result<CertificateProfile, RunError> {
        let found = self.plan.profiles.get(name).cloned();
        found.ok_or_else(|| Self::stop(step, format!("there is no profile {name}")))
    }

    fn certificate(&self, step: &str, name: &str) -> Result<Certificate, RunError> {
        let found = self.certificates.get(name).cloned();
        found.ok_or_else(|| Self::stop(step, format!("there is no certificate {name}")))
    }

    fn key(&self, step: &str, name: &str) -> Result<Key, RunError> {
        let found = self.keys.get(name).cloned();
        found.ok_or_else(|| Self::stop(step, format!("there is no key {name}")))
    }

    pub(super) fn self_signed(&mut self, step: &str, s: &SelfSigned) -> Result<(), RunError> {
        let key = self.key(step, &s.key)?.public;
        self.make(&Wanted {
            step,
            form: "certificate",
            profile: &s.profile,
            subject: name(&self.subject(&s.subject))?,
            key_identifier: key.key_identifier().to_vec(),
            key,
            issuer: None,
            not_before: s.not_before.as_deref(),
            skip: &s.skip_lints,
            out: &s.out,
        })
    }

    pub(super) fn issue(&mut self, step: &str, s: &Issue) -> Result<(), RunError> {
        let request = s.csr.as_ref().and_then(|r| self.requests.get(r));
        let (key, asked) = match (request, &s.key) {
            (Some(request), _) => {
                request.verify_possession().map_err(|e| Self::stop(step, e.to_string()))?;
                (request.public_key().clone(), Some(request.subject().to_vec()))
            }
            (None, Some(key)) => (self.key(step, key)?.public, None),
            (None, None) => return Err(Self::stop(step, "there is no request")),
        };
        let subject = match (&s.subject, asked) {
            (Some(subject), _) => name(&self.subject(subject))?,
            (None, Some(asked)) => asked,
            (None, None) => return Err(Self::stop(step, "there is no subject")),
        };
        self.make(&Wanted {
            step,
            form: "certificate",
            profile: &s.profile,
            subject,
            key_identifier: key.key_identifier().to_vec(),
            key,
            issuer: Some(self.certificate(step, &s.issuer)?),
            not_before: s.not_before.as_deref(),
            skip: &s.skip_lints,
            out: &s.out,
        })
    }

    /// The same subject, key and key identifier, under another CA.
    pub(super) fn cross_sign(&mut self, step: &str, s: &CrossSign) -> Result<(), RunError> {
        let other = self.certificate(step, &s.certificate)?;
        let issuer = self.certificate(step, &s.issuer)?;
        self.repeat(step, "certificate", &other, Some(issuer), &s.profile, &s.skip_lints, &s.out)
    }

    pub(super) fn renew(&mut self, step: &str, s: &Renew) -> Result<(), RunError> {
        let old = self.certificate(step, &s.certificate)?;
        let issuer = s.issuer.as_ref().map(|i| self.certificate(step, i)).transpose()?;
        self.repeat(step, "certificate", &old, issuer, &s.profile, &s.skip_lints, &s.out)
    }

    /// Old with new and new with old (RFC 4210 section 4.4.1).
    pub(super) fn link(&mut self, step: &str, s: &Rekey) -> Result<(), RunError> {
        let (old, new) = (self.certificate(step, &s.old)?, self.certificate(step, &s.new)?);
        if old.subject() != new.subject() {
            return Err(Self::stop(step, "the old and the new CA have different names"));
        }
        if old.public_key() == new.public_key() {
            return Err(Self::stop(
                step,
                "the old and the new CA have the same key; use cert.renew",
            ));
        }
        let forms = ["certificate new with old", "certificate old with new"];
        let mut skip = s.skip_lints.clone();
        // The old key's link lives as long as the old certificate, not as long as the profile says.
        skip.push("validity-nested".into());
        self.repeat(
            step,
            forms[0],
            &new,
            Some(old.clone()),
            &s.profile,
            &skip,
            &s.out_new_with_old,
        )?;
        self.repeat(step, forms[1], &old, Some(new), &s.profile, &skip, &s.out_old_with_new)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what differs between the three ways to repeat a certificate"
    )]
    fn repeat(
        &mut self,
        step: &str,
        form: &str,
        old: &Certificate,
        issuer: Option<Certificate>,
        profile: &str,
        skip: &[String],
        out: &str,
    ) -> Result<(), RunError> {
        let key = old.public_key().clone();
        let identifier = old.subject_key_identifier();
        self.make(&Wanted {
            step,
            form,
            profile,
            subject: old.subject().to_vec(),
            key_identifier: identifier.unwrap_or_else(|| key.key_identifier().to_vec()),
            key,
            issuer,
            not_before: None,
            skip,
            out,
        })
    }

    fn make(&mut self, wanted: &Wanted<'_>) -> Result<(), RunError> {
        let step = wanted.step;
        let profile = self.profile(step, wanted.profile)?;
        let signer = match &wanted.issuer {
            Some(issuer) => self.key_of(issuer),
            None => self.key_with(&wanted.key),
        };
        let signer = signer
            .ok_or_else(|| Self::stop(step, "the issuer's key is on no token of the plan"))?;
        self.log_in(&signer.token)?;
        let algorithm = signer.public.kind().default_signature();
        let tbs = match self.earlier(step, wanted.form) {
            Some(tbs) => tbs,
            None => {
                let now = self.options.clock.now();
                let not_before = match wanted.not_before {
                    Some(text) => moment(text)
                        .ok_or_else(|| Self::stop(step, "not_before is no RFC 3339 time in UTC"))?,
                    None => Timestamp::from_unix_seconds(now.unix_seconds()),
                };
                let not_after =
                    profile.validity.after(not_before).before(std::time::Duration::from_secs(1));
                let serial = self.new_serial(Some(&signer.token))?;
                self.calls()?;
                tbs_certificate(&CertificateTerms {
                    profile: &profile,
                    subject: &wanted.subject,
                    key: &wanted.key,
                    key_identifier: &wanted.key_identifier,
                    issuer: wanted.issuer.as_ref(),
                    algorithm,
                    serial: &serial,
                    not_before,
                    not_after,
                })?
            }
        };
        let issuer = wanted.issuer.as_ref();
        let context = LintContext {
            profile: &profile,
            issuer,
            algorithm,
            key_identifier: &wanted.key_identifier,
        };
        let lint = |whole: &[u8]| match Certificate::from_der(whole) {
            Ok(certificate) => lint_certificate(&certificate, &context),
            Err(e) => {
                let finding = Finding { lint: "readable", problem: e.to_string() };
                Linted { rules: 1, findings: vec![finding] }
            }
        };
        let structure =
            Structure { step, form: wanted.form, key: &signer, algorithm, skip: wanted.skip };
        let der = self.sign(&structure, &tbs, &lint)?;
        let certificate = Certificate::from_der(&der)?;
        self.check_path(step, &certificate, issuer)?;
        let subject = crate::pki::name::display(certificate.subject());
        self.desk
            .show(&format!("Certificate for {subject}, serial number {}", certificate.serial()));
        self.write(step, wanted.out, "certificate", certificate.to_pem().as_bytes())?;
        self.certificates.entry(step.to_owned()).or_insert(certificate);
        Ok(())
    }

    /// The path from the new certificate to a self-signed one, in the middle of its validity.
    fn check_path(
        &mut self,
        step: &str,
        certificate: &Certificate,
        issuer: Option<&Certificate>,
    ) -> Result<(), RunError> {
        let begin = certificate.not_before();
        let at = begin.after(certificate.not_after().since(begin) / 2);
        let Some(issuer) = issuer else {
            let own = std::slice::from_ref(certificate);
            return check_path(certificate, &[], own, at)
                .map_err(|e| Self::stop(step, e.to_string()));
        };
        let at = at.min(begin.after(issuer.not_after().since(begin) / 2));
        let known: Vec<&Certificate> = self.certificates.values().collect();
        let mut chain = vec![issuer.clone()];
        while let Some(last) = chain.last().filter(|c| !is_self_signed(c)) {
            let signed = |c: &&&Certificate| {
                c.subject() == last.issuer() && last.verify_signature(c.public_key()).is_ok()
            };
            match known.iter().find(signed) {
                Some(above) if !chain.contains(above) => chain.push((*above).clone()),
                // The root is elsewhere: the signature was verified, no more can be said.
                _ => return Ok(()),
            }
        }
        let root = chain.split_off(chain.len() - 1);
        check_path(certificate, &chain, &root, at).map_err(|e| Self::stop(step, e.to_string()))
    }

    pub(super) fn create_request(&mut self, step: &str, s: &CsrCreate) -> Result<(), RunError> {
        let key = self.key(step, &s.key)?;
        let info = match self.earlier(step, "csr") {
            Some(info) => info,
            None => request_info(&name(&self.subject(&s.subject))?, &key.public)?,
        };
        if !key.purpose.signs() {
            return Err(Self::stop(
                step,
                "a decryption key signs no request; name the key in cert.issue",
            ));
        }
        let signature = self.sign_plain(step, "csr", &key, &info)?;
        let algorithm = key.public.kind().default_signature();
        let der = crate::pki::signed(&info, algorithm, &signature)?;
        let request =
            CertificateRequest::from_der(&der).map_err(|e| Self::stop(step, e.to_string()))?;
        request.verify_possession().map_err(|e| Self::stop(step, e.to_string()))?;
        self.desk.show("The request's SHA-256 in words:");
        self.desk.show(&format!("    {}", crate::ceremony::words::words(&request.fingerprint())));
        self.write(step, &s.out, "csr", pem("CERTIFICATE REQUEST", &der).as_bytes())?;
        self.requests.insert(step.to_owned(), request);
        Ok(())
    }

    /// Signs what no lint knows: a request, an exchange message. Returns the signature.
    pub(super) fn sign_plain(
        &mut self,
        step: &str,
        form: &str,
        key: &Key,
        tbs: &[u8],
    ) -> Result<Vec<u8>, RunError> {
        self.log_in(&key.token)?;
        let algorithm = key.public.kind().default_signature();
        self.announce(step, form, key, tbs)?;
        let place = format!("{step} {form}");
        let before = self.past.iter().find_map(|f| match f {
            Fact::Signature { step, signature, .. } if *step == place => {
                BASE64.decode(signature).ok()
            }
            _ => None,
        });
        if let Some(signature) = before.filter(|s| key.public.verify(algorithm, tbs, s).is_ok()) {
            return Ok(signature);
        }
        let made = self.bench.sign(&key.token, &key.id, &key.public, algorithm, tbs);
        self.calls()?;
        let signature = made?;
        self.record(Fact::Signature {
            step: place,
            key: key.record.key.clone(),
            algorithm: algorithm.to_string(),
            signature: BASE64.encode(&signature),
        })?;
        Ok(signature)
    }

    pub(super) fn sign_crl(&mut self, step: &str, s: &SignCrl) -> Result<(), RunError> {
        let issuer = self.certificate(step, &s.issuer)?;
        let key = self.key_of(&issuer);
        let key =
            key.ok_or_else(|| Self::stop(step, "the issuer's key is on no token of the plan"))?;
        self.log_in(&key.token)?;
        let algorithm = key.public.kind().default_signature();
        let previous = match self.crls.get(&s.previous) {
            Some(bytes) => PreviousCrl::read(bytes, &issuer)?,
            None => PreviousCrl::default(),
        };
        let earlier = self.earlier(step, "crl");
        let now = match &earlier {
            Some(tbs) => this_update(tbs).unwrap_or_else(|| self.options.clock.now()),
            None => Timestamp::from_unix_seconds(self.options.clock.now().unix_seconds()),
        };
        let mut entries = previous.entries.clone();
        for revoked in &s.revoked {
            let serial = match (&revoked.certificate, &revoked.serial) {
                (Some(name), _) => self.certificate(step, name)?.serial().clone(),
                (None, Some(text)) => {
                    text.parse::<SerialNumber>().map_err(|e| Self::stop(step, e))?
                }
                (None, None) => continue,
            };
            if !entries.iter().any(|e| e.serial == serial) {
                entries.push(CrlEntry { serial, date: now, reason: revoked.reason.code() });
            }
        }
        let terms = CrlTerms {
            issuer: &issuer,
            algorithm,
            number: previous.number + 1,
            this_update: now,
            next_update: s.next_update.after(now),
            entries: &entries,
        };
        let tbs = match earlier {
            Some(tbs) => tbs,
            None => tbs_crl(&terms)?,
        };
        let lint = |whole: &[u8]| lint_crl(whole, &terms, &previous);
        let structure = Structure { step, form: "crl", key: &key, algorithm, skip: &[] };
        let der = self.sign(&structure, &tbs, &lint)?;
        self.desk.show(&format!("CRL number {} with {} entries", terms.number, entries.len()));
        self.write(step, &s.out, "crl", &der)?;
        self.crls.insert(step.to_owned(), der);
        Ok(())
    }
}

fn is_self_signed(certificate: &Certificate) -> bool {
    certificate.is_self_issued() && certificate.verify_signature(certificate.public_key()).is_ok()
}

fn moment(text: &str) -> Option<Timestamp> {
    let date: der::DateTime = text.parse().ok()?;
    Some(Timestamp::from_unix_seconds(date.unix_duration().as_secs()))
}

/// thisUpdate of a TBSCertList.
fn this_update(tbs: &[u8]) -> Option<Timestamp> {
    use der::Decode as _;
    let list = <x509_cert::crl::TbsCertList>::from_der(tbs).ok()?;
    Some(Timestamp::from_unix_seconds(list.this_update.to_unix_duration().as_secs()))
}
