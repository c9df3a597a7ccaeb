//! GeneralNames (RFC 5280 section 4.2.1.6): the alternative names that a request asks for and a
//! certificate carries. Written by hand because `x509-cert` knows no x400Address (and so refuses
//! the whole list), leaves addresses of any length and otherNames unread.

use std::fmt;
use std::net::IpAddr;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Tag, Tagged};

use super::asn1::{context, element, elements, inside, is_unsafe_char, oid, text};
use super::name;

/// The otherName of a Microsoft user principal name.
const UPN: ObjectIdentifier = oid("1.3.6.1.4.1.311.20.2.3");
/// The URI by which Microsoft's clients state a security identifier (KB5014754).
const SID_URI: &str = "tag:microsoft.com,2022-09-14:sid:";
/// The largest number of names in one list.
pub const MAX_NAMES: usize = 100;

/// One GeneralName, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// otherName of a type that is not known here; the DER of its value.
    Other(ObjectIdentifier, Vec<u8>),
    /// otherName 1.3.6.1.4.1.311.20.2.3, Microsoft's user principal name.
    UserPrincipal(String),
    /// rfc822Name.
    Email(String),
    /// dNSName.
    Dns(String),
    /// x400Address, its content unread.
    X400(Vec<u8>),
    /// directoryName, a Name in DER.
    Directory(Vec<u8>),
    /// ediPartyName, its content unread.
    EdiParty(Vec<u8>),
    /// uniformResourceIdentifier.
    Uri(String),
    /// iPAddress of 4 or 16 octets.
    Ip(IpAddr),
    /// registeredID.
    RegisteredId(ObjectIdentifier),
}

/// The kinds of [`GeneralName`], as a profile lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GeneralNameKind {
    /// An otherName that is not known here.
    Other,
    /// Microsoft's user principal name.
    UserPrincipal,
    /// rfc822Name.
    Email,
    /// dNSName.
    Dns,
    /// x400Address.
    X400,
    /// directoryName.
    Directory,
    /// ediPartyName.
    EdiParty,
    /// uniformResourceIdentifier.
    Uri,
    /// iPAddress.
    Ip,
    /// registeredID.
    RegisteredId,
}

