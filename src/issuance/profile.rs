//! What kind of certificate an endpoint issues. A profile decides every extension; a request only
//! brings its key, its subject and the alternative names that the profile lets through.

use std::time::Duration;

use der::asn1::ObjectIdentifier;

use crate::pki::extension::{ANY_EXTENDED_KEY_USAGE, KeyUsage};
use crate::pki::{GeneralNameKind, NameRules};
use crate::ra::KeyPolicy;

/// The longest validity that a profile may have.
const MAX_VALIDITY: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The longest time that a certificate's beginning may lie in the past.
const MAX_BACKDATE: Duration = Duration::from_secs(7 * 86_400);
/// OCSPSigning.
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
/// Microsoft's enrolment agent, who may enrol for others.
const ENROLMENT_AGENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.1");

/// A certificate profile. [`check`](Self::check) it once, before it is used.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name in the configuration.
    pub name: String,
    /// How long a certificate is valid from the moment of its issuance; never longer than its CA.
    pub validity: Duration,
    /// Whether a request may ask for less than that.
    pub shorter_validity: bool,
    /// How far notBefore lies in the past, for devices whose clocks are behind.
    pub backdate: Duration,
    /// Whether basicConstraints CA:FALSE is written out or left out.
    pub basic_constraints: bool,
    /// The key usages; those that a key's kind cannot have are left out for it
    /// (RFC 8813: no keyEncipherment for EC keys).
    pub key_usage: KeyUsage,
    /// The extended key usages; none leaves the extension out.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Which keys are certified.
    pub keys: KeyPolicy,
    /// Whether a request may be self-signed with SHA-1, for devices that can do no better.
    pub sha1_requests: bool,
    /// What the subject may be.
    pub subject: SubjectRules,
    /// Which alternative names are taken over.
    pub alternative_names: AlternativeNameRules,
    /// Where the CRL is: all of them addresses of the same CRL.
    pub crl_urls: Vec<String>,
    /// Where the CA's certificate is.
    pub ca_issuer_urls: Vec<String>,
    /// Where the OCSP responder is.
    pub ocsp_urls: Vec<String>,
}

/// What a subject may be. It goes into the certificate as it came, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectRules {
    /// Attribute types, characters, lengths.
    pub names: NameRules,
    /// Attribute types that must be there.
    pub required: Vec<ObjectIdentifier>,
    /// Whether the subject may be empty; the alternative names are then critical and must not be.
    pub may_be_empty: bool,
}

/// Which alternative names go from a request into its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlternativeNameRules {
    /// The kinds that do; none of them by default.
    pub allowed: Vec<GeneralNameKind>,
    /// What happens to a request that asks for other kinds.
    pub others: OtherNames,
    /// The domains under which DNS names and mail addresses must lie; any if empty.
    pub dns_suffixes: Vec<String>,
    /// Whether DNS names with a wildcard are allowed.
    pub wildcards: bool,
    /// Whether there must be at least one.
    pub required: bool,
}

/// What happens to alternative names of a kind that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherNames {
    /// The request is refused.
    #[default]
    Refuse,
    /// They are left out, and the ledger says so.
    Drop,
}

