//! `chancery ledger key`: the public half of the log's key, as the configuration and auditors want it.

use clap::Args;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{environment, output, secrets};
use crate::hsm::CeremonyModule;
use crate::ledger::note::NoteKey;
use crate::pki::PublicKey;
use crate::signer::token_of;

/// Read a key's public half from its token and print the lines for `[ledger]`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The token: the NAME of a `[token.NAME]`
    #[arg(long, value_name = "NAME")]
    token: String,
    /// The key's CKA_LABEL
    #[arg(long, value_name = "LABEL")]
    label: String,
    /// The log's name, such as ca.example.org/ledger: the first line of every checkpoint
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// Prints `log_key` and `verifier`.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    let config = common.load()?;
    environment::settle(&config)?;
    let failed = |exit, cause: &dyn std::fmt::Display, next: &str| {
        let what = format!("the key {:?} is not shown", arguments.label);
        Failure::new(exit, what, cause, next)
    };
    let Some((name, token)) = config.token.iter().find(|(n, _)| n.as_str() == arguments.token)
    else {
        let names: Vec<&str> = config.token.keys().map(crate::config::Name::as_str).collect();
        let cause = format!("there is no [token.{}]", arguments.token);
        return Err(failed(Exit::Usage, &cause, &format!("name one of {}", names.join(", "))));
    };
    let mend = "bring the HSM into the state that the cause names";
    let unusable = |e: crate::hsm::HsmError| failed(Exit::HsmUnavailable, &e, mend);
    let pin = secrets::pin(name.as_str(), token)?;
    let (profile, selector) = token_of(token).map_err(unusable)?;
    let module = CeremonyModule::open(profile, token.module.as_deref()).map_err(unusable)?;
    let open = module.open_token(&selector, &pin).map_err(unusable)?;
    let keys = open.keys_with_label(&arguments.label).map_err(unusable)?;
    let [(id, public)] = keys.as_slice() else {
        let cause = format!("the token has {} keys with this label", keys.len());
        return Err(failed(Exit::Failed, &cause, "name a label that one key pair has"));
    };
    let key = NoteKey::new(&arguments.name, public.clone())
        .map_err(|e| failed(Exit::Usage, &e, "choose another key or name"))?;
    if common.json {
        return output::json(&serde_json::json!({ "id": hex::encode(id), "verifier": key.text() }));
    }
    output::write(&lines(name.as_str(), &arguments.label, &hex::encode(id), &key))
}

/// The lines of `[ledger]` for a key.
pub fn lines(token: &str, label: &str, id: &str, key: &NoteKey) -> String {
    format!(
        "log_key = {{ token = \"{token}\", label = {label:?}, id = \"{id}\" }}\nverifier = \"{}\"\n",
        key.text()
    )
}

/// The key of a log whose configuration somebody still has to name: a host's name and `/ledger`.
pub fn named(name: &str, public: &PublicKey) -> Result<NoteKey, Failure> {
    NoteKey::new(name, public.clone()).map_err(|e| {
        Failure::new(
            Exit::Failed,
            "the log's key cannot be used",
            e,
            "make one of Ed25519 or P-256",
        )
    })
}
