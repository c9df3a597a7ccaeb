//! What the running signer tells `chancery doctor`.

use serde::{Deserialize, Serialize};

use super::admin::CrlState;

/// The signer as it can be examined from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Its time, in milliseconds since 1970.
    pub now: u64,
    /// The latest time that an entry of the ledger has, in milliseconds since 1970.
    pub ledger_time: u64,
    /// Why nothing is issued; none in normal service.
    pub maintenance: Option<String>,
    /// The digest of the configuration that it runs with (SHA-256 over its effective settings).
    pub config_digest: [u8; 32],
    /// The tokens.
    pub tokens: Vec<TokenExamination>,
    /// The newest CRLs.
    pub crls: Vec<CrlState>,
    /// The CAs that sign lists and have none yet, by their names.
    pub without_crl: Vec<String>,
    /// The endpoints as they are served.
    pub endpoints: Vec<EndpointExamination>,
}

/// A token that the signer uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenExamination {
    /// The name in the configuration.
    pub name: String,
    /// The vendor profile, and with what it was tried.
    pub profile: String,
    /// How many operations it does at a time.
    pub workers: u32,
    /// Why it does not work; none when all is well.
    pub problem: Option<String>,
    /// What falls short of I3 and is tolerated in a laboratory.
    pub warnings: Vec<String>,
    /// What it offers (C_GetMechanismList), or why it does not say.
    pub mechanisms: Result<Vec<MechanismExamination>, String>,
}

/// A mechanism that a token offers (C_GetMechanismInfo).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MechanismExamination {
    /// Its name: `CKM_RSA_PKCS`.
    pub name: String,
    /// The smallest key, in bits for RSA.
    pub min_bits: u64,
    /// The largest key, in bits for RSA; 0 where the module does not say.
    pub max_bits: u64,
}

/// An endpoint as it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointExamination {
    /// The name in the configuration.
    pub name: String,
    /// The CA that it offers now, by its name.
    pub ca: String,
    /// The body of GetCACaps.
    #[serde(with = "serde_bytes")]
    pub caps: Vec<u8>,
    /// The body of GetCACert.
    #[serde(with = "serde_bytes")]
    pub ca_body: Vec<u8>,
}
