//! What `chancery doctor` asks of the running signer.

use super::instance::Instance;
use super::{maintenance, status};
use crate::wire::admin::{EndpointExamination, Examination};

/// The signer as it is.
pub(super) fn examination(instance: &Instance) -> Examination {
    let head = instance.ledger().head();
    let endpoints = instance.endpoints();
    let endpoint = |e: &std::sync::Arc<super::endpoint::Endpoint>| EndpointExamination {
        name: e.name.to_string(),
        ca: e.issuer.id().into(),
        caps: e.description.caps.clone(),
        ca_body: e.description.ca_body.clone(),
    };
    let without = instance.crls.iter().filter(|(_, publisher)| publisher.published().is_none());
    Examination {
        now: instance.pipeline.clock.now().unix_millis(),
        ledger_time: head.last_time.unix_millis(),
        maintenance: maintenance::reason(instance),
        config_digest: instance.reloads.config().digest(),
        tokens: instance.tokens.examination(),
        crls: status::lists(instance),
        without_crl: without.map(|(ca, _)| ca.to_string()).collect(),
        endpoints: endpoints.values().map(endpoint).collect(),
    }
}
