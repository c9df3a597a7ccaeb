//! The texts: SoftHSM's configuration, ours with its comments, and what to do next.

use std::net::SocketAddr;

use super::keys::{CaKeys, Keys, SEAL_LABEL, TOKEN_LABEL};
use super::layout::Layout;
use crate::cli::ledger_key::lines;
use crate::hsm::GeneratedKey;
use crate::ledger::note::NoteKey;
use crate::ra::ChallengeMac;

/// The endpoint's name and path.
pub const ENDPOINT: &str = "device";
/// The endpoint's path.
pub const PATH: &str = "/scep/device";

/// The configuration. Its paths are relative to itself, but for the environment of the module.
pub fn config(
    layout: &Layout,
    listen: SocketAddr,
    keys: &Keys,
    log: &NoteKey,
    mac: &ChallengeMac,
) -> String {
    let sections =
        keys.authorities.iter().enumerate().map(|(index, ca)| {
            section(ca, keys.authorities.get(index + 1).map(|next| next.suffix))
        });
    let authorities: Vec<String> = sections.collect();
    format!(
        r#"# A Chancery laboratory, made by `chancery init`. `chancery config explain KEY` says what a key is
# for, `chancery config check --config FILE` what is wrong with a change.
version = 1

# This is a laboratory: its keys lie in SoftHSM's files, and whoever reads those has the CA. Never set
# this where certificates count.
lab = true

[signer]
state_dir = "state"
socket = "run/signer.sock"
admin_socket = "run/admin.sock"
# From this key in the token comes the one that seals what the ledger keeps of requests and challenges.
seal_key = {{ token = "main", label = "{SEAL_LABEL}" }}

# The ledger's checkpoints are signed by a key of their own, and the newest is kept beside the ledger,
# so that an older copy of it is found. Give the verifier to auditors.
[ledger]
{log}anchor_file = "state/ledger-anchor"

[frontend]
listen = ["{listen}"]

[token.main]
profile = "softhsm2"
label = "{TOKEN_LABEL}"
pin_file = "pin"
# SoftHSM reads the name of its configuration from the environment; the path is written in full.
environment = {{ SOFTHSM2_CONF = {conf} }}

{authorities}
# Clients of 802.1X and TLS.
[profile.device]
validity = "365d"
key_usage = ["digitalSignature", "keyEncipherment"]
extended_key_usage = ["clientAuth"]
key_types = ["rsa-2048", "rsa-3072", "rsa-4096"]
subject = {{ required = ["CN"] }}
# The alternative names that devices may ask for; by default none.
san = {{ allowed = ["dns", "email", "ip", "uri"] }}

[endpoint.{ENDPOINT}]
path = "{PATH}"
aliases = ["/cgi-bin/pkiclient.exe"]
ca = "issuing"
profile = "device"
# Made from the challenge password, which stands nowhere. For another one: chancery challenge mac.
challenge_mac = "{mac}"
"#,
        log = lines("main", &keys.log.label, &hex::encode(&keys.log.id), log),
        conf = toml::Value::String(layout.softhsm_conf().display().to_string()),
        authorities = authorities.join("\n"),
    )
}

/// The section of one CA, which may be followed by another.
fn section(keys: &CaKeys, next: Option<&str>) -> String {
    let suffix = keys.suffix;
    let next = next.map_or_else(String::new, |next| {
        format!(
            "# The CA that follows: chancery ca rollover show says how far that is.\n\
             next = \"issuing{next}\"\n"
        )
    });
    let place = |key: &GeneratedKey| {
        let id = hex::encode(&key.id);
        format!(r#"{{ token = "main", label = "{}", id = "{id}" }}"#, key.label)
    };
    format!(
        r#"[ca.issuing{suffix}]
certificate = "certificates/issuing{suffix}.pem"
chain = ["certificates/root.pem"]
key = {issuing}
{next}
[ca.issuing{suffix}.ra_decryption]
certificate = "certificates/ra-decryption{suffix}.pem"
key = {decryption}

[ca.issuing{suffix}.ra_signing]
certificate = "certificates/ra-signing{suffix}.pem"
key = {signing}
"#,
        issuing = place(&keys.issuing),
        decryption = place(&keys.ra_decryption),
        signing = place(&keys.ra_signing),
    )
}

/// What the person who ran it reads: the challenge, once, and what to do next. `program` is how this
/// program was called.
pub fn next(
    layout: &Layout,
    url: &str,
    challenge: Option<&str>,
    fingerprint: &str,
    program: &str,
) -> String {
    let config = layout.config();
    let challenge = challenge.map_or_else(
        || "  challenge: as you gave it (only its MAC is kept)".to_owned(),
        |text| format!("  challenge: {text}\n             (shown this once; only its MAC is kept)"),
    );
    format!(
        "A laboratory is in {folder}.\n\
         \n\
         {challenge}\n  \
           URL:       {url}\n  \
           root:      {root}\n             \
                      SHA-256 {fingerprint}\n\
         \n\
         Start it:    {program} serve --config {config}\n\
         \n\
         This is no CA for certificates that count: its keys lie in files. For production, keep the\n\
         keys in an HSM, run `chancery signer` and `chancery frontend` as two users (the signer's\n\
         `frontend_user` names the other), and leave `lab = true` out.\n",
        folder = layout.folder().display(),
        root = layout.certificate("root").display(),
        config = config.display(),
    )
}
