//! A root, an issuing CA and the RA's two keys in a token, with their certificates beside it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chancery::clock::{Clock as _, SystemClock, Timestamp};
use chancery::hsm::{Hsm, HsmSigner, KeyPurpose, KeyReference};
use chancery::issuance::Issuer;
use chancery::issuance::bootstrap::{Authority, CaTerms, RaRole, Subject, self_signed_ca};
use chancery::pki::{Certificate, KeyKind, PublicKey};
use chancery::random::SystemRandom;

use crate::error::{Context, Result};
use crate::token::Token;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A key in the token with its certificate.
#[derive(Clone, Debug)]
pub struct Certified {
    /// CKA_LABEL, and the name of the certificate's file.
    pub label: &'static str,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// The certificate's PEM file.
    pub path: PathBuf,
}

/// Makes the four keys in `token` and writes `root.pem`, `issuing.pem`, `ra-decryption.pem` and
/// `ra-signing.pem` into its folder. The CAs' keys are of `kind`, the RA's are RSA-2048.
pub fn create(token: &Token, kind: KeyKind) -> Result<[Certified; 4]> {
    let hsm = token.open()?;
    let made = Work { token, hsm: &hsm, now: SystemClock.now() }.all(kind);
    // The process may end now, and a thread that is still inside the module would crash it.
    hsm.shutdown();
    made
}

struct Work<'a> {
    token: &'a Token,
    hsm: &'a Hsm,
    now: Timestamp,
}

impl Work<'_> {
    fn all(&self, kind: KeyKind) -> Result<[Certified; 4]> {
        let (root_id, root) = self.signer("root", kind)?;
        let (issuing_id, issuing) = self.signer("issuing", kind)?;
        let rsa = KeyKind::Rsa(2048);
        let (signing_id, signing) = self.key("ra-signing", rsa, KeyPurpose::RaSign)?;
        let decryption = self.key("ra-decryption", rsa, KeyPurpose::RaDecrypt)?;

        let terms = |years: u32| CaTerms { validity: YEAR * years, ..CaTerms::default() };
        let root_name = Subject::common_name("softhsm-test root");
        let root_certificate =
            self_signed_ca(&root_name, &terms(20), &root, &SystemRandom, self.now)
                .context("the root")?;
        let chain = vec![root_certificate.clone()];
        let upper = Issuer::new("root", root_certificate.clone(), Vec::new(), root.algorithm())
            .context("the root")?;
        let issuing_name = Subject::common_name("softhsm-test issuing CA");
        let issuing_terms = CaTerms { path_len: Some(0), ..terms(10) };
        let issuing_certificate = Authority::new(&upper, &root)
            .and_then(|authority| {
                let key = issuing.public_key();
                authority.issue_ca(&issuing_name, key, &issuing_terms, &SystemRandom, self.now)
            })
            .context("the issuing CA's certificate")?;
        let issuer =
            Issuer::new("issuing", issuing_certificate.clone(), chain, issuing.algorithm())
                .context("the issuing CA")?;
        let authority = Authority::new(&issuer, &issuing).context("the issuing CA")?;
        let ra = |role, common_name: &str, key: &PublicKey| {
            let subject = Subject::common_name(common_name);
            let made = authority.issue_ra(role, &subject, key, &terms(2), &SystemRandom, self.now);
            made.context(common_name)
        };
        let decryption_certificate =
            ra(RaRole::Decryption, "softhsm-test RA decryption", &decryption.1)?;
        let signing_certificate = ra(RaRole::Signing, "softhsm-test RA signing", &signing)?;
        Ok([
            self.keep("root", root_id, &root_certificate)?,
            self.keep("issuing", issuing_id, &issuing_certificate)?,
            self.keep("ra-decryption", decryption.0, &decryption_certificate)?,
            self.keep("ra-signing", signing_id, &signing_certificate)?,
        ])
    }

    /// A CA's key, made and ready to sign, with its CKA_ID.
    fn signer(&self, label: &str, kind: KeyKind) -> Result<(Vec<u8>, HsmSigner)> {
        let purpose = KeyPurpose::CaSign;
        let (id, public_key) = self.key(label, kind, purpose)?;
        let reference = KeyReference {
            label: label.into(),
            id: Some(id.clone()),
            purpose,
            public_key,
            algorithm: None,
        };
        let signer = self.hsm.hsm_signer(&reference).context(label)?;
        Ok((id, signer))
    }

    fn key(&self, label: &str, kind: KeyKind, purpose: KeyPurpose) -> Result<(Vec<u8>, PublicKey)> {
        let made = self.hsm.generate_key(kind, label, None, purpose, &SystemRandom);
        made.map(|key| (key.id, key.public_key)).context(format!("the key {label}"))
    }

    fn keep(
        &self,
        label: &'static str,
        id: Vec<u8>,
        certificate: &Certificate,
    ) -> Result<Certified> {
        let path = self.token.folder().join(format!("{label}.pem"));
        fs::write(&path, certificate.to_pem()).context(path.display())?;
        Ok(Certified { label, id, path })
    }
}
