//! Which names of a request its certificate gets.

use der::asn1::ObjectIdentifier;

use super::Profile;
use super::profile::OtherNames;
use crate::pki::extension::SUBJECT_ALT_NAME;
use crate::pki::{
    CertificateRequest, GeneralName, GeneralNameError, GeneralNameKind, NameRuleError, check_name,
    name,
};

/// Microsoft's security identifier extension: whoever has it in a certificate is that account.
const SID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.25.2");

/// The names of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Whether the subject is empty, so that the alternative names must be critical.
    pub subject_is_empty: bool,
    /// The value of subjectAltName, if there is to be one.
    pub alternative: Option<Vec<u8>>,
    /// What the request asked for in vain.
    pub ignored: Vec<String>,
}

/// Why the names of a request are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// The subject breaks a rule.
    #[error("subject: {0}")]
    Subject(#[from] NameRuleError),
    /// The subject is empty.
    #[error("the subject is empty, which profile «{0}» does not allow")]
    EmptySubject(String),
    /// The subject lacks an attribute.
    #[error("the subject has no {attribute}, which profile «{profile}» requires")]
    Missing {
        /// The attribute's short name or OID.
        attribute: String,
        /// The profile.
        profile: String,
    },
    /// The alternative names cannot be read, or one is not of the right form.
    #[error(transparent)]
    Alternative(#[from] GeneralNameError),
    /// An alternative name of a kind that the profile does not list.
    #[error("the alternative name {shown} is of a kind that profile «{profile}» does not allow")]
    KindNotAllowed {
        /// The name, made safe to show.
        shown: String,
        /// The profile.
        profile: String,
    },
    /// A DNS name or mail address outside of the profile's domains.
    #[error("the alternative name {shown} is not under {allowed}, as profile «{profile}» demands")]
    Domain {
        /// The name, made safe to show.
        shown: String,
        /// The domains.
        allowed: String,
        /// The profile.
        profile: String,
    },
    /// No alternative name where there must be one.
    #[error(
        "the request has no alternative name that profile «{0}» takes over, and one is required"
    )]
    NoAlternative(String),
}

impl NamesError {
    /// The same without the names themselves, for logs (RFC 8894 section 7.7), with what to change.
    pub fn without_names(&self) -> String {
        let rule = match self {
            Self::Alternative(GeneralNameError::Form { kind, problem, .. }) => {
                format!("a {kind} name is refused: {problem}")
            }
            Self::KindNotAllowed { profile, .. } => {
                format!("an alternative name is of a kind that profile «{profile}» does not allow")
            }
            Self::Domain { allowed, profile, .. } => {
                format!(
                    "an alternative name is not under {allowed}, as profile «{profile}» demands"
                )
            }
            others => others.to_string(),
        };
        format!("{rule}; change the name on the device, or the profile's `subject` and `san`")
    }
}

/// Decides on the names of `csr` by the rules of `profile`.
pub(super) fn decide(profile: &Profile, csr: &CertificateRequest) -> Result<Names, NamesError> {
    let rules = &profile.subject;
    check_name(csr.subject(), &rules.names)?;
    let subject = name::attributes(csr.subject()).map_err(NameRuleError::from)?;
    let subject_is_empty = subject.is_empty();
    if subject_is_empty && !rules.may_be_empty {
        return Err(NamesError::EmptySubject(profile.name.clone()));
    }
    for required in &rules.required {
        if !subject.iter().any(|a| a.oid == *required) {
            let attribute =
                name::keyword(*required).map_or_else(|| required.to_string(), str::to_owned);
            return Err(NamesError::Missing { attribute, profile: profile.name.clone() });
        }
    }
    let mut ignored = Vec::new();
    for extension in csr.extensions().iter().filter(|e| e.oid != SUBJECT_ALT_NAME) {
        let note = if extension.oid == SID { " (security identifier)" } else { "" };
        ignored.push(format!("extension {}{note}", extension.oid));
    }
    let mut taken = Vec::new();
    if let Some(extension) = csr.extension(SUBJECT_ALT_NAME) {
        for name in GeneralName::parse_all(&extension.value)? {
            if take(profile, &name)? {
                taken.push(name);
            } else {
                ignored.push(format!("alternative name {name}"));
            }
        }
    }
    if taken.is_empty() && (profile.alternative_names.required || subject_is_empty) {
        return Err(NamesError::NoAlternative(profile.name.clone()));
    }
    let alternative = if taken.is_empty() { None } else { Some(GeneralName::encode_all(&taken)?) };
    Ok(Names { subject_is_empty, alternative, ignored })
}

/// Whether one alternative name goes into the certificate.
fn take(profile: &Profile, name: &GeneralName) -> Result<bool, NamesError> {
    let rules = &profile.alternative_names;
    // Windows devices send it unasked; a CA that repeats it lets any of them be any account.
    if name.claims_sid() {
        return Ok(false);
    }
    if !rules.allowed.contains(&name.kind()) || !GeneralNameKind::ISSUABLE.contains(&name.kind()) {
        return match rules.others {
            OtherNames::Drop => Ok(false),
            OtherNames::Refuse => Err(NamesError::KindNotAllowed {
                shown: name.to_string(),
                profile: profile.name.clone(),
            }),
        };
    }
    name.check_form(rules.wildcards)?;
    let domain = match name {
        GeneralName::Dns(host) => Some(host.as_str()),
        GeneralName::Email(address) | GeneralName::UserPrincipal(address) => {
            address.rsplit_once('@').map(|(_, domain)| domain)
        }
        _ => None,
    };
    let fits = |domain: &str| {
        rules.dns_suffixes.is_empty() || rules.dns_suffixes.iter().any(|s| is_under(domain, s))
    };
    if domain.is_some_and(|d| !fits(d)) {
        return Err(NamesError::Domain {
            shown: name.to_string(),
            allowed: rules.dns_suffixes.join(", "),
            profile: profile.name.clone(),
        });
    }
    Ok(true)
}

/// Whether `host` is `suffix` or a name below it.
fn is_under(host: &str, suffix: &str) -> bool {
    let (host, suffix) = (host.to_ascii_lowercase(), suffix.to_ascii_lowercase());
    host == suffix || host.strip_suffix(&suffix).is_some_and(|rest| rest.ends_with('.'))
}
