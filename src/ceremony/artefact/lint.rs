//! Lints of certificates, each with a name that a plan can skip: RFC 5280, the CA/Browser Forum's
//! Baseline Requirements where they concern private CAs, and the profile.

use der::{Decode, Encode};
use x509_cert::TbsCertificate;

use super::certificate::key_usage;
use crate::ceremony::plan::{CertificateKind, CertificateProfile};
use crate::pki::extension::{
    AUTHORITY_INFO_ACCESS, BASIC_CONSTRAINTS, BasicConstraints, CRL_DISTRIBUTION_POINTS,
    EXTENDED_KEY_USAGE, KEY_USAGE, KeyUsage, SUBJECT_ALT_NAME,
};
use crate::pki::{Certificate, KeyKind, SignatureAlgorithm};

/// What a lint found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The lint's name.
    pub lint: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// The result of all lints of a structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linted {
    /// How many rules were looked at.
    pub rules: usize,
    /// Those that are broken.
    pub findings: Vec<Finding>,
}

impl Linted {
    /// Looks at one rule.
    pub(super) fn rule(&mut self, lint: &'static str, holds: bool, problem: impl Into<String>) {
        self.rules += 1;
        if !holds {
            self.findings.push(Finding { lint, problem: problem.into() });
        }
    }
}

/// What the lints compare with.
#[derive(Clone, Copy, Debug)]
pub struct LintContext<'a> {
    /// The profile.
    pub profile: &'a CertificateProfile,
    /// The issuer; none where the certificate is self-signed.
    pub issuer: Option<&'a Certificate>,
    /// How the issuer signs.
    pub algorithm: SignatureAlgorithm,
    /// The subject key identifier that it must have.
    pub key_identifier: &'a [u8],
}

const YEAR: u64 = 366 * 86_400;

/// Everything that is wrong with a certificate.
pub fn lint_certificate(certificate: &Certificate, context: &LintContext<'_>) -> Linted {
    let mut lints = Lints { certificate, context, linted: Linted::default() };
    lints.encoding();
    lints.names();
    lints.validity();
    lints.key();
    lints.extensions();
    lints.chain();
    lints.linted
}

struct Lints<'a> {
    certificate: &'a Certificate,
    context: &'a LintContext<'a>,
    linted: Linted,
}

