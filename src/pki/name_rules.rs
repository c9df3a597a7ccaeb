//! Which names may stand in a certificate: attribute types, string types, characters, lengths.
//! The rules are those of RFC 5280 appendix A and X.520, and of the field's experience with
//! deceptive names; a profile chooses the attribute types.

use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Encode, Tag};
use unicode_normalization::is_nfc;

use super::asn1::{is_unsafe_char, sequence};
use super::name::{self, NameAttribute, NameError};

/// What a Name may contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRules {
    /// The attribute types that may stand in it.
    pub allowed: Vec<ObjectIdentifier>,
    /// Whether old string types (T61String, BMPString) and PrintableStrings with characters
    /// outside their alphabet are taken, as some embedded devices send them.
    pub legacy_strings: bool,
    /// The largest number of relative distinguished names.
    pub max_rdns: usize,
    /// The largest number of values in one relative distinguished name.
    pub max_values: usize,
}

impl Default for NameRules {
    /// The types that devices use, modern strings, 8 relative names of up to 4 values.
    fn default() -> Self {
        const TYPES: [&str; 20] = [
            "CN",
            "SN",
            "serialNumber",
            "C",
            "L",
            "ST",
            "STREET",
            "O",
            "OU",
            "title",
            "postalCode",
            "GN",
            "initials",
            "dnQualifier",
            "pseudonym",
            "UID",
            "DC",
            "emailAddress",
            "unstructuredName",
            "unstructuredAddress",
        ];
        Self {
            allowed: TYPES.iter().filter_map(|t| name::attribute_type(t)).collect(),
            legacy_strings: false,
            max_rdns: 8,
            max_values: 4,
        }
    }
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameRuleError {
    /// It is no name.
    #[error("the name cannot be read: {0}")]
    Unreadable(#[from] NameError),
    /// Too many relative distinguished names, or too many values in one.
    #[error("the name has {found} {what}, more than {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Not in DER: a certificate could not carry it unchanged.
    #[error("the values of one of the name's relative distinguished names are not in DER's order")]
    Order,
    /// One of its attributes is not as it should be.
    #[error("the name's {attribute} {problem}")]
    Attribute {
        /// The attribute's short name or OID.
        attribute: String,
        /// What is wrong with it.
        problem: AttributeProblem,
    },
}

/// What is wrong with one attribute of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeProblem {
    /// The profile does not list the type.
    NotAllowed,
    /// The type stands twice in one relative distinguished name.
    Repeated,
    /// The string type is none that this attribute may have.
    StringType(Tag),
    /// The bytes do not fit the string type.
    Encoding,
    /// The value is empty or nothing but spaces.
    Empty,
    /// A control, bidirectional or invisible character.
    UnsafeCharacter(char),
    /// Not in Unicode's normal form C.
    NotNormalised,
    /// Longer than X.520 allows, in characters.
    TooLong(usize),
    /// A country that is not two letters.
    Country,
}

impl fmt::Display for AttributeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => f.write_str("is not allowed by the profile"),
            Self::Repeated => f.write_str("stands twice in one relative distinguished name"),
            Self::StringType(tag) => write!(f, "has the string type {tag}, which it must not have"),
            Self::Encoding => f.write_str("has bytes that do not fit its string type"),
            Self::Empty => f.write_str("is empty"),
            Self::UnsafeCharacter(c) => {
                write!(f, "contains the character U+{:04X}, which is not allowed", u32::from(*c))
            }
            Self::NotNormalised => f.write_str("is not in Unicode normal form C"),
            Self::TooLong(limit) => write!(f, "is longer than {limit} characters"),
            Self::Country => f.write_str("is not a country code of two letters"),
        }
    }
}

