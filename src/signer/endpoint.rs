//! An endpoint as it runs: its CA with the keys, its profile, its rules, its unsigned answers.

use std::sync::Arc;
use std::time::Duration;

use super::authority::Authority;
use super::crl::Publisher;
use super::failure::Failure;
use super::rollover::Blueprint;
use crate::clock::Timestamp;
use crate::cms;
use crate::config;
use crate::issuance::{Issuer, Profile};
use crate::pki::{Certificate, name};
use crate::ra::{Authorizer, ChallengeKey, NameRule, RenewalPolicy};
use crate::scep::{AlgorithmPolicy, Capabilities, FailInfo, Legacy, SignedRequest};
use crate::signing::{KeyUnwrapper, Signer};
use crate::wire::frontend::EndpointDescription;

pub(super) use crate::config::CertRepChain;

/// A CA of the same line: one follows the other.
#[derive(Clone)]
pub(super) struct Kin {
    pub(super) issuer: Arc<Issuer>,
    /// Its lists, where it signs any.
    pub(super) crl: Option<Arc<Publisher>>,
}

/// One endpoint with one CA. During a rollover there is another one for each other CA whose requests
/// are accepted.
pub(super) struct Endpoint {
    pub(super) name: Arc<str>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) ca_signer: Arc<dyn Signer>,
    pub(super) ra_decryption: Certificate,
    pub(super) unwrapper: Arc<dyn KeyUnwrapper>,
    pub(super) ra_signing: Certificate,
    pub(super) ra_signer: Arc<dyn Signer>,
    pub(super) profile: Arc<Profile>,
    pub(super) authorizer: Authorizer,
    /// Whether its one-time challenges are kept so that envelopes can be opened by them.
    pub(super) sealed_challenges: bool,
    pub(super) renewal: Option<RenewalPolicy>,
    pub(super) algorithms: AlgorithmPolicy,
    pub(super) certrep_chain: CertRepChain,
    pub(super) retry_window: Duration,
    /// What becomes of an enrolment whose subject has a certificate.
    pub(super) duplicate_subject: config::DuplicateSubject,
    /// Whether a request without senderNonce is refused.
    pub(super) require_sender_nonce: bool,
    /// Whether an officer has to approve each request.
    pub(super) approval: bool,
    pub(super) pending_lifetime: Duration,
    /// Whether GetCert is answered.
    pub(super) get_cert: bool,
    /// Whether GetCRL is answered.
    pub(super) get_crl: bool,
    /// Its CA, those before it and those after it.
    pub(super) kin: Vec<Kin>,
    /// The decryption certificates to which an envelope may be addressed; its own is the first.
    pub(super) recipients: Vec<Certificate>,
    /// The same endpoint with the other CAs of a rollover.
    pub(super) others: Vec<Arc<Endpoint>>,
    pub(super) description: EndpointDescription,
}

impl Endpoint {
    /// The endpoint `name` of the configuration. One without any authorizer refuses every
    /// enrolment: no authorizer means no service, never an open CA.
    pub(super) fn new(
        blueprint: &Blueprint,
        authority: &Authority,
        key: &ChallengeKey,
        kin: Vec<Kin>,
        recipients: Vec<Certificate>,
        next_ca: Option<Vec<u8>>,
    ) -> Self {
        let Blueprint { name, settings, profile } = blueprint;
        let renewal = renewal(&settings.renewal);
        let caps = capabilities(settings, next_ca.is_some());
        let algorithms = caps.algorithms;
        let (ca_content_type, ca_body) = ca_certificates(&settings.ca_cert_response, authority);
        let paths = std::iter::once(&settings.path).chain(&settings.aliases);
        Self {
            name: name.clone(),
            issuer: authority.issuer.clone(),
            ca_signer: authority.signer.clone(),
            ra_decryption: authority.ra_decryption.clone(),
            unwrapper: authority.unwrapper.clone(),
            ra_signing: authority.ra_signing.clone(),
            ra_signer: authority.ra_signer.clone(),
            authorizer: Authorizer {
                endpoint: name.to_string(),
                key: key.clone(),
                challenge: settings.challenge_mac.clone(),
                one_time: settings.one_time_challenges,
                profile: profile.name.clone(),
            },
            sealed_challenges: settings.challenge_storage == config::ChallengeStorage::Sealed,
            profile: profile.clone(),
            renewal,
            algorithms,
            certrep_chain: settings.certrep_chain,
            retry_window: settings.retry_window,
            duplicate_subject: settings.duplicate_subject,
            require_sender_nonce: settings.require_sender_nonce,
            approval: settings.approval == config::Approval::Officer,
            pending_lifetime: settings.pending_lifetime,
            get_cert: settings.get_cert,
            get_crl: settings.get_crl,
            kin,
            recipients,
            others: Vec::new(),
            description: EndpointDescription {
                name: name.to_string(),
                paths: paths.map(|p| p.as_str().to_owned()).collect(),
                default: true,
                get_pki_operation: settings.allow_get,
                caps: caps.text().into_bytes(),
                ca_content_type: ca_content_type.into(),
                ca_body,
                next_ca,
            },
        }
    }

