//! Distinguished names (RFC 5280 section 4.1.2.4) as they stand in requests and certificates:
//! their attributes one by one, a line for people and logs, and a form for comparison. Names are
//! never re-encoded here; what a client sent is what its certificate carries.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Tag, Tagged};
use unicode_normalization::UnicodeNormalization;

use super::asn1::{inside, is_unsafe_char, text};

/// The longest line that [`display`] gives, in characters.
pub const MAX_DISPLAY: usize = 512;

/// One attribute of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAttribute<'a> {
    /// Which relative distinguished name it stands in, from 0 in the order of the encoding.
    pub rdn: usize,
    /// Its type.
    pub oid: ObjectIdentifier,
    /// The string type of the value.
    pub tag: Tag,
    /// The content of the value.
    pub value: &'a [u8],
}

impl NameAttribute<'_> {
    /// The value as text; none where it is no string or does not fit its string type.
    pub fn text(&self) -> Option<String> {
        text(self.tag, self.value)
    }

    /// The short name of the type (`CN`), or its dotted OID.
    pub fn keyword(&self) -> String {
        keyword(self.oid).map_or_else(|| self.oid.to_string(), str::to_owned)
    }
}

/// Why a name could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The bytes are no Name in DER.
    #[error("{0}")]
    Malformed(String),
}

impl From<der::Error> for NameError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

/// The types that have a short name: RFC 4519's, and those that SCEP clients use.
const KEYWORDS: [(&str, &str); 25] = [
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("title", "2.5.4.12"),
    ("description", "2.5.4.13"),
    ("businessCategory", "2.5.4.15"),
    ("postalCode", "2.5.4.17"),
    ("name", "2.5.4.41"),
    ("GN", "2.5.4.42"),
    ("initials", "2.5.4.43"),
    ("generationQualifier", "2.5.4.44"),
    ("dnQualifier", "2.5.4.46"),
    ("pseudonym", "2.5.4.65"),
    ("organizationIdentifier", "2.5.4.97"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("unstructuredName", "1.2.840.113549.1.9.2"),
    ("unstructuredAddress", "1.2.840.113549.1.9.8"),
];

/// The short name of an attribute type, where it has one.
pub fn keyword(oid: ObjectIdentifier) -> Option<&'static str> {
    KEYWORDS.iter().find(|(_, o)| ObjectIdentifier::new_unwrap(o) == oid).map(|(k, _)| *k)
}

/// The attribute type of a short name (upper or lower case) or a dotted OID.
pub fn attribute_type(text: &str) -> Option<ObjectIdentifier> {
    let known = KEYWORDS.iter().find(|(k, _)| k.eq_ignore_ascii_case(text));
    known.map_or_else(
        || ObjectIdentifier::new(text).ok(),
        |(_, o)| Some(ObjectIdentifier::new_unwrap(o)),
    )
}

/// The attributes of a Name in DER, in the order of the encoding; nothing may follow the Name.
pub fn attributes(name: &[u8]) -> Result<Vec<NameAttribute<'_>>, NameError> {
    let mut out = Vec::new();
    for (rdn, set) in inside(AnyRef::from_der(name)?, Tag::Sequence)?.into_iter().enumerate() {
        let members = inside(set, Tag::Set)?;
        if members.is_empty() {
            return Err(NameError::Malformed("a relative distinguished name is empty".into()));
        }
        for member in members {
            let [oid, value] = inside(member, Tag::Sequence)?[..] else {
                return Err(NameError::Malformed("an attribute is no type and value".into()));
            };
            let oid = oid.decode_as::<ObjectIdentifier>()?;
            out.push(NameAttribute { rdn, oid, tag: value.tag(), value: value.value() });
        }
    }
    Ok(out)
}

/// A Name as one line: RFC 4514's syntax, in the order of the encoding (not reversed). Characters
/// that could deceive a reader or break a line are written as `\XX`; a value that is no text as
/// `#` and its DER in hexadecimal. At most [`MAX_DISPLAY`] characters, then `…`.
pub fn display(name: &[u8]) -> String {
    let Ok(attributes) = attributes(name) else {
        return bounded(format!("(unreadable name {})", hex::encode(&name[..name.len().min(64)])));
    };
    let mut out = String::new();
    let mut last = 0;
    for (i, attribute) in attributes.iter().enumerate() {
        if i > 0 {
            out.push(if attribute.rdn == last { '+' } else { ',' });
        }
        last = attribute.rdn;
        out.push_str(&attribute.keyword());
        out.push('=');
        match attribute.text() {
            Some(value) => escape(&value, &mut out),
            None => {
                let der = AnyRef::new(attribute.tag, attribute.value).and_then(|a| a.to_der());
                out.push('#');
                out.push_str(&hex::encode(der.unwrap_or_default()));
            }
        }
        if out.len() > 8 * MAX_DISPLAY {
            break;
        }
    }
    bounded(out)
}

fn bounded(line: String) -> String {
    match line.char_indices().nth(MAX_DISPLAY) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// RFC 4514 section 2.4.
fn escape(value: &str, out: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => out.extend(['\\', c]),
            '#' | ' ' if i == 0 => out.extend(['\\', c]),
            ' ' if i == last => out.extend(['\\', c]),
            c if is_unsafe_char(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("\\{byte:02x}"));
                }
            }
            c => out.push(c),
        }
    }
}

/// A form of the Name for comparison alone: two names are the same name when these bytes are
/// (RFC 5280 section 7.1): string types do not matter, nor case, nor compatibility forms, nor
/// repeated spaces, nor the order within one relative distinguished name.
pub fn normalised(name: &[u8]) -> Vec<u8> {
    let Ok(attributes) = attributes(name) else {
        return [&[0xff], name].concat();
    };
    let mut members: Vec<(usize, Vec<u8>)> = Vec::with_capacity(attributes.len());
    for attribute in &attributes {
        let mut bytes = part(attribute.oid.as_bytes());
        match attribute.text() {
            Some(value) => {
                bytes.push(1);
                bytes.extend(part(fold(&value).as_bytes()));
            }
            None => {
                let der = AnyRef::new(attribute.tag, attribute.value).and_then(|a| a.to_der());
                bytes.push(0);
                bytes.extend(part(&der.unwrap_or_default()));
            }
        }
        members.push((attribute.rdn, bytes));
    }
    members.sort();
    let mut out = Vec::new();
    for (rdn, bytes) in members {
        out.extend((rdn as u32).to_be_bytes());
        out.extend(bytes);
    }
    out
}

/// RFC 4518 as far as it matters here: compatibility form, lower case, single inner spaces.
fn fold(value: &str) -> String {
    let lower = value.nfkc().flat_map(char::to_lowercase).nfkc().collect::<String>();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `bytes` behind their length, so that nothing runs into what follows.
fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}