impl Lints<'_> {
    fn rule(&mut self, lint: &'static str, holds: bool, problem: impl Into<String>) {
        self.linted.rule(lint, holds, problem);
    }

    fn kind(&self) -> CertificateKind {
        self.context.profile.kind
    }

    fn encoding(&mut self) {
        let tbs = self.certificate.tbs();
        let read = TbsCertificate::from_der(tbs);
        let canonical = read.is_ok_and(|t| t.to_der().is_ok_and(|again| again == tbs));
        self.rule("der", canonical, "it is not in DER");
        let openssl = openssl::x509::X509::from_der(self.certificate.der());
        self.rule("openssl-reads", openssl.is_ok(), "OpenSSL cannot read it");
        let serial = self.certificate.serial().content();
        let fits = (9..=20).contains(&serial.len()) && serial[0] < 0x80;
        self.rule("serial", fits, "the serial number is not positive with 65 to 159 bits");
        let mut oids: Vec<_> = self.certificate.extensions().iter().map(|e| e.oid).collect();
        oids.sort_unstable();
        let once = oids.windows(2).all(|w| w[0] != w[1]);
        self.rule("extensions-once", once, "an extension stands twice");
    }

    fn names(&mut self) {
        let subject = crate::pki::name::attributes(self.certificate.subject());
        let keywords: Vec<String> =
            subject.map(|all| all.iter().map(|a| a.keyword()).collect()).unwrap_or_default();
        let has = |k: &str| keywords.iter().any(|found| found.eq_ignore_ascii_case(k));
        self.rule("subject-common-name", has("CN"), "the subject has no common name");
        let organised = !self.kind().is_ca() || (has("C") && has("O")) || has("DC");
        self.rule("subject-organisation", organised, "a CA's subject has C and O, or DC");
        let issuer = self.context.issuer.map_or(self.certificate.subject(), Certificate::subject);
        let same = self.certificate.issuer() == issuer;
        self.rule(
            "issuer-name",
            same,
            "the issuer's name is not the issuer's subject, byte for byte",
        );
    }

    fn validity(&mut self) {
        let (before, after) = (self.certificate.not_before(), self.certificate.not_after());
        self.rule("validity-order", after > before, "it ends before it begins");
        let years = |n: u64| after.since(before).as_secs() <= n * YEAR;
        match self.kind() {
            CertificateKind::RootCa => {
                self.rule("validity-length", years(25), "a root is valid for 25 years at most");
            }
            CertificateKind::IssuingCa => {
                self.rule(
                    "validity-length",
                    years(15),
                    "an issuing CA is valid for 15 years at most",
                );
            }
            _ => self.rule("validity-length", years(5), "it is valid for more than five years"),
        }
        let nested =
            self.context.issuer.is_none_or(|i| before >= i.not_before() && after <= i.not_after());
        self.rule("validity-nested", nested, "it is valid when its issuer is not");
    }

    fn key(&mut self) {
        let key = self.certificate.public_key();
        let quality = super::key_policy().check(key);
        let problem = quality.as_ref().err().map(ToString::to_string).unwrap_or_default();
        self.rule("key-quality", quality.is_ok(), problem);
        let strong = match key.kind() {
            KeyKind::Rsa(bits) if self.kind().is_ca() => bits >= 3072,
            KeyKind::Rsa(bits) => bits >= 2048,
            _ => true,
        };
        self.rule("key-size", strong, "a CA's RSA key has 3072 bits or more");
        let fits = self.kind() != CertificateKind::RaDecryption || key.kind().is_rsa();
        self.rule("key-decrypts", fits, "a decryption key for SCEP is RSA");
        let digest = self.context.algorithm.digest().map_or(64, crate::pki::Digest::len);
        self.rule("signature-digest", digest >= 32, "the signature's digest is too weak");
    }

    fn extensions(&mut self) {
        let certificate = self.certificate;
        let kind = self.kind();
        let constraints = certificate.extension(BASIC_CONSTRAINTS);
        let read = constraints.and_then(|e| BasicConstraints::from_der(&e.value).ok());
        let right =
            read.is_some_and(|c| c.ca == kind.is_ca()) && constraints.is_some_and(|e| e.critical);
        self.rule(
            "basic-constraints",
            right,
            "basicConstraints is not critical or not of its kind",
        );
        let usage = certificate.key_usage().map_or(KeyUsage::NONE, KeyUsage::from_bits);
        let critical = certificate.extension(KEY_USAGE).is_some_and(|e| e.critical);
        let exact = usage == key_usage(kind) && critical;
        self.rule(
            "key-usage",
            exact,
            format!("keyUsage is «{usage}» and must be «{}», critical", key_usage(kind)),
        );
        let identifier = certificate.subject_key_identifier();
        let same = identifier.as_deref() == Some(self.context.key_identifier);
        self.rule("subject-key-identifier", same, "it is missing or not that of the key");
        let has = |oid| certificate.extension(oid).is_some();
        let top = self.context.issuer.is_none();
        self.rule(
            "crl-address",
            top || has(CRL_DISTRIBUTION_POINTS),
            "it does not say where its issuer's CRL is",
        );
        self.rule(
            "issuer-address",
            top || has(AUTHORITY_INFO_ACCESS),
            "it does not say where its issuer's certificate is",
        );
        self.rule(
            "root-without-addresses",
            !top || !(has(CRL_DISTRIBUTION_POINTS) || has(AUTHORITY_INFO_ACCESS)),
            "a root names no CRL and no issuer",
        );
        let purpose = !matches!(kind, CertificateKind::Ocsp | CertificateKind::Tls)
            || has(EXTENDED_KEY_USAGE);
        self.rule("extended-key-usage", purpose, "it lacks the extended key usage of its kind");
        let named = kind != CertificateKind::Tls || has(SUBJECT_ALT_NAME);
        self.rule("alternative-names", named, "a TLS server has DNS names");
    }

    fn chain(&mut self) {
        let Some(issuer) = self.context.issuer else {
            let own = self.certificate.is_self_issued();
            self.rule("self-signed", own, "issuer and subject differ");
            return;
        };
        let constraints = |c: &Certificate| {
            c.extension(BASIC_CONSTRAINTS).and_then(|e| BasicConstraints::from_der(&e.value).ok())
        };
        let above = constraints(issuer);
        self.rule("issuer-is-ca", above.is_some_and(|c| c.ca), "its issuer is no CA");
        let limit = above.and_then(|c| c.path_len);
        // A self-issued certificate does not count (RFC 5280 section 6.1.4 (l)).
        if self.kind().is_ca() && !self.certificate.is_self_issued() {
            let own = constraints(self.certificate).and_then(|c| c.path_len);
            let fits = limit.is_none_or(|l| l > 0 && own.is_some_and(|o| o < l));
            self.rule("path-length", fits, "its path length does not fit below its issuer's");
        }
        let expected = issuer
            .subject_key_identifier()
            .and_then(|id| crate::pki::extension::authority_key_identifier(&id).ok());
        let found = self.certificate.extension(crate::pki::extension::AUTHORITY_KEY_IDENTIFIER);
        let same = found.map(|e| &e.value) == expected.as_ref();
        self.rule("authority-key-identifier", same, "it is not its issuer's key identifier");
    }
}