    /// The endpoint as the request's envelope addresses it: with the CA of that RA (docs/scep.md row
    /// 102).
    pub(super) fn addressed(self: &Arc<Self>, request: &SignedRequest) -> &Arc<Self> {
        let of_other = |o: &&Arc<Self>| request.is_addressed_to(&o.ra_decryption);
        self.others.iter().find(of_other).unwrap_or(self)
    }

    /// Refuses requests to a CA that is not, or no more, in force during a rollover. `main` is the
    /// endpoint that the request came to.
    pub(super) fn check_in_force(&self, main: &Self, now: Timestamp) -> Result<(), Failure> {
        if std::ptr::eq(self, main) {
            return Ok(());
        }
        in_force(self.issuer.certificate(), [&self.ra_decryption, &self.ra_signing], now)
    }

    /// Whether its CA signs lists.
    pub(super) fn makes_crl(&self) -> bool {
        self.kin.iter().any(|k| k.issuer.id() == self.issuer.id() && k.crl.is_some())
    }
}

/// Whether a CA and the certificates of its RA are valid now (T76).
fn in_force(ca: &Certificate, ra: [&Certificate; 2], now: Timestamp) -> Result<(), Failure> {
    for certificate in std::iter::once(ca).chain(ra) {
        let (from, to) = (certificate.not_before(), certificate.not_after());
        if now < from || now > to {
            let (subject, ca) = (name::display(certificate.subject()), name::display(ca.subject()));
            return Err(Failure::refused(
                FailInfo::BadMessageCheck,
                "message-check",
                format!(
                    "the envelope is addressed to the RA of {ca}, but {subject} is valid from {from} \
                     to {to}; let the device fetch GetCACert again"
                ),
            ));
        }
    }
    Ok(())
}

/// What an endpoint with these settings can do, while a next CA is announced or not.
pub const fn capabilities(settings: &config::Endpoint, next_ca: bool) -> Capabilities {
    Capabilities {
        algorithms: AlgorithmPolicy {
            legacy: Legacy {
                des3: settings.algorithms.des3,
                sha1: settings.algorithms.sha1,
                des_and_md5: settings.algorithms.des_and_md5,
            },
            ec_key_agreement: settings.ec_key_agreement,
        },
        renewal: settings.renewal.enabled,
        next_ca_certificate: next_ca,
    }
}

fn renewal(settings: &config::Renewal) -> Option<RenewalPolicy> {
    settings.enabled.then_some(RenewalPolicy {
        window: settings.window,
        names: match settings.names {
            config::NameRule::Same => NameRule::Same,
            config::NameRule::Subset => NameRule::Subset,
        },
        same_key: settings.same_key,
        check_challenge: settings.check_challenge,
    })
}

/// The media type and body of GetCACert's answer (RFC 8894 section 4.2.1): one bare certificate
/// where there is one only, certs-only SignedData otherwise.
fn ca_certificates(parts: &[config::CaCertPart], authority: &Authority) -> (&'static str, Vec<u8>) {
    use config::CaCertPart as Part;
    let chain = authority.issuer.chain();
    let (root, upper) = match chain.split_last() {
        Some((root, upper)) => (Some(root), upper),
        None => (None, chain),
    };
    let mut certificates: Vec<&Certificate> = Vec::new();
    for part in parts {
        let found: Vec<&Certificate> = match part {
            Part::RaDecryption => vec![&authority.ra_decryption],
            Part::RaSigning => vec![&authority.ra_signing],
            Part::Issuing => vec![authority.issuer.certificate()],
            Part::Upper => upper.iter().collect(),
            Part::Root => root.into_iter().collect(),
        };
        certificates.extend(found);
    }
    match certificates.as_slice() {
        [only] => ("application/x-x509-ca-cert", only.der().to_vec()),
        all => ("application/x-x509-ca-ra-cert", cms::certs_only(all)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn t76_a_request_to_a_ca_that_ended_or_has_not_begun_is_refused() {
        let pem = include_bytes!("../../tests/vectors/scep/ra.pem");
        let ca = Certificate::from_pem(pem).unwrap();
        let (from, to) = (ca.not_before(), ca.not_after());
        let at = |now| in_force(&ca, [&ca, &ca], now);
        assert_eq!(at(from), Ok(()));
        assert_eq!(at(to), Ok(()));
        let second = Duration::from_secs(1);
        for now in [Timestamp::from_unix_millis(from.unix_millis() - 1000), to.after(second)] {
            let Err(Failure::Refused(refused)) = at(now) else { panic!("{now} passes") };
            assert_eq!(refused.fail_info, FailInfo::BadMessageCheck);
            assert!(refused.text.unwrap().contains("fetch GetCACert"));
        }
    }
}
