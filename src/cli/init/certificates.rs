//! The certificates: a root, issuing CAs below it, and the two of each RA below those.

use std::time::Duration;

use super::keys::{CaKeys, Keys, signer};
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

/// How long before now the laboratory's certificates begin.
const BEGINS_BEFORE: Duration = Duration::from_secs(86_400);

/// Makes and writes the certificates; returns the root's.
pub fn make(
    name: &str,
    hsm: &Hsm,
    keys: &Keys,
    layout: &Layout,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Certificate, Failure> {
    // A device's certificate does not begin before its CA's: without this the profile's `backdate`
    // would have nothing to go back to, and devices with slow clocks would refuse the chain.
    let now = now.before(BEGINS_BEFORE);
    let root_key = signer(hsm, &keys.root)?;
    let subject = subject(name, "Root CA", "");
    let root = self_signed_ca(&subject, &terms(1, Some(1)), &root_key, random, now)
        .map_err(|e| failed(&e))?;
    let algorithm = root.public_key().kind().default_signature();
    let above = Issuer::new("root", root.clone(), Vec::new(), algorithm).map_err(|e| failed(&e))?;
    let authority = Authority::new(&above, &root_key).map_err(|e| failed(&e))?;
    write(&layout.certificate("root"), &to_pem("CERTIFICATE", root.der())?)?;
    for ca in &keys.authorities {
        issuing(name, hsm, ca, (&authority, &root), layout, random, now)?;
    }
    Ok(root)
}

/// Makes and writes the certificates of one issuing CA and its RA.
fn issuing(
    name: &str,
    hsm: &Hsm,
    keys: &CaKeys,
    (above, root): (&Authority<'_>, &Certificate),
    layout: &Layout,
    random: &dyn Random,
    now: Timestamp,
) -> Result<(), Failure> {
    let subject = |what| subject(name, what, keys.suffix);
    let (about, key) = (subject("Issuing CA"), &keys.issuing.public_key);
    let issuing = above.issue_ca(&about, key, &terms(2, Some(0)), random, now);
    let issuing = issuing.map_err(|e| failed(&e))?;
    let issuing_key = signer(hsm, &keys.issuing)?;
    let algorithm = root.public_key().kind().default_signature();
    let issuer = Issuer::new("issuing", issuing.clone(), vec![root.clone()], algorithm)
        .map_err(|e| failed(&e))?;
    let authority = Authority::new(&issuer, &issuing_key).map_err(|e| failed(&e))?;
    let ra = |role, what, key| {
        authority.issue_ra(role, &subject(what), key, &terms(5, None), random, now)
    };
    let decryption = ra(RaRole::Decryption, "RA Decryption", &keys.ra_decryption.public_key);
    let signing = ra(RaRole::Signing, "RA Signing", &keys.ra_signing.public_key);
    for (file, certificate) in [
        ("issuing", &issuing),
        ("ra-decryption", &decryption.map_err(|e| failed(&e))?),
        ("ra-signing", &signing.map_err(|e| failed(&e))?),
    ] {
        let path = layout.certificate(&format!("{file}{}", keys.suffix));
        write(&path, &to_pem("CERTIFICATE", certificate.der())?)?;
    }
    Ok(())
}

fn terms(parts: u32, path_len: Option<u8>) -> CaTerms {
    CaTerms {
        validity: ROOT_VALIDITY / parts,
        path_len,
        crl_urls: Vec::new(),
        ca_issuer_urls: Vec::new(),
    }
}

fn subject(name: &str, what: &str, suffix: &str) -> Subject {
    let number = suffix.replace('-', " ");
    Subject { common_name: format!("{name} {what}{number}"), ..Subject::default() }
}

fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failed,
        "nothing was made",
        cause,
        "see the cause; a --name of up to 40 plain characters fits",
    )
}
