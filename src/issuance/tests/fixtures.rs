//! A CA of two levels with keys in software.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

use crate::clock::Timestamp;
use crate::issuance::bootstrap::{Authority, BootstrapSigner, CaTerms, Subject, self_signed_ca};
use crate::issuance::{Issuer, PreparedCertificate};
use crate::pki::tests::fixtures::{ec_key, public, run, sign};
use crate::pki::{Certificate, PublicKey, SignatureAlgorithm};
use crate::random::SystemRandom;

/// 2026-07-01T00:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_unix_seconds(1_782_864_000);
/// When the CAs were made: thirty days before.
pub(super) const BORN: Timestamp = Timestamp::from_unix_seconds(1_782_864_000 - 30 * 86_400);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A key in software.
pub(super) struct Software {
    pub key: PKey<Private>,
    pub public: PublicKey,
    pub algorithm: SignatureAlgorithm,
}

impl Software {
    pub(super) fn new(key: PKey<Private>) -> Self {
        let public = public(&key);
        Self { algorithm: public.kind().default_signature(), key, public }
    }

    pub(super) fn with(key: PKey<Private>, algorithm: SignatureAlgorithm) -> Self {
        Self { algorithm, ..Self::new(key) }
    }
}

impl BootstrapSigner for Software {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(sign(&self.key, self.algorithm, message))
    }
}

/// A root, an issuing CA below it, and the issuing CA's key.
pub(super) struct Ca {
    pub root: Certificate,
    pub issuer: Issuer,
    pub signer: Software,
}

pub(super) fn terms(days: u32) -> CaTerms {
    CaTerms { validity: DAY * days, ..CaTerms::default() }
}

/// A CA of two levels with these keys.
pub(super) fn ca_with(root_key: &Software, signer: Software) -> Ca {
    ca_at(BORN, root_key, signer)
}

/// A CA of two levels with these keys, made at `born`.
pub(super) fn ca_at(born: Timestamp, root_key: &Software, signer: Software) -> Ca {
    let name = |text: &str| Subject {
        country: Some("DE".into()),
        organization: Some("Exämple".into()),
        ..Subject::common_name(text)
    };
    let root = self_signed_ca(&name("Root"), &terms(7300), root_key, &SystemRandom, born).unwrap();
    let top = Issuer::new("root", root.clone(), vec![], root_key.algorithm).unwrap();
    let terms = CaTerms {
        path_len: Some(0),
        crl_urls: vec!["http://pki.example/root.crl".into()],
        ca_issuer_urls: vec!["http://pki.example/root.cer".into()],
        ..terms(3650)
    };
    let authority = Authority::new(&top, root_key).unwrap();
    let below =
        authority.issue_ca(&name("Issuing"), &signer.public, &terms, &SystemRandom, born).unwrap();
    let issuer = Issuer::new("issuing", below, vec![root.clone()], signer.algorithm).unwrap();
    Ca { root, issuer, signer }
}

/// An RSA CA, the same throughout a test process.
pub(super) fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(|| {
        let rsa = || Software::new(PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap());
        ca_with(&rsa(), rsa())
    })
}

/// The signers that a CA may have.
pub(super) fn signers() -> Vec<Software> {
    use crate::pki::Digest::{Sha256, Sha384, Sha512};
    use SignatureAlgorithm::RsaPkcs1;
    let rsa = |bits| PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    vec![
        Software::with(rsa(2048), RsaPkcs1(Sha256)),
        Software::with(rsa(3072), RsaPkcs1(Sha384)),
        Software::with(rsa(4096), RsaPkcs1(Sha512)),
        Software::new(ec_key(Nid::X9_62_PRIME256V1)),
        Software::new(ec_key(Nid::SECP384R1)),
    ]
}

impl Ca {
    /// Signs and assembles.
    pub(super) fn finish(&self, prepared: &PreparedCertificate) -> Certificate {
        let signature = sign(&self.signer.key, self.signer.algorithm, prepared.tbs());
        prepared.assemble(&signature).unwrap()
    }

    /// `openssl verify -x509_strict` of `certificate` up to the root, at the time [`NOW`].
    pub(super) fn openssl_verify(&self, certificate: &Certificate) -> (bool, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: String| -> PathBuf {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let root = file("root.pem", self.root.to_pem());
        let issuing = file("issuing.pem", self.issuer.certificate().to_pem());
        let leaf = file("leaf.pem", certificate.to_pem());
        let time = NOW.unix_seconds().to_string();
        let mut args = vec!["verify", "-x509_strict", "-policy_check", "-attime", &time];
        args.extend(["-CAfile", root.to_str().unwrap()]);
        args.extend(["-untrusted", issuing.to_str().unwrap(), leaf.to_str().unwrap()]);
        run("openssl", &args, b"")
    }
}

/// What `openssl x509 -text` says of a certificate.
pub(super) fn openssl_text(certificate: &Certificate) -> String {
    let args = ["x509", "-inform", "DER", "-noout", "-text", "-nameopt", "RFC2253"];
    let (done, text) = run("openssl", &args, certificate.der());
    assert!(done, "{text}");
    text
}
