//! The certificates: a root, an issuing CA below it, and the RA's two below that.

use std::time::Duration;

use super::keys::{Keys, signer};
use super::layout::{Layout, write};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request::to_pem;
use crate::clock::Timestamp;
use crate::hsm::Hsm;
use crate::issuance::Issuer;
use crate::issuance::bootstrap::{Authority, CaTerms, RaRole, Subject, self_signed_ca};
use crate::pki::Certificate;
use crate::random::Random;

/// How long the root is valid; the issuing CA half as long, the RA a fifth.
const ROOT_VALIDITY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Makes and writes the certificates; returns the root's.
pub fn make(
    name: &str,
    hsm: &Hsm,
    keys: &Keys,
    layout: &Layout,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Certificate, Failure> {
    let terms = |parts: u32, path_len| CaTerms {
        validity: ROOT_VALIDITY / parts,
        path_len,
        crl_urls: Vec::new(),
        ca_issuer_urls: Vec::new(),
    };
    let subject =
        |what: &str| Subject { common_name: format!("{name} {what}"), ..Subject::default() };

    let root_key = signer(hsm, &keys.root)?;
    let root = self_signed_ca(&subject("Root CA"), &terms(1, Some(1)), &root_key, random, now)
        .map_err(|e| failed(&e))?;
    let algorithm = root.public_key().kind().default_signature();
    let above = Issuer::new("root", root.clone(), Vec::new(), algorithm).map_err(|e| failed(&e))?;
    let issuing = Authority::new(&above, &root_key)
        .and_then(|authority| {
            let (subject, terms) = (subject("Issuing CA"), terms(2, Some(0)));
            authority.issue_ca(&subject, &keys.issuing.public_key, &terms, random, now)
        })
        .map_err(|e| failed(&e))?;
    let issuing_key = signer(hsm, &keys.issuing)?;
    let issuer = Issuer::new("issuing", issuing.clone(), vec![root.clone()], algorithm)
        .map_err(|e| failed(&e))?;
    let authority = Authority::new(&issuer, &issuing_key).map_err(|e| failed(&e))?;
    let ra = |role, what: &str, key| {
        authority.issue_ra(role, &subject(what), key, &terms(5, None), random, now)
    };
    let decryption = ra(RaRole::Decryption, "RA Decryption", &keys.ra_decryption.public_key);
    let signing = ra(RaRole::Signing, "RA Signing", &keys.ra_signing.public_key);

    for (file, certificate) in [
        ("root", &root),
        ("issuing", &issuing),
        ("ra-decryption", &decryption.map_err(|e| failed(&e))?),
        ("ra-signing", &signing.map_err(|e| failed(&e))?),
    ] {
        write(&layout.certificate(file), &to_pem("CERTIFICATE", certificate.der())?)?;
    }
    Ok(root)
}

fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failed,
        "nothing was made",
        cause,
        "see the cause; a --name of up to 40 plain characters fits",
    )
}
