//! The path from a certificate up to its root, checked by OpenSSL at a given moment.

use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509StoreContext};

use super::ArtefactError;
use crate::clock::Timestamp;
use crate::pki::Certificate;

/// Verifies `certificate` against `roots` by way of `others`, at the time `at`.
pub fn check_path(
    certificate: &Certificate,
    others: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
) -> Result<(), ArtefactError> {
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