/// Why a list of alternative names could not be read, or a name must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeneralNameError {
    /// The bytes are no GeneralNames in DER.
    #[error("the alternative names cannot be read: {0}")]
    Malformed(String),
    /// An empty list.
    #[error("the list of alternative names is empty")]
    Empty,
    /// More than [`MAX_NAMES`].
    #[error("there are {0} alternative names, more than {MAX_NAMES}")]
    TooMany(usize),
    /// An address that is neither of 4 nor of 16 octets.
    #[error("an IP address has {0} octets instead of 4 or 16")]
    AddressLength(usize),
    /// The name's characters or form are not what its kind allows.
    #[error("the {kind} name «{shown}» is refused: {problem}")]
    Form {
        /// The kind of the name.
        kind: GeneralNameKind,
        /// The name, made safe to show.
        shown: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl From<der::Error> for GeneralNameError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

impl GeneralName {
    /// Reads the value of a subjectAltName extension, in DER; nothing may follow it.
    pub fn parse_all(value: &[u8]) -> Result<Vec<Self>, GeneralNameError> {
        let names = inside(AnyRef::from_der(value)?, Tag::Sequence)?;
        match names.len() {
            0 => Err(GeneralNameError::Empty),
            found if found > MAX_NAMES => Err(GeneralNameError::TooMany(found)),
            _ => names.into_iter().map(Self::parse).collect(),
        }
    }

    /// Writes the value of a subjectAltName extension.
    pub fn encode_all(names: &[Self]) -> Result<Vec<u8>, GeneralNameError> {
        let each = names.iter().map(Self::encode).collect::<Result<Vec<_>, _>>()?;
        Ok(element(Tag::Sequence, &[&each.concat()])?)
    }

    fn parse(any: AnyRef<'_>) -> Result<Self, GeneralNameError> {
        let Tag::ContextSpecific { constructed, number } = any.tag() else {
            return Err(GeneralNameError::Malformed(format!("{} is no GeneralName", any.tag())));
        };
        let value = any.value();
        Ok(match (number.value(), constructed) {
            (0, true) => Self::parse_other(value)?,
            (1, false) => Self::Email(ia5(GeneralNameKind::Email, value)?),
            (2, false) => Self::Dns(ia5(GeneralNameKind::Dns, value)?),
            (3, true) => Self::X400(value.to_vec()),
            (4, true) => {
                name::attributes(value).map_err(|e| GeneralNameError::Malformed(e.to_string()))?;
                Self::Directory(value.to_vec())
            }
            (5, true) => Self::EdiParty(value.to_vec()),
            (6, false) => Self::Uri(ia5(GeneralNameKind::Uri, value)?),
            (7, false) => Self::Ip(
                match value.len() {
                    4 => <[u8; 4]>::try_from(value).map(IpAddr::from),
                    16 => <[u8; 16]>::try_from(value).map(IpAddr::from),
                    other => return Err(GeneralNameError::AddressLength(other)),
                }
                .map_err(|_| GeneralNameError::AddressLength(value.len()))?,
            ),
            (8, false) => Self::RegisteredId(
                ObjectIdentifier::from_bytes(value)
                    .map_err(|e| GeneralNameError::Malformed(e.to_string()))?,
            ),
            (other, _) => {
                return Err(GeneralNameError::Malformed(format!("[{other}] is no GeneralName")));
            }
        })
    }

    /// OtherName ::= SEQUENCE { type-id, value `[0]` EXPLICIT ANY }, implicitly tagged.
    fn parse_other(content: &[u8]) -> Result<Self, GeneralNameError> {
        let [type_id, wrapped] = elements(content)?[..] else {
            return Err(GeneralNameError::Malformed("an otherName has not two parts".into()));
        };
        let type_id = type_id.decode_as::<ObjectIdentifier>()?;
        let [value] = inside(wrapped, context(0, true))?[..] else {
            return Err(GeneralNameError::Malformed("an otherName has not one value".into()));
        };
        match text(value.tag(), value.value()) {
            // Another string type than UTF8String would not come out as it came in.
            Some(name) if type_id == UPN && value.tag() == Tag::Utf8String => {
                Ok(Self::UserPrincipal(name))
            }
            _ => Ok(Self::Other(type_id, value.to_der()?)),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, GeneralNameError> {
        let other = |type_id: &ObjectIdentifier, value: &[u8]| {
            let wrapped = element(context(0, true), &[value])?;
            element(context(0, true), &[&type_id.to_der()?, &wrapped])
        };
        let primitive = |number, value: &[u8]| element(context(number, false), &[value]);
        Ok(match self {
            Self::Other(type_id, value) => other(type_id, value)?,
            Self::UserPrincipal(name) => {
                other(&UPN, &element(Tag::Utf8String, &[name.as_bytes()])?)?
            }
            Self::Email(name) => primitive(1, name.as_bytes())?,
            Self::Dns(name) => primitive(2, name.as_bytes())?,
            Self::X400(content) => element(context(3, true), &[content])?,
            Self::Directory(name) => element(context(4, true), &[name])?,
            Self::EdiParty(content) => element(context(5, true), &[content])?,
            Self::Uri(name) => primitive(6, name.as_bytes())?,
            Self::Ip(IpAddr::V4(address)) => primitive(7, &address.octets())?,
            Self::Ip(IpAddr::V6(address)) => primitive(7, &address.octets())?,
            Self::RegisteredId(oid) => primitive(8, oid.as_bytes())?,
        })
    }

    /// The kind of this name.
    pub const fn kind(&self) -> GeneralNameKind {
        match self {
            Self::Other(..) => GeneralNameKind::Other,
            Self::UserPrincipal(_) => GeneralNameKind::UserPrincipal,
            Self::Email(_) => GeneralNameKind::Email,
            Self::Dns(_) => GeneralNameKind::Dns,
            Self::X400(_) => GeneralNameKind::X400,
            Self::Directory(_) => GeneralNameKind::Directory,
            Self::EdiParty(_) => GeneralNameKind::EdiParty,
            Self::Uri(_) => GeneralNameKind::Uri,
            Self::Ip(_) => GeneralNameKind::Ip,
            Self::RegisteredId(_) => GeneralNameKind::RegisteredId,
        }
    }

    /// Whether this is the URI that claims a Microsoft security identifier. Domain controllers
    /// take it for proof of who the holder is, so it must never come from a request.
    pub fn claims_sid(&self) -> bool {
        let Self::Uri(uri) = self else { return false };
        uri.get(..SID_URI.len()).is_some_and(|start| start.eq_ignore_ascii_case(SID_URI))
    }

    /// Checks that a name of a kind that certificates may carry has the form of its kind: DNS
    /// names in letters, digits and hyphens (a wildcard only as the whole first label, and only
    /// where `wildcards` is set), one mailbox, a URI with a scheme, text without tricks.
    pub fn check_form(&self, wildcards: bool) -> Result<(), GeneralNameError> {
        let problem = match self {
            Self::Dns(name) => dns_problem(name, wildcards),
            Self::Email(name) => email_problem(name),
            Self::Uri(name) => uri_problem(name),
            Self::UserPrincipal(name) => upn_problem(name),
            Self::Ip(_) | Self::RegisteredId(_) => None,
            Self::Other(..) | Self::X400(_) | Self::Directory(_) | Self::EdiParty(_) => {
                Some("no certificate carries this kind of name")
            }
        };
        match problem {
            None => Ok(()),
            Some(problem) => {
                Err(GeneralNameError::Form { kind: self.kind(), shown: self.to_string(), problem })
            }
        }
    }
}

/// The content of an IA5String; ASCII without controls.
fn ia5(kind: GeneralNameKind, bytes: &[u8]) -> Result<String, GeneralNameError> {
    let visible = |b: &u8| (0x20..0x7f).contains(b);
    if !bytes.iter().all(visible) {
        let shown = bytes.escape_ascii().take(100).map(char::from).collect();
        let problem = "it has characters that are not visible ASCII";
        return Err(GeneralNameError::Form { kind, shown, problem });
    }
    Ok(bytes.iter().map(|b| char::from(*b)).collect())
}

fn dns_problem(name: &str, wildcards: bool) -> Option<&'static str> {
    let host = match name.strip_prefix("*.") {
        Some(_) if !wildcards => return Some("wildcards are not allowed by the profile"),
        Some(rest) if !rest.contains('.') => {
            return Some("a wildcard must stand under at least two labels");
        }
        Some(rest) => rest,
        None => name,
    };
    if name.len() > 253 {
        return Some("it is longer than 253 characters");
    }
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !host.split('.').all(label_is_fine) {
        return Some("it is not labels of letters, digits and hyphens");
    }
    let top = host.rsplit('.').next().unwrap_or_default();
    top.bytes().all(|b| b.is_ascii_digit()).then_some("its last label is a number")
}

fn email_problem(name: &str) -> Option<&'static str> {
    let Some((local, domain)) = name.split_once('@') else { return Some("it has no @") };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if local.is_empty() || local.len() > 64 || !local.bytes().all(allowed) {
        return Some("what stands before the @ is no mailbox");
    }
    dns_problem(domain, false)
}

fn uri_problem(name: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = name.split_once(':') else { return Some("it has no scheme") };
    // The underscore is not RFC 3986's; network access control reads `AAD_Device_ID:...`.
    let scheme_char = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
    let starts = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if !starts || !scheme.bytes().all(scheme_char) {
        return Some("it has no scheme");
    }
    if rest.is_empty() || name.len() > 2048 {
        return Some("it is empty after its scheme, or longer than 2048 characters");
    }
    rest.bytes()
        .any(|b| b" <>\"\\^`".contains(&b))
        .then_some("it has characters that no URI may have")
}

fn upn_problem(name: &str) -> Option<&'static str> {
    let parts: Vec<&str> = name.split('@').collect();
    match parts[..] {
        _ if name.chars().count() > 1024 => Some("it is longer than 1024 characters"),
        _ if name.chars().any(|c| is_unsafe_char(c) || c.is_whitespace()) => {
            Some("it has spaces, controls or invisible characters")
        }
        [user, domain] if !user.is_empty() && !domain.is_empty() => None,
        _ => Some("it is not of the form user@domain"),
    }
}

