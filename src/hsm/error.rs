//! What can go wrong between us and the HSM, said so that an operator knows the next step.

use std::path::PathBuf;
use std::time::Duration;

use super::audit::Deviation;
use super::retry::Failure;
use super::token::TokenDescription;

/// Why an HSM, a token or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HsmError {
    /// The profile is unknown or cannot be read.
    #[error("HSM profile {name}: {problem}")]
    Profile {
        /// The name or path as configured.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No module file was found.
    #[error(
        "no PKCS#11 module was found; looked for {}; install the HSM's client software or name the module in the token's configuration",
        list(tried.iter().map(|p| p.display().to_string()))
    )]
    ModuleMissing {
        /// The paths that were looked at.
        tried: Vec<PathBuf>,
    },
    /// The module cannot be loaded or initialised.
    #[error("the PKCS#11 module {} cannot be used: {cause}{}", path.display(), remedy(conf_env.as_deref()))]
    Module {
        /// The module's path.
        path: PathBuf,
        /// What it or the loader said.
        cause: String,
        /// The environment variable that names the module's configuration, if it has one.
        conf_env: Option<String>,
    },
    /// No token has the wanted label or serial number.
    #[error("no token with {wanted} is there; tokens that are there: {}", tokens(present))]
    TokenNotFound {
        /// The selector as text.
        wanted: String,
        /// The initialised tokens.
        present: Vec<TokenDescription>,
    },
    /// Several tokens have the wanted label.
    #[error("{} tokens have {wanted}: {}; select the token by its serial number", found.len(), tokens(found))]
    TokenAmbiguous {
        /// The selector as text.
        wanted: String,
        /// The tokens that match.
        found: Vec<TokenDescription>,
    },
    /// The token refused the PIN. It was tried once and is not tried again.
    #[error(
        "token {token} refuses the PIN ({cause}); it was tried once and is not tried again: correct the PIN and restart, wrong PINs may lock the token for good"
    )]
    PinRefused {
        /// The token's label.
        token: String,
        /// The return code's name, or the token's flag.
        cause: String,
    },
    /// A key is not there, not alone, or not the expected one.
    #[error("key {key} on token {token}: {problem}")]
    Key {
        /// The key's label and ID.
        key: String,
        /// The token's label.
        token: String,
        /// What is wrong.
        problem: KeyProblem,
    },
    /// A call to the module failed.
    #[error("{what}: {failure}")]
    Call {
        /// What was being done.
        what: String,
        /// The function and its return code.
        failure: Failure,
    },
    /// The module did not answer in time.
    #[error("{what}: the HSM did not answer within {} s; check the HSM and its connection", after.as_secs())]
    Timeout {
        /// What was being done.
        what: String,
        /// How long we waited.
        after: Duration,
    },
    /// The operating system refused something.
    #[error("{what}: {cause}")]
    System {
        /// What was being done.
        what: String,
        /// What the operating system said.
        cause: String,
    },
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// There is no such private key.
    #[error("there is no such private key; private keys that are there: {}", list(present.iter().cloned()))]
    NotFound {
        /// The labels and IDs of the private keys of the token.
        present: Vec<String>,
    },
    /// There is more than one.
    #[error(
        "{count} private keys have this label and ID; give the key's id in the configuration, or remove the others"
    )]
    Ambiguous {
        /// How many.
        count: usize,
    },
    /// It is another key than the certificate's.
    #[error(
        "its public key is not that of the configured certificate; check which key the certificate was made for"
    )]
    Mismatch,
    /// It is not made as a key of its purpose must be (I3, I4).
    #[error("it is refused: {}; make a new key with the attributes of its one purpose", list(deviations.iter().map(ToString::to_string)))]
    Attributes {
        /// Every deviation.
        deviations: Vec<Deviation>,
    },
    /// The key's kind cannot serve the purpose or the algorithm.
    #[error("{0}")]
    Unfit(String),
    /// The self-test failed.
    #[error("the self-test failed: {0}")]
    SelfTest(String),
    /// A key with this label or ID exists already; key generation never replaces one.
    #[error("a key with this label or ID exists already; choose another label")]
    Exists,
    /// The token's objects cannot be read as a key.
    #[error("its attributes cannot be read: {0}")]
    Unreadable(String),
}

fn list(items: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = items.collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

fn tokens(present: &[TokenDescription]) -> String {
    list(present.iter().map(ToString::to_string))
}

fn remedy(conf_env: Option<&str>) -> String {
    conf_env
        .map(|name| {
            format!("; it reads its configuration from the file that {name} names: set it in the token's environment")
        })
        .unwrap_or_default()
}
