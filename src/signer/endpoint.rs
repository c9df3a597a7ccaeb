//! An endpoint as it runs: its CA with the keys, its profile, its rules, its unsigned answers.

use std::sync::Arc;
use std::time::Duration;

use super::authority::Authority;
use super::crl::Publisher;
use crate::cms;
use crate::config;
use crate::issuance::{Issuer, Profile};
use crate::pki::Certificate;
use crate::ra::{Authorizer, ChallengeKey, NameRule, RenewalPolicy};
use crate::scep::{AlgorithmPolicy, Capabilities, Legacy};
use crate::signing::{KeyUnwrapper, Signer};
use crate::wire::frontend::EndpointDescription;

pub(super) use crate::config::CertRepChain;

/// One endpoint.
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
    pub(super) renewal: Option<RenewalPolicy>,
    pub(super) algorithms: AlgorithmPolicy,
    pub(super) certrep_chain: CertRepChain,
    pub(super) retry_window: Duration,
    /// Whether an officer has to approve each request.
    pub(super) approval: bool,
    pub(super) pending_lifetime: Duration,
    /// Whether GetCert is answered.
    pub(super) get_cert: bool,
    /// Whether GetCRL is answered.
    pub(super) get_crl: bool,
    /// The lists of its CA, where that signs any.
    pub(super) crl: Option<Arc<Publisher>>,
    pub(super) description: EndpointDescription,
}

impl Endpoint {
    /// The endpoint `name` of the configuration. One without any authorizer refuses every
    /// enrolment: no authorizer means no service, never an open CA.
    pub(super) fn new(
        name: &str,
        settings: &config::Endpoint,
        authority: &Authority,
        profile: Arc<Profile>,
        key: &ChallengeKey,
        crl: Option<Arc<Publisher>>,
    ) -> Self {
        let algorithms = AlgorithmPolicy {
            legacy: Legacy {
                des3: settings.algorithms.des3,
                sha1: settings.algorithms.sha1,
                des_and_md5: settings.algorithms.des_and_md5,
            },
        };
        let renewal = renewal(&settings.renewal);
        let caps =
            Capabilities { algorithms, renewal: renewal.is_some(), next_ca_certificate: false };
        let (ca_content_type, ca_body) = ca_certificates(&settings.ca_cert_response, authority);
        let paths = std::iter::once(&settings.path).chain(&settings.aliases);
        Self {
            name: name.into(),
            issuer: authority.issuer.clone(),
            ca_signer: authority.signer.clone(),
            ra_decryption: authority.ra_decryption.clone(),
            unwrapper: authority.unwrapper.clone(),
            ra_signing: authority.ra_signing.clone(),
            ra_signer: authority.ra_signer.clone(),
            authorizer: Authorizer {
                endpoint: name.into(),
                key: key.clone(),
                challenge: settings.challenge_mac.clone(),
                one_time: settings.one_time_challenges,
                profile: profile.name.clone(),
            },
            profile,
            renewal,
            algorithms,
            certrep_chain: settings.certrep_chain,
            retry_window: settings.retry_window,
            approval: settings.approval == config::Approval::Officer,
            pending_lifetime: settings.pending_lifetime,
            get_cert: settings.get_cert,
            get_crl: settings.get_crl,
            crl,
            description: EndpointDescription {
                name: name.into(),
                paths: paths.map(|p| p.as_str().to_owned()).collect(),
                default: true,
                get_pki_operation: settings.allow_get,
                caps: caps.text().into_bytes(),
                ca_content_type: ca_content_type.into(),
                ca_body,
            },
        }
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
