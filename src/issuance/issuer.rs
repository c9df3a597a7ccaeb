//! The CA that issues: its certificate, the chain above it, and how its key signs.

use crate::clock::Timestamp;
use crate::pki::extension::{BASIC_CONSTRAINTS, BasicConstraints, KeyUsage};
use crate::pki::{Certificate, KeyKind, SignatureAlgorithm, SignatureError, name};

/// A CA as issuance sees it. The private key is elsewhere.
#[derive(Clone, Debug)]
pub struct Issuer {
    id: String,
    certificate: Certificate,
    chain: Vec<Certificate>,
    algorithm: SignatureAlgorithm,
    key_identifier: Vec<u8>,
    not_after: Timestamp,
}

/// Why a certificate cannot be an issuer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// The certificate is not a CA's.
    #[error(
        "the certificate «{0}» is not a CA's: it lacks {1}; configure the CA's own certificate"
    )]
    NotACa(String, &'static str),
    /// The signature algorithm and the key are of different kinds.
    #[error("the CA «{subject}» has a {kind} key, which cannot sign with {algorithm}")]
    Algorithm {
        /// The CA.
        subject: String,
        /// Its key.
        kind: KeyKind,
        /// What was asked of it.
        algorithm: SignatureAlgorithm,
    },
    /// The chain does not hold.
    #[error(
        "in the chain, «{upper}» did not issue «{lower}»: {cause}; give the chain upward, the root last"
    )]
    Chain {
        /// The certificate that should have been issued.
        lower: String,
        /// The certificate that stands above it.
        upper: String,
        /// Why it does not fit.
        cause: String,
    },
    /// The last certificate is not a root.
    #[error(
        "the chain ends with «{0}», which is not a root (not signed by itself); add the certificates above it, the root last"
    )]
    NoRoot(String),
}

impl Issuer {
    /// An issuer with the configuration's name `id`. `chain` goes upward from the CA that issued
    /// `certificate` to the root, which is last; it is empty where `certificate` is itself a root.
    /// Checks that each is a CA (RFC 5280 sections 4.2.1.3 and 4.2.1.9), that each signed the one
    /// below it, and the path lengths. Dates are checked at each issuance.
    pub fn new(
        id: impl Into<String>,
        certificate: Certificate,
        chain: Vec<Certificate>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Self, IssuerError> {
        let subject = || name::display(certificate.subject());
        let fits = match algorithm {
            SignatureAlgorithm::RsaPkcs1(_) | SignatureAlgorithm::RsaPss(_) => {
                certificate.public_key().kind().is_rsa()
            }
            SignatureAlgorithm::Ecdsa(_) => matches!(
                certificate.public_key().kind(),
                KeyKind::P256 | KeyKind::P384 | KeyKind::P521
            ),
            SignatureAlgorithm::Ed25519 => certificate.public_key().kind() == KeyKind::Ed25519,
            SignatureAlgorithm::MlDsa(set) => {
                certificate.public_key().kind() == KeyKind::MlDsa(set)
            }
        };
        if !fits {
            let kind = certificate.public_key().kind();
            return Err(IssuerError::Algorithm { subject: subject(), kind, algorithm });
        }
        let path: Vec<&Certificate> = std::iter::once(&certificate).chain(&chain).collect();
        for (below, ca) in path.iter().enumerate() {
            check_ca(ca, below)?;
        }
        for pair in path.windows(2) {
            check_link(pair[0], pair[1])?;
        }
        if let Some(last) = path.last()
            && (!last.is_self_issued() || last.verify_signature(last.public_key()).is_err())
        {
            return Err(IssuerError::NoRoot(name::display(last.subject())));
        }
        let not_after = path.iter().map(|c| c.not_after()).min().unwrap_or(certificate.not_after());
        let key_identifier = certificate
            .subject_key_identifier()
            .ok_or_else(|| IssuerError::NotACa(subject(), "a subject key identifier"))?;
        Ok(Self { id: id.into(), certificate, chain, algorithm, key_identifier, not_after })
    }

    /// The name in the configuration.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The CA's certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificates above it, upward, the root last.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// How its key signs.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The CA's subject key identifier: what its certificates and CRLs name as their authority key.
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// The moment after which no path through this CA is valid.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether `certificate` can be the RA's for `usage`, which is called `usage_name`; the error says
    /// why not. RFC 8894 section 2.1.2: clients choose the RA's certificates by their key usage, and
    /// stop without a word where they do not fit. Dates are not looked at.
    pub fn check_ra(
        &self,
        certificate: &Certificate,
        usage: KeyUsage,
        usage_name: &str,
    ) -> Result<(), String> {
        if !certificate.public_key().kind().is_rsa() {
            return Err("its key is not RSA, which SCEP's key transport and replies need".into());
        }
        match certificate.key_usage().map(KeyUsage::from_bits) {
            Some(found) if found.contains(usage) => {}
            _ => return Err(format!("its keyUsage lacks {usage_name}; issue it again")),
        }
        certificate.verify_signature(self.certificate.public_key()).map_err(|e| {
            let ca = name::display(self.certificate.subject());
            format!(
                "the CA «{ca}» did not issue it ({e}); clients accept only an RA of the CA itself"
            )
        })
    }
}

/// Whether `certificate` may issue with `below` CAs between it and the devices.
fn check_ca(certificate: &Certificate, below: usize) -> Result<(), IssuerError> {
    let missing = |what| Err(IssuerError::NotACa(name::display(certificate.subject()), what));
    let constraints = certificate
        .extension(BASIC_CONSTRAINTS)
        .and_then(|e| BasicConstraints::from_der(&e.value).ok());
    let Some(constraints) = constraints.filter(|c| c.ca) else {
        return missing("basicConstraints with CA:TRUE");
    };
    if constraints.path_len.is_some_and(|limit| (limit as usize) < below) {
        return missing("a path length that allows the CAs below it");
    }
    let usage = KeyUsage::from_bits(certificate.key_usage().unwrap_or_default());
    if !usage.contains(KeyUsage::KEY_CERT_SIGN) {
        return missing("the key usage keyCertSign");
    }
    if name::attributes(certificate.subject()).map_or(true, |a| a.is_empty()) {
        return missing("a subject");
    }
    Ok(())
}

fn check_link(lower: &Certificate, upper: &Certificate) -> Result<(), IssuerError> {
    let fails = |cause: String| {
        let (lower, upper) = (name::display(lower.subject()), name::display(upper.subject()));
        Err(IssuerError::Chain { lower, upper, cause })
    };
    if lower.issuer() != upper.subject() {
        return fails("the names differ".into());
    }
    match lower.verify_signature(upper.public_key()) {
        Ok(()) => Ok(()),
        Err(SignatureError::Mismatch) => fails("the signature is not its".into()),
        Err(e) => fails(e.to_string()),
    }
}