impl fmt::Display for GeneralName {
    /// The kind and the name, as in `dns:host.example`, safe to log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind())?;
        match self {
            Self::Other(type_id, value) => {
                write!(f, "{type_id}={}", hex::encode(&value[..value.len().min(32)]))
            }
            Self::UserPrincipal(name) | Self::Email(name) | Self::Dns(name) | Self::Uri(name) => {
                let escaped = name.chars().take(200).flat_map(|c| {
                    let escape = is_unsafe_char(c).then(|| c.escape_unicode());
                    let plain = escape.is_none().then_some(c);
                    escape.into_iter().flatten().chain(plain)
                });
                f.write_str(&escaped.collect::<String>())
            }
            Self::X400(content) | Self::EdiParty(content) => {
                f.write_str(&hex::encode(&content[..content.len().min(32)]))
            }
            Self::Directory(name) => f.write_str(&name::display(name)),
            Self::Ip(address) => write!(f, "{address}"),
            Self::RegisteredId(oid) => write!(f, "{oid}"),
        }
    }
}

impl GeneralNameKind {
    /// The kinds that a certificate may carry.
    pub const ISSUABLE: [Self; 6] =
        [Self::UserPrincipal, Self::Email, Self::Dns, Self::Uri, Self::Ip, Self::RegisteredId];

    /// The name of the kind in configuration and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::UserPrincipal => "upn",
            Self::Email => "email",
            Self::Dns => "dns",
            Self::X400 => "x400",
            Self::Directory => "directory",
            Self::EdiParty => "edi",
            Self::Uri => "uri",
            Self::Ip => "ip",
            Self::RegisteredId => "registered-id",
        }
    }

    /// The issuable kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ISSUABLE.into_iter().find(|k| k.name() == name)
    }
}

impl fmt::Display for GeneralNameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
