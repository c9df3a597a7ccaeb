//! The attribute audit: a key of ours was made in the token, never left it and cannot (I3), and
//! does one thing alone (I4). HSM tools make over-powered keys, so each attribute is read.

use std::collections::HashMap;
use std::fmt;

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use super::keys::KeyPurpose;
use super::profile::AuditedAttribute as A;

/// An attribute that is not as the key's purpose demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deviation {
    /// The attribute.
    pub attribute: A,
    /// What it must be.
    pub required: bool,
    /// Whether the token reported it at all (with the wrong value).
    pub reported: bool,
    /// Which invariant it breaks.
    pub rule: Rule,
}

/// The invariant that an attribute serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// I3: made in the token, never leaves it. A laboratory may do without.
    Custody,
    /// I4: one key, one purpose. No exception.
    Purpose,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = name(self.attribute);
        if self.reported {
            write!(f, "{name} is {}", !self.required)
        } else {
            write!(f, "{name} is not reported and must be {}", self.required)
        }
    }
}

/// The attributes of one private key.
pub(super) type Attributes = HashMap<A, bool>;

const TYPES: [AttributeType; 14] = [
    AttributeType::Token,
    AttributeType::Private,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::Local,
    AttributeType::Modifiable,
    AttributeType::Sign,
    AttributeType::SignRecover,
    AttributeType::Decrypt,
    AttributeType::Unwrap,
    AttributeType::Derive,
    AttributeType::AlwaysAuthenticate,
];

/// Reads what is audited of `key`.
pub(super) fn read(session: &Session, key: ObjectHandle) -> Result<Attributes, Error> {
    let found = session.get_attributes(key, &TYPES)?;
    Ok(found.into_iter().filter_map(|attribute| pair(&attribute)).collect())
}

pub(super) fn pair(attribute: &Attribute) -> Option<(A, bool)> {
    Some(match attribute {
        Attribute::Token(v) => (A::CkaToken, *v),
        Attribute::Private(v) => (A::CkaPrivate, *v),
        Attribute::Sensitive(v) => (A::CkaSensitive, *v),
        Attribute::Extractable(v) => (A::CkaExtractable, *v),
        Attribute::AlwaysSensitive(v) => (A::CkaAlwaysSensitive, *v),
        Attribute::NeverExtractable(v) => (A::CkaNeverExtractable, *v),
        Attribute::Local(v) => (A::CkaLocal, *v),
        Attribute::Modifiable(v) => (A::CkaModifiable, *v),
        Attribute::Sign(v) => (A::CkaSign, *v),
        Attribute::SignRecover(v) => (A::CkaSignRecover, *v),
        Attribute::Decrypt(v) => (A::CkaDecrypt, *v),
        Attribute::Unwrap(v) => (A::CkaUnwrap, *v),
        Attribute::Derive(v) => (A::CkaDerive, *v),
        Attribute::AlwaysAuthenticate(v) => (A::CkaAlwaysAuthenticate, *v),
        _ => return None,
    })
}

/// What a key of `purpose` must be like.
fn required(purpose: KeyPurpose) -> [(A, bool, Rule); 14] {
    let signs = purpose.signs();
    [
        (A::CkaToken, true, Rule::Custody),
        (A::CkaPrivate, true, Rule::Custody),
        (A::CkaSensitive, true, Rule::Custody),
        (A::CkaExtractable, false, Rule::Custody),
        (A::CkaAlwaysSensitive, true, Rule::Custody),
        (A::CkaNeverExtractable, true, Rule::Custody),
        (A::CkaLocal, true, Rule::Custody),
        // A key that can be modified can be given another use by whoever knows the PIN.
        (A::CkaModifiable, false, Rule::Custody),
        (A::CkaSign, signs, Rule::Purpose),
        (A::CkaSignRecover, false, Rule::Purpose),
        (A::CkaDecrypt, !signs, Rule::Purpose),
        (A::CkaUnwrap, false, Rule::Purpose),
        (A::CkaDerive, false, Rule::Purpose),
        // Such a key asks for the PIN before each use; a service cannot give it.
        (A::CkaAlwaysAuthenticate, false, Rule::Purpose),
    ]
}

/// Every deviation of a key of `purpose`; attributes in `not_reported` are passed over.
pub(super) fn audit(
    attributes: &Attributes,
    purpose: KeyPurpose,
    not_reported: &[A],
) -> Vec<Deviation> {
    let rows = required(purpose).into_iter().filter(|(a, ..)| !not_reported.contains(a));
    rows.filter_map(|(attribute, required, rule)| {
        let found = attributes.get(&attribute).copied();
        // Modules from before PKCS#11 2.20 do not know this one, and so cannot have it set.
        let absent_is_false = attribute == A::CkaAlwaysAuthenticate && found.is_none();
        (found != Some(required) && !absent_is_false).then_some(Deviation {
            attribute,
            required,
            reported: found.is_some(),
            rule,
        })
    })
    .collect()
}

pub(super) fn name(attribute: A) -> &'static str {
    match attribute {
        A::CkaToken => "CKA_TOKEN",
        A::CkaPrivate => "CKA_PRIVATE",
        A::CkaSensitive => "CKA_SENSITIVE",
        A::CkaExtractable => "CKA_EXTRACTABLE",
        A::CkaAlwaysSensitive => "CKA_ALWAYS_SENSITIVE",
        A::CkaNeverExtractable => "CKA_NEVER_EXTRACTABLE",
        A::CkaLocal => "CKA_LOCAL",
        A::CkaModifiable => "CKA_MODIFIABLE",
        A::CkaSign => "CKA_SIGN",
        A::CkaSignRecover => "CKA_SIGN_RECOVER",
        A::CkaDecrypt => "CKA_DECRYPT",
        A::CkaUnwrap => "CKA_UNWRAP",
        A::CkaDerive => "CKA_DERIVE",
        A::CkaAlwaysAuthenticate => "CKA_ALWAYS_AUTHENTICATE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(purpose: KeyPurpose) -> Attributes {
        required(purpose).into_iter().map(|(a, v, _)| (a, v)).collect()
    }

    #[test]
    fn each_flipped_attribute_is_one_deviation() {
        for purpose in [KeyPurpose::CaSign, KeyPurpose::RaDecrypt] {
            assert_eq!(audit(&good(purpose), purpose, &[]), []);
            for (attribute, value, rule) in required(purpose) {
                let mut bad = good(purpose);
                bad.insert(attribute, !value);
                let found = audit(&bad, purpose, &[]);
                assert_eq!(found, [Deviation { attribute, required: value, reported: true, rule }]);
                assert_eq!(audit(&bad, purpose, &[attribute]), []);
            }
        }
    }

    #[test]
    fn silence_is_a_deviation() {
        for (attribute, ..) in required(KeyPurpose::RaSign) {
            let mut silent = good(KeyPurpose::RaSign);
            silent.remove(&attribute);
            let expected = usize::from(attribute != A::CkaAlwaysAuthenticate);
            assert_eq!(audit(&silent, KeyPurpose::RaSign, &[]).len(), expected, "{attribute:?}");
        }
    }

    #[test]
    fn the_wrong_purpose_is_named() {
        let found = audit(&good(KeyPurpose::RaDecrypt), KeyPurpose::CaSign, &[]);
        let text: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["CKA_SIGN is false", "CKA_DECRYPT is true"]);
        assert!(found.iter().all(|d| d.rule == Rule::Purpose));
    }
}
