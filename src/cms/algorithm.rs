//! AlgorithmIdentifier, kept as it came (RFC 5280 section 4.1.1.2).

use const_oid::ObjectIdentifier;

use super::CmsError;
use super::asn1::{Element, tag, tlv};
use crate::pki::Digest;

/// DER of NULL.
const NULL: &[u8] = &[0x05, 0x00];

/// An algorithm's object identifier and the DER of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmIdentifier {
    /// The object identifier.
    pub oid: ObjectIdentifier,
    /// The DER of the parameters, where there are any.
    pub parameters: Option<Vec<u8>>,
}

impl AlgorithmIdentifier {
    /// Reads a SEQUENCE of an OID and at most one more element.
    pub(crate) fn read(element: Element<'_>, what: &str) -> Result<Self, CmsError> {
        let mut fields = element.expect(tag::SEQUENCE, what)?.fields(what)?;
        Self::read_fields(&mut fields, what).and_then(|found| fields.finish(what).map(|()| found))
    }

    /// Reads what is inside of one.
    pub(crate) fn read_fields(
        fields: &mut super::asn1::Fields<'_>,
        what: &str,
    ) -> Result<Self, CmsError> {
        let oid = fields.next(what)?.oid(what)?;
        let parameters = match fields.is_finished() {
            true => None,
            false => Some(fields.next(what)?.der.to_vec()),
        };
        Ok(Self { oid, parameters })
    }

    /// The digest that it names. Missing parameters and NULL mean the same (RFC 5754 section 2).
    pub(crate) fn digest(&self) -> Option<Digest> {
        if self.has_no_parameters() { Digest::from_oid(self.oid) } else { None }
    }

    /// Whether there are no parameters, or NULL.
    pub(crate) fn has_no_parameters(&self) -> bool {
        self.parameters.as_deref().is_none_or(|p| p == NULL)
    }

    /// Whether both name the same algorithm; missing parameters and NULL are the same.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.oid == other.oid
            && (self.parameters == other.parameters
                || self.has_no_parameters() && other.has_no_parameters())
    }
}

/// The DER of an AlgorithmIdentifier with the given DER parameters; empty for none.
pub(super) fn identifier(oid: ObjectIdentifier, parameters: &[u8]) -> Vec<u8> {
    tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[oid.as_bytes()]), parameters])
}

/// The same with NULL, which some readers insist on (docs/scep.md Q26).
pub(super) fn identifier_with_null(oid: ObjectIdentifier) -> Vec<u8> {
    identifier(oid, NULL)
}
