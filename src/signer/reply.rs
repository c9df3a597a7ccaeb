//! CertReps, signed by the RA's signing key in the HSM.

use super::endpoint::{CertRepChain, Endpoint};
use super::failure::Refused;
use super::issue::Issued;
use super::query::Found;
use crate::cms::PasswordKey;
use crate::pki::Certificate;
use crate::random::Random;
use crate::scep::{CertRep, CertRepError, ReplyContext, UnsignedCertRep};

/// SUCCESS with the certificate, enveloped to the key that signed the request or, where it was sent
/// under a password, by that. The error is a text
/// for the log: nothing can be sent.
pub(super) async fn success(
    endpoint: &Endpoint,
    request: &ReplyContext,
    issued: &Issued,
    password: Option<&PasswordKey>,
    random: &dyn Random,
) -> Result<Vec<u8>, String> {
    let mut certificates: Vec<&Certificate> = vec![issued.certificate()];
    let chain = endpoint.issuer.chain();
    match endpoint.certrep_chain {
        CertRepChain::None => {}
        CertRepChain::Chain => {
            certificates.push(endpoint.issuer.certificate());
            certificates.extend(chain.iter().filter(|c| !c.is_self_issued()));
        }
        CertRepChain::FullChain => {
            certificates.push(endpoint.issuer.certificate());
            certificates.extend(chain);
        }
    }
    let algorithms = &endpoint.algorithms;
    let reply = CertRep::success(request, &certificates, password, algorithms, random);
    sign(endpoint, reply).await
}

/// SUCCESS with what GetCert or GetCRL asked for, alone.
pub(super) async fn found(
    endpoint: &Endpoint,
    request: &ReplyContext,
    found: &Found,
    random: &dyn Random,
) -> Result<Vec<u8>, String> {
    let algorithms = &endpoint.algorithms;
    let reply = match found {
        Found::Certificate(c) => CertRep::success(request, &[c], None, algorithms, random),
        Found::Crl(crl) => CertRep::crl(request, crl.der(), algorithms, random),
    };
    sign(endpoint, reply).await
}

/// FAILURE with its failInfo and, where it may be told, the reason.
pub(super) async fn failure(
    endpoint: &Endpoint,
    request: &ReplyContext,
    refused: &Refused,
    random: &dyn Random,
) -> Result<Vec<u8>, String> {
    let text = refused.text.as_deref();
    let reply = CertRep::failure(request, refused.fail_info, text, &endpoint.algorithms, random);
    sign(endpoint, reply).await
}

/// PENDING: the request waits for an officer.
pub(super) async fn pending(
    endpoint: &Endpoint,
    request: &ReplyContext,
    random: &dyn Random,
) -> Result<Vec<u8>, String> {
    sign(endpoint, CertRep::pending(request, &endpoint.algorithms, random)).await
}

async fn sign(
    endpoint: &Endpoint,
    reply: Result<UnsignedCertRep, CertRepError>,
) -> Result<Vec<u8>, String> {
    let reply = reply.map_err(|e| e.to_string())?;
    let key = endpoint.ra_signer.public_key().kind();
    let algorithm = reply.signature_algorithm(key);
    let signature = endpoint.ra_signer.sign_with(algorithm, reply.to_be_signed().to_vec()).await;
    let signature = signature.map_err(|e| e.to_string())?;
    Ok(reply.assemble(&signature, &endpoint.ra_signing))
}
