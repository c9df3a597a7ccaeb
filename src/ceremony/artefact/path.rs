//! The path from a certificate up to its root, checked at a given moment: by OpenSSL, and where ML-DSA
//! signs, which OpenSSL has only from 3.5 on, step by step here.

use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509StoreContext};

use super::ArtefactError;
use crate::clock::Timestamp;
use crate::pki::extension::{BASIC_CONSTRAINTS, BasicConstraints, KeyUsage};
use crate::pki::{Certificate, KeyKind, name};

/// Verifies `certificate` against `roots` by way of `others`, at the time `at`.
pub fn check_path(
    certificate: &Certificate,
    others: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
) -> Result<(), ArtefactError> {
    let by_ml_dsa = |c: &Certificate| matches!(c.public_key().kind(), KeyKind::MlDsa(_));
    if others.iter().chain(roots).any(by_ml_dsa) {
        return walk(certificate, others, roots, at);
    }
    let failed = |e: openssl::error::ErrorStack| ArtefactError::Path(e.to_string());
    let x509 = |c: &Certificate| X509::from_der(c.der()).map_err(failed);
    let store = store(roots, at)?;
    let mut chain = Stack::new().map_err(failed)?;
    for other in others {
        chain.push(x509(other)?).map_err(failed)?;
    }
    let leaf = x509(certificate)?;
    let mut context = X509StoreContext::new().map_err(failed)?;
    let result = context
        .init(&store, &leaf, &chain, |c| {
            let valid = c.verify_cert()?;
            Ok((valid, c.error().error_string().to_owned()))
        })
        .map_err(failed)?;
    match result {
        (true, _) => Ok(()),
        (false, reason) => Err(ArtefactError::Path(reason)),
    }
}

/// From the certificate upward to a root (RFC 5280 section 6.1, as far as our own certificates need it).
fn walk(
    certificate: &Certificate,
    others: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
) -> Result<(), ArtefactError> {
    let fails = |c: &Certificate, what: &str| {
        Err(ArtefactError::Path(format!("«{}» {what}", name::display(c.subject()))))
    };
    // A self-issued certificate does not count (RFC 5280 section 6.1.4 (l)).
    let (mut lower, mut below) = (certificate, 0);
    for _ in 0..=others.len() + 1 {
        if at < lower.not_before() || at > lower.not_after() {
            return fails(lower, "is not valid at this time");
        }
        let issued = |upper: &&Certificate| {
            upper.subject() == lower.issuer() && lower.verify_signature(upper.public_key()).is_ok()
        };
        let Some(upper) = roots.iter().chain(others).find(issued) else {
            return fails(lower, "is signed by no certificate of its issuer");
        };
        if roots.contains(lower) && upper == lower {
            return Ok(());
        }
        let constraints = upper.extension(BASIC_CONSTRAINTS);
        let constraints = constraints.and_then(|e| BasicConstraints::from_der(&e.value).ok());
        let Some(constraints) = constraints.filter(|c| c.ca) else {
            return fails(upper, "is no CA");
        };
        if constraints.path_len.is_some_and(|limit| limit < below) {
            return fails(upper, "has more CAs below it than its path length allows");
        }
        let usage = KeyUsage::from_bits(upper.key_usage().unwrap_or_default());
        if !usage.contains(KeyUsage::KEY_CERT_SIGN) {
            return fails(upper, "may not sign certificates");
        }
        below += u32::from(!upper.is_self_issued());
        lower = upper;
    }
    fails(lower, "leads to no root")
}

fn store(roots: &[Certificate], at: Timestamp) -> Result<X509Store, ArtefactError> {
    let failed = |e: openssl::error::ErrorStack| ArtefactError::Path(e.to_string());
    let mut builder = X509StoreBuilder::new().map_err(failed)?;
    for root in roots {
        builder.add_cert(X509::from_der(root.der()).map_err(failed)?).map_err(failed)?;
    }
    let mut parameters = X509VerifyParam::new().map_err(failed)?;
    parameters
        .set_flags(X509VerifyFlags::X509_STRICT | X509VerifyFlags::CHECK_SS_SIGNATURE)
        .map_err(failed)?;
    parameters.set_time(i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX));
    builder.set_param(&parameters).map_err(failed)?;
    Ok(builder.build())
}
