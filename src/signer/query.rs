//! GetCert and GetCRL (RFC 8894 sections 3.3.4 and 3.3.5): off unless the endpoint says otherwise,
//! and answered only to who holds a certificate of the CA. Strangers learn nothing: whatever they
//! ask for, they get the answer that a holder gets for a serial number that does not exist.

use std::net::IpAddr;
use std::sync::Arc;

use super::endpoint::{Endpoint, Kin};
use super::failure::{Failure, Refused};
use super::pipeline::{Pipeline, warn_of_legacy};
use crate::ledger::TransactionState;
use crate::pki::crl::Crl;
use crate::pki::{Certificate, SerialNumber, name};
use crate::scep::{FailInfo, IssuerAndSerialNumber, MessageType, SignedRequest};
use crate::telemetry::event;

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A certificate from the ledger.
    Certificate(Box<Certificate>),
    /// The newest list.
    Crl(Arc<Crl>),
}

impl Pipeline {
    /// Does `work` for a query or a poll, unless too many from `source` asked for what is not there,
    /// and counts it if it does (T19).
    pub(super) async fn bounded<T>(
        &self,
        source: IpAddr,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        self.strangers.admit(source, self.clock.now()).map_err(Failure::Queries)?;
        let outcome = work.await;
        let missed = |r: &Refused| r.fail_info == FailInfo::BadCertId;
        if matches!(&outcome, Err(Failure::Refused(refused)) if missed(refused))
            && self.strangers.missed(source, self.clock.now())
        {
            let source = source.to_string();
            log::warn!(
                event = event::QUERIES_TRIED, source = source.as_str();
                "somebody asks for what is not there: signer.unknown_queries is reached, and no query is looked at for a while"
            );
        }
        outcome
    }

    /// Answers a GetCert or a GetCRL.
    pub(super) async fn query(
        &self,
        endpoint: &Endpoint,
        source: IpAddr,
        request: &SignedRequest,
    ) -> Result<Found, Failure> {
        endpoint.algorithms.check(request)?;
        warn_of_legacy(endpoint, request);
        offered(endpoint, request.message_type())?;
        if !endpoint.algorithms.can_envelope_to(request.signer().public_key().kind()) {
            return Err(unknown());
        }
        // Before the HSM is asked: a stranger does not even cost a decryption.
        if !self.holds_ours(endpoint, request.signer())? {
            return Err(unknown());
        }
        let asked = self.read(endpoint, source, request, IssuerAndSerialNumber::from_der).await?;
        let wanted = name::normalised(asked.issuer());
        // CAs of one line may have one name: then the certificate is any of theirs, the list the newest.
        let kin = endpoint.kin.iter().rev();
        let named = kin.filter(|k| name::normalised(k.issuer.certificate().subject()) == wanted);
        let named: Vec<&Kin> = named.collect();
        match request.message_type() {
            MessageType::GetCrl => match named.iter().find_map(|k| k.crl.as_ref()) {
                None => Err(unknown()),
                Some(publisher) => match publisher.published() {
                    Some(crl) => Ok(Found::Crl(crl)),
                    None => Err(Failure::Unavailable("there is no CRL yet".into())),
                },
            },
            _ => self.certificate(&named, asked.serial()),
        }
    }

    /// Whether `signer` is a certificate of the endpoint's CA, or of one of its line,
    /// that is in force (T19).
    fn holds_ours(&self, endpoint: &Endpoint, signer: &Certificate) -> Result<bool, Failure> {
        let Some(held) = self.held(signer)? else { return Ok(false) };
        let now = self.clock.now();
        let in_force = signer.not_before() <= now && now <= signer.not_after();
        let ours = endpoint
            .kin
            .iter()
            .any(|k| signer.verify_signature(k.issuer.certificate().public_key()).is_ok());
        Ok(in_force && ours && !held.revoked)
    }

    fn certificate(&self, issuers: &[&Kin], serial: &[u8]) -> Result<Found, Failure> {
        let record = self.ledger.by_serial(&SerialNumber::from_content(serial))?;
        let record =
            record.filter(|r| issuers.iter().any(|k| r.reservation.issuer == k.issuer.id()));
        let Some(TransactionState::Issued { certificate, .. }) = record.map(|r| r.state) else {
            return Err(unknown());
        };
        let certificate = Certificate::from_der(&certificate)
            .map_err(|e| Failure::Unavailable(format!("a certificate in the ledger: {e}")))?;
        Ok(Found::Certificate(Box::new(certificate)))
    }
}

/// Row 100: what is off is refused with badRequest.
fn offered(endpoint: &Endpoint, asked: MessageType) -> Result<(), Failure> {
    let (on, instead) = match asked {
        MessageType::GetCert => {
            (endpoint.get_cert, "ask the CA's operators for the certificate".to_owned())
        }
        _ => (
            endpoint.get_crl && endpoint.makes_crl(),
            format!("fetch the CRL over HTTP from /crl/{}.crl", endpoint.issuer.id()),
        ),
    };
    match on {
        true => Ok(()),
        false => Err(Failure::refused(
            FailInfo::BadRequest,
            "message-type",
            format!("{asked} is not offered here; {instead}"),
        )),
    }
}

/// The one answer to whatever is not there or not for the requester (T19).
fn unknown() -> Failure {
    Failure::refused(
        FailInfo::BadCertId,
        "unknown-certificate",
        "no certificate that you may ask for",
    )
}
