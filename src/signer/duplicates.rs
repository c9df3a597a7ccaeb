//! What becomes of an enrolment whose subject has a certificate already (RFC 8894 sections 5.2 and
//! 7.4; docs/scep.md row 92). A renewal has its predecessor's subject and is none of this.

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::in_flight::{Lead, TransactionKey};
use super::issue::{Issuance, Issued};
use super::pipeline::Pipeline;
use crate::clock::Timestamp;
use crate::config::DuplicateSubject;
use crate::ledger::{Actor, CertificateRecord, Draft, Event, Origin, Outcome, Revocation};
use crate::pki::{Certificate, name};
use crate::ra::{AuthorizedRequest, Evidence};
use crate::revocation::Reason;
use crate::scep::FailInfo;
use crate::telemetry::event;

impl Pipeline {
    /// Signs what is authorized, as the endpoint's rule for subjects that have a certificate says.
    pub(super) async fn issue(
        &self,
        issuance: &Issuance<'_>,
        request: &AuthorizedRequest,
        now: Timestamp,
    ) -> Result<Issued, Failure> {
        let endpoint = issuance.endpoint;
        let subject = request.csr().subject();
        let is_renewal = request.evidence().iter().any(|e| matches!(e, Evidence::Renewal(_)));
        let rule = match is_renewal || name::attributes(subject).is_ok_and(|a| a.is_empty()) {
            true => DuplicateSubject::Allow,
            false => endpoint.duplicate_subject,
        };
        let sign = issuance.sign(request, &self.queue, now, self.random.as_ref());
        if rule == DuplicateSubject::Allow {
            return sign.await;
        }
        // Of two requests for one subject at once the second sees what came of the first.
        let turn = self.turn_of(endpoint, subject).await;
        let before = self.in_force(endpoint, subject, now)?;
        if rule == DuplicateSubject::Refuse && !before.is_empty() {
            return Err(Failure::refused(
                FailInfo::BadRequest,
                "duplicate-subject",
                "a certificate with this subject is in force at this endpoint; renew it with its key, \
                 or have it revoked first",
            ));
        }
        let issued = sign.await?;
        self.supersede(endpoint, &before).await?;
        drop(turn);
        Ok(issued)
    }

    /// The right to decide on a subject; nobody else has it until it is dropped.
    async fn turn_of(&self, endpoint: &Endpoint, subject: &[u8]) -> Lead<()> {
        let key = TransactionKey { endpoint: endpoint.name.clone(), id: name::normalised(subject) };
        self.subjects.turn(key).await
    }

    /// The certificates of this endpoint with this subject that are neither expired nor revoked.
    fn in_force(
        &self,
        endpoint: &Endpoint,
        subject: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(CertificateRecord, Certificate)>, Failure> {
        let mut found = Vec::new();
        for record in self.ledger.by_subject(subject)? {
            let release = Reason::RemoveFromCrl.code();
            if record.status.as_ref().is_some_and(|(_, status)| status.reason != release) {
                continue;
            }
            let certificate = Certificate::from_der(&record.certificate)
                .map_err(|e| Failure::Unavailable(format!("a certificate in the ledger: {e}")))?;
            let reserved = self.ledger.by_serial(certificate.serial())?;
            let here = reserved.is_some_and(|r| *r.reservation.endpoint == *endpoint.name);
            if here && certificate.not_after() >= now {
                found.push((record, certificate));
            }
        }
        Ok(found)
    }

    /// Revokes the certificates that the new one takes the place of. The list follows by itself.
    async fn supersede(
        &self,
        endpoint: &Endpoint,
        before: &[(CertificateRecord, Certificate)],
    ) -> Result<(), Failure> {
        let (ca, reason) = (endpoint.issuer.id(), Reason::Superseded);
        let entries = before.iter().map(|(_, certificate)| Draft {
            actor: Actor::System,
            origin: Origin::Internal,
            object: certificate.serial().to_string(),
            outcome: Outcome::Success,
            event: Event::Revocation(Revocation {
                serial: certificate.serial().content().into(),
                issuer: ca.into(),
                reason: reason.code(),
                date: self.clock.now().unix_millis(),
                invalidity: None,
                comment: "another certificate was issued for its subject".into(),
            }),
        });
        let entries: Vec<Draft> = entries.collect();
        if entries.is_empty() {
            return Ok(());
        }
        for entry in &entries {
            let serial = entry.object.as_str();
            self.metrics.revoked(ca, &reason.to_string());
            log::info!(
                event = event::REVOCATION, ca, serial;
                "{serial}: superseded by a new certificate for its subject"
            );
        }
        self.ledger.append(entries).await?;
        Ok(())
    }
}