/// Checks a Name in DER against `rules`. An empty Name passes: whether a certificate may have one
/// depends on its other names.
pub fn check(name: &[u8], rules: &NameRules) -> Result<(), NameRuleError> {
    let attributes = name::attributes(name)?;
    let rdns = attributes.last().map_or(0, |a| a.rdn + 1);
    too_many("relative distinguished names", rdns, rules.max_rdns)?;
    for (i, attribute) in attributes.iter().enumerate() {
        let same = || attributes.iter().filter(|a| a.rdn == attribute.rdn);
        too_many("values in one relative distinguished name", same().count(), rules.max_values)?;
        // DER sorts a SET OF by its encodings (X.690 section 11.6).
        if i > 0 && attributes[i - 1].rdn == attribute.rdn {
            let (before, this) = (encoded(&attributes[i - 1])?, encoded(attribute)?);
            if before > this {
                return Err(NameRuleError::Order);
            }
        }
        let repeated =
            attributes[..i].iter().any(|a| a.rdn == attribute.rdn && a.oid == attribute.oid);
        let problem = match () {
            () if !rules.allowed.contains(&attribute.oid) => Some(AttributeProblem::NotAllowed),
            () if repeated => Some(AttributeProblem::Repeated),
            () => value_problem(attribute, rules.legacy_strings),
        };
        if let Some(problem) = problem {
            return Err(NameRuleError::Attribute { attribute: attribute.keyword(), problem });
        }
    }
    Ok(())
}

fn encoded(attribute: &NameAttribute<'_>) -> Result<Vec<u8>, NameError> {
    let value = AnyRef::new(attribute.tag, attribute.value)?.to_der()?;
    Ok(sequence(&[&attribute.oid.to_der()?, &value])?)
}

const fn too_many(what: &'static str, found: usize, limit: usize) -> Result<(), NameRuleError> {
    if found > limit { Err(NameRuleError::TooMany { what, found, limit }) } else { Ok(()) }
}

fn value_problem(attribute: &NameAttribute<'_>, legacy: bool) -> Option<AttributeProblem> {
    let keyword = name::keyword(attribute.oid).unwrap_or_default();
    let tag = attribute.tag;
    let modern = match keyword {
        // IA5String by their definition; strongSwan writes PrintableString, Go UTF8String.
        "DC" | "emailAddress" => {
            matches!(tag, Tag::Ia5String | Tag::PrintableString | Tag::Utf8String)
        }
        "C" | "serialNumber" | "dnQualifier" => tag == Tag::PrintableString,
        "unstructuredName" => {
            matches!(tag, Tag::Ia5String | Tag::PrintableString | Tag::Utf8String)
        }
        _ => matches!(tag, Tag::PrintableString | Tag::Utf8String),
    };
    let old = matches!(tag, Tag::TeletexString | Tag::BmpString | Tag::Ia5String)
        || matches!(tag, Tag::PrintableString | Tag::Utf8String);
    if !(modern || legacy && old) {
        return Some(AttributeProblem::StringType(tag));
    }
    let Some(text) = attribute.text() else { return Some(AttributeProblem::Encoding) };
    if tag == Tag::PrintableString && !legacy && !text.chars().all(is_printable_string_char) {
        return Some(AttributeProblem::Encoding);
    }
    if matches!(keyword, "DC" | "emailAddress") && !text.is_ascii() {
        return Some(AttributeProblem::Encoding);
    }
    if text.trim().is_empty() {
        return Some(AttributeProblem::Empty);
    }
    if let Some(c) = text.chars().find(|c| is_unsafe_char(*c)) {
        return Some(AttributeProblem::UnsafeCharacter(c));
    }
    if !is_nfc(&text) {
        return Some(AttributeProblem::NotNormalised);
    }
    if keyword == "C" && !(text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic())) {
        return Some(AttributeProblem::Country);
    }
    let limit = upper_bound(keyword);
    (text.chars().count() > limit).then_some(AttributeProblem::TooLong(limit))
}

/// X.520's and RFC 5280's upper bounds, in characters; 255 where they set none.
const fn upper_bound(keyword: &str) -> usize {
    match keyword.as_bytes() {
        b"C" => 2,
        b"CN" | b"O" | b"OU" | b"serialNumber" | b"title" => 64,
        b"postalCode" => 40,
        b"DC" => 63,
        b"L" | b"ST" | b"STREET" | b"pseudonym" => 128,
        _ => 255,
    }
}

const fn is_printable_string_char(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | ' ' | '\'' | '(' | ')' | '+' | ',' | '-' | '.'
        | '/' | ':' | '=' | '?')
}
