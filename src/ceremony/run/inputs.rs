//! What is there before: keys, certificates, CRLs; and what stands in for them in a rehearsal.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::RunError;
use super::room::Room;
use super::throw_away::ThrowAway;
use crate::ceremony::artefact::{
    CertificateTerms, CrlTerms, PreviousCrl, name, tbs_certificate, tbs_crl,
};
use crate::ceremony::plan::ExistingCertificate;
use crate::ceremony::transcript::Fact;
use crate::pki::{Certificate, PublicKey, signed};

/// The largest file that is read.
const LIMIT: u64 = 4 << 20;

impl Room<'_> {
    /// Finds existing keys and reads existing certificates and CRLs.
    pub(super) fn existing(&mut self) -> Result<(), RunError> {
        for (name, key) in self.plan.keys.clone() {
            self.find_existing_key(&name, &key)?;
        }
        let mut open: Vec<(String, ExistingCertificate)> =
            self.plan.certificates.clone().into_iter().collect();
        // Issuers first, for the stand-ins.
        while !open.is_empty() {
            let ready = open.iter().position(|(name, c)| {
                c.issuer.as_ref().is_none_or(|i| i == name || self.certificates.contains_key(i))
            });
            let Some(index) = ready else {
                return Err(RunError::Refused("certificates name each other as issuers".into()));
            };
            let (name, certificate) = open.remove(index);
            self.existing_certificate(&name, &certificate)?;
        }
        for (name, crl) in self.plan.crls.clone() {
            let issuer = self.certificates.get(&crl.issuer).cloned();
            let Some(issuer) = issuer else {
                return Err(RunError::Refused(format!("crl.{name} names no certificate")));
            };
            let bytes = match self.earlier_input(&crl.file) {
                Some(bytes) => bytes,
                None if self.is_rehearsed() => self.stand_in_crl(&crl.issuer, &issuer)?,
                None => self.input(&crl.file, crl.sha256.as_deref(), "crl")?,
            };
            PreviousCrl::read(&bytes, &issuer)?;
            self.record_input("opening", &crl.file, "crl", &bytes)?;
            self.crls.insert(name, bytes);
        }
        Ok(())
    }

    fn existing_certificate(
        &mut self,
        name: &str,
        plan: &ExistingCertificate,
    ) -> Result<(), RunError> {
        let bytes = match self.earlier_input(&plan.file) {
            Some(bytes) => bytes,
            None if self.is_rehearsed() => self.stand_in(plan)?,
            None => self.input(&plan.file, plan.sha256.as_deref(), "certificate")?,
        };
        let certificate =
            Certificate::from_pem(&bytes).or_else(|_| Certificate::from_der(&bytes))?;
        if let Some(key) = plan.key.as_ref().and_then(|k| self.keys.get(k))
            && key.public != *certificate.public_key()
        {
            return Err(RunError::Refused(format!(
                "the certificate {} is not for the key {} of the token",
                plan.file.display(),
                key.label
            )));
        }
        self.record_input("opening", &plan.file, "certificate", &bytes)?;
        self.certificates.insert(name.to_owned(), certificate);
        Ok(())
    }

    /// What was read, or made as a stand-in, before an interruption: it is used again.
    fn earlier_input(&self, file: &Path) -> Option<Vec<u8>> {
        let file = file.display().to_string();
        self.past.iter().find_map(|f| match f {
            Fact::Input { file: f, content, .. } if *f == file => BASE64.decode(content).ok(),
            _ => None,
        })
    }

    /// Reads a file that the plan names.
    pub(super) fn input(
        &self,
        file: &Path,
        sha256: Option<&str>,
        form: &str,
    ) -> Result<Vec<u8>, RunError> {
        let path = self.options.base.join(file);
        let failed = |cause| RunError::File { path: path.clone(), cause };
        let size = std::fs::metadata(&path).map_err(failed)?.len();
        if size > LIMIT {
            return Err(RunError::Refused(format!("{} is too large for a {form}", path.display())));
        }
        let bytes = std::fs::read(&path).map_err(failed)?;
        let found = hex::encode(openssl::sha::sha256(&bytes));
        match sha256 {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => Err(RunError::Refused(
                format!("{} has the SHA-256 {found}, and the plan wants {wanted}", path.display()),
            )),
            _ => Ok(bytes),
        }
    }

    /// Records a file that was read, unless that was done before an interruption.
    pub(super) fn record_input(
        &mut self,
        step: &str,
        file: &Path,
        form: &str,
        bytes: &[u8],
    ) -> Result<(), RunError> {
        let fact = Fact::Input {
            step: step.to_owned(),
            file: file.display().to_string(),
            form: form.to_owned(),
            sha256: hex::encode(openssl::sha::sha256(bytes)),
            content: BASE64.encode(bytes),
        };
        if self.past.contains(&fact) {
            return Ok(());
        }
        self.record(fact)
    }

    /// A certificate that stands for an existing one in a rehearsal.
    fn stand_in(&mut self, plan: &ExistingCertificate) -> Result<Vec<u8>, RunError> {
        let Some(profile) = self.plan.profiles.get(&plan.profile).cloned() else {
            return Err(RunError::Refused(format!("there is no profile {}", plan.profile)));
        };
        let subject = name(&self.subject(&plan.subject))?;
        let issuer = plan.issuer.as_ref().and_then(|i| self.certificates.get(i)).cloned();
        let own = plan.key.as_ref().and_then(|k| self.keys.get(k)).cloned();
        let throw_away = ThrowAway::new(crate::pki::KeyKind::P384)?;
        let public = match &own {
            Some(key) => key.public.clone(),
            None => throw_away.public()?,
        };
        let signer_key = match &issuer {
            Some(issuer) => self.key_of(issuer),
            None => own,
        };
        let algorithm = signer_key
            .as_ref()
            .map_or(crate::pki::KeyKind::P384, |k| k.public.kind())
            .default_signature();
        let now = self.options.clock.now();
        let serial = self.new_serial(None)?;
        let not_after = profile.validity.after(now);
        let limit = issuer.as_ref().map_or(not_after, Certificate::not_after);
        let tbs = tbs_certificate(&CertificateTerms {
            profile: &profile,
            subject: &subject,
            key: &public,
            key_identifier: &public.key_identifier(),
            issuer: issuer.as_ref(),
            algorithm,
            serial: &serial,
            not_before: now,
            not_after: not_after.min(limit),
        })?;
        let signature = match &signer_key {
            Some(key) => self.bench.sign(&key.token, &key.id, &key.public, algorithm, &tbs)?,
            None => throw_away.sign(algorithm, &tbs)?,
        };
        self.calls()?;
        let der = signed(&tbs, algorithm, &signature)?;
        Ok(crate::pki::pem("CERTIFICATE", &der).into_bytes())
    }

    fn stand_in_crl(&mut self, name: &str, issuer: &Certificate) -> Result<Vec<u8>, RunError> {
        let missing = || RunError::Refused(format!("the key of {name} is on no token of the plan"));
        let key = self.key_of(issuer).ok_or_else(missing)?;
        let algorithm = key.public.kind().default_signature();
        let now = self.options.clock.now();
        let next_update = now.after(std::time::Duration::from_secs(86_400));
        let terms =
            CrlTerms { issuer, algorithm, number: 1, this_update: now, next_update, entries: &[] };
        let tbs = tbs_crl(&terms)?;
        let signature = self.bench.sign(&key.token, &key.id, &key.public, algorithm, &tbs)?;
        self.calls()?;
        Ok(signed(&tbs, algorithm, &signature)?)
    }

    /// The key of the plan's tokens whose public half a certificate holds.
    pub(super) fn key_of(&self, certificate: &Certificate) -> Option<super::room::Key> {
        self.key_with(certificate.public_key())
    }

    /// The key of the plan's tokens with this public half.
    pub(super) fn key_with(&self, public: &PublicKey) -> Option<super::room::Key> {
        self.keys.values().find(|k| k.public == *public).cloned()
    }
}