/// What is wrong with a profile: the setting and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile «{profile}»: {setting} {problem}")]
pub struct ProfileError {
    /// The profile.
    pub profile: String,
    /// The field of [`Profile`].
    pub setting: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Profile {
    /// A device profile for 802.1X and TLS clients, with `name`.
    pub fn device(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            validity: Duration::from_secs(365 * 86_400),
            shorter_validity: false,
            backdate: Duration::from_secs(3_600),
            basic_constraints: false,
            key_usage: KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT,
            extended_key_usage: vec![ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2")],
            keys: KeyPolicy::default(),
            sha1_requests: false,
            subject: SubjectRules::default(),
            alternative_names: AlternativeNameRules::default(),
            crl_urls: Vec::new(),
            ca_issuer_urls: Vec::new(),
            ocsp_urls: Vec::new(),
        }
    }

    /// Finds everything that is wrong with the profile itself, so that no request meets it.
    pub fn check(&self) -> Result<(), Vec<ProfileError>> {
        let mut errors = Vec::new();
        let mut wrong = |setting, problem: String| {
            errors.push(ProfileError { profile: self.name.clone(), setting, problem });
        };
        if self.validity < Duration::from_secs(60) || self.validity > MAX_VALIDITY {
            wrong("validity", "must be between one minute and 100 years".into());
        }
        if self.backdate > MAX_BACKDATE {
            wrong("backdate", "must not be longer than 7 days".into());
        }
        self.check_usages(&mut wrong);
        if self.keys.rsa_sizes.is_empty() && self.keys.curves.is_empty() {
            wrong("key_types", "is empty, so that no key is allowed; name at least one".into());
        }
        for bits in &self.keys.rsa_sizes {
            if !matches!(bits, 2048 | 3072 | 4096 | 8192) {
                let problem = format!("lists RSA-{bits}; 2048, 3072, 4096 and 8192 are possible");
                wrong("key_types", problem);
            }
        }
        for attribute in &self.subject.required {
            if !self.subject.names.allowed.contains(attribute) {
                let problem = format!("requires {attribute}, which it does not allow");
                wrong("subject", problem);
            }
        }
        for kind in &self.alternative_names.allowed {
            if !GeneralNameKind::ISSUABLE.contains(kind) {
                wrong("alternative_names", format!("allows {kind}, which no certificate carries"));
            }
        }
        let some_allowed = !self.alternative_names.allowed.is_empty();
        if self.alternative_names.required && !some_allowed {
            wrong("alternative_names", "requires a name but allows no kind of name".into());
        }
        if self.subject.may_be_empty && !some_allowed {
            wrong("subject", "may be empty, so alternative names must be allowed".into());
        }
        for suffix in &self.alternative_names.dns_suffixes {
            if suffix.is_empty() || suffix.starts_with('.') || suffix.contains('*') {
                let problem = format!("has the DNS suffix «{suffix}»; write it as example.com");
                wrong("alternative_names", problem);
            }
        }
        let lists = [
            ("crl_urls", &self.crl_urls),
            ("ca_issuer_urls", &self.ca_issuer_urls),
            ("ocsp_urls", &self.ocsp_urls),
        ];
        for (setting, urls) in lists {
            for url in urls {
                if let Some(problem) = url_problem(url) {
                    wrong(setting, format!("has «{}»: {problem}", url.escape_debug()));
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_usages(&self, wrong: &mut impl FnMut(&'static str, String)) {
        if self.key_usage.is_empty() {
            wrong("key_usage", "is empty; digitalSignature is what TLS clients need".into());
        }
        let ca = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
        if self.key_usage.intersects(ca) {
            let problem = "has keyCertSign or cRLSign, which belong to a CA alone; remove them";
            wrong("key_usage", problem.into());
        }
        let only = KeyUsage::ENCIPHER_ONLY | KeyUsage::DECIPHER_ONLY;
        if self.key_usage.intersects(only) && !self.key_usage.contains(KeyUsage::KEY_AGREEMENT) {
            let problem =
                "has encipherOnly or decipherOnly, which mean nothing without keyAgreement";
            wrong("key_usage", problem.into());
        }
        for (i, usage) in self.extended_key_usage.iter().enumerate() {
            if [ANY_EXTENDED_KEY_USAGE, OCSP_SIGNING, ENROLMENT_AGENT].contains(usage) {
                let problem = format!("has {usage}, which would let devices act for the CA");
                wrong("extended_key_usage", problem);
            }
            if self.extended_key_usage[..i].contains(usage) {
                wrong("extended_key_usage", format!("has {usage} twice"));
            }
        }
    }
}

/// What is wrong with an address in a certificate (RFC 5280 sections 4.2.1.13 and 4.2.2.1).
fn url_problem(url: &str) -> Option<&'static str> {
    // Fetching over https needs a certificate that may itself have to be checked first.
    let Some(rest) = url.strip_prefix("http://") else {
        return Some(
            "the address must begin with http://, or checking it could go round in a circle",
        );
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&b));
    if host.is_empty() || !plain || url.len() > 1024 {
        return Some("this is no address of a web server");
    }
    None
}
