//! The names of the CA's certificates, ours and those of an issuer, as rcgen holds them.

use rcgen::{DistinguishedName as RcgenName, DnType, DnValue};

use super::BootstrapError;
use crate::pki::{Certificate, name};

/// A simple distinguished name: each type at most once, written country, organization, unit,
/// common name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Country, two capital letters.
    pub country: Option<String>,
    /// Organization.
    pub organization: Option<String>,
    /// Organizational unit.
    pub unit: Option<String>,
    /// Common name.
    pub common_name: String,
}

impl Subject {
    /// A name with a common name alone.
    pub fn common_name(name: impl Into<String>) -> Self {
        Self { common_name: name.into(), ..Self::default() }
    }

    pub(super) fn to_rcgen(&self) -> Result<RcgenName, BootstrapError> {
        let parts = [
            (DnType::CountryName, "country", self.country.as_ref()),
            (DnType::OrganizationName, "organization", self.organization.as_ref()),
            (DnType::OrganizationalUnitName, "unit", self.unit.as_ref()),
            (DnType::CommonName, "common name", Some(&self.common_name)),
        ];
        let mut out = RcgenName::new();
        for (kind, what, text) in parts {
            let Some(text) = text else { continue };
            let country = kind == DnType::CountryName;
            let fits = if country {
                text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
            } else {
                !text.trim().is_empty()
                    && text.chars().count() <= 64
                    && !text.chars().any(char::is_control)
            };
            if !fits {
                return Err(BootstrapError::Subject(what));
            }
            let value = if country {
                let text = text.as_str().try_into();
                DnValue::PrintableString(text.map_err(|_| BootstrapError::Subject(what))?)
            } else {
                DnValue::Utf8String(text.clone())
            };
            out.push(kind, value);
        }
        Ok(out)
    }
}

/// The issuer's subject as rcgen holds names: a map by type, so each type once and one value a part.
pub(super) fn issuer_name(issuer: &Certificate) -> Result<RcgenName, BootstrapError> {
    let refuse = || BootstrapError::IssuerName(name::display(issuer.subject()));
    let attributes = name::attributes(issuer.subject()).map_err(|_| refuse())?;
    let mut out = RcgenName::new();
    for (i, attribute) in attributes.iter().enumerate() {
        if attribute.rdn != i || attributes[..i].iter().any(|a| a.oid == attribute.oid) {
            return Err(refuse());
        }
        let text = attribute.text().ok_or_else(refuse)?;
        let value = match attribute.tag {
            der::Tag::Utf8String => DnValue::Utf8String(text),
            der::Tag::PrintableString => {
                DnValue::PrintableString(text.try_into().map_err(|_| refuse())?)
            }
            der::Tag::Ia5String => DnValue::Ia5String(text.try_into().map_err(|_| refuse())?),
            _ => return Err(refuse()),
        };
        let arcs = attribute.oid.arcs().map(u64::from).collect();
        out.push(DnType::CustomDnType(arcs), value);
    }
    Ok(out)
}
