//! What the frontend publishes of the CAs: their certificates and newest lists.

use super::instance::Instance;
use crate::telemetry::event;
use crate::wire::frontend::Document;

/// For how long caches may keep a list: a revocation should be seen within minutes.
const CRL_MAX_AGE: u32 = 300;

/// For how long caches may keep a CA's certificate.
const CERTIFICATE_MAX_AGE: u32 = 86_400;

/// The most that all documents may have together: a description is one message.
const MOST_OCTETS: usize = 6 << 20;

/// Every document, the certificates first.
pub(super) fn documents(instance: &Instance) -> Vec<Document> {
    let mut all: Vec<Document> = Vec::new();
    for issuer in instance.issuers.iter() {
        all.push(Document {
            path: format!("/ca/{}.cer", issuer.id()),
            media_type: "application/pkix-cert".into(),
            max_age: CERTIFICATE_MAX_AGE,
            body: issuer.certificate().der().to_vec(),
        });
    }
    let mut octets: usize = all.iter().map(|d| d.body.len()).sum();
    for (id, publisher) in &instance.crls {
        let Some(crl) = publisher.published() else { continue };
        octets += crl.der().len();
        if octets > MOST_OCTETS {
            let file = publisher.file().display();
            log::error!(
                event = event::CRL, ca = &**id;
                "the CRL of {id} is too long to be served; publish {file} by another web server"
            );
            break;
        }
        all.push(Document {
            path: format!("/crl/{id}.crl"),
            media_type: "application/pkix-crl".into(),
            max_age: CRL_MAX_AGE,
            body: crl.der().to_vec(),
        });
    }
    all
}
